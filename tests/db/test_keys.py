"""Keys: shown once, never kept in clear, refused when revoked; users and projects come with their quota."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from infra.config import Settings
from infra.db import keys
from infra.db.pool import Pool
from infra.domain.errors import NotFound
from tests.db.conftest import SECRET, rows


async def test_a_key_is_found_by_its_digest_and_stands_nowhere_in_clear(pool: Pool) -> None:
    async with pool.connection() as connection:
        key = await keys.make_key(connection, SECRET, user="ada", project="engine", name="laptop")
        caller = await keys.caller_of(connection, keys.digest_of(SECRET, key))
        kept = await rows(connection, "SELECT * FROM api_keys")
        listed = await keys.list_keys(connection)

    assert len(key) == 64
    assert key.isalnum()
    assert caller is not None
    assert not caller.read_only
    assert bytes(kept[0]["digest"]) == keys.digest_of(SECRET, key)
    assert key not in repr(kept) + repr(listed)
    assert key.encode() not in repr(kept).encode()


async def test_another_secret_makes_another_digest(pool: Pool) -> None:
    async with pool.connection() as connection:
        key = await keys.make_key(connection, SECRET, user="ada", project="engine", name="laptop")

        assert await keys.caller_of(connection, keys.digest_of(b"another", key)) is None
        assert await keys.caller_of(connection, keys.digest_of(SECRET, key[:-1])) is None


async def test_a_revoked_key_is_refused(pool: Pool) -> None:
    async with pool.connection() as connection:
        key = await keys.make_key(connection, SECRET, user="ada", project="engine", name="laptop", read_only=True)
        (listed,) = await keys.list_keys(connection)
        await keys.revoke_key(connection, listed.id)
        await keys.revoke_key(connection, listed.id)

        assert await keys.caller_of(connection, keys.digest_of(SECRET, key)) is None
        with pytest.raises(NotFound):
            await keys.revoke_key(connection, listed.id + 1)


async def test_users_and_projects_made_at_once_have_one_quota_each(pool: Pool) -> None:
    async def make(number: int) -> None:
        async with pool.connection() as connection:
            await keys.make_key(connection, SECRET, user="ada", project="engine", name=f"key {number}")

    await asyncio.gather(*(make(number) for number in range(10)))

    async with pool.connection() as connection:
        quotas = await rows(connection, "SELECT scope, subject_id FROM quotas ORDER BY scope")
        callers = await rows(connection, "SELECT DISTINCT user_id, project_id FROM api_keys")
    assert [(row["scope"], row["subject_id"]) for row in quotas] == [
        ("project", callers[0]["project_id"]),
        ("user", callers[0]["user_id"]),
    ]
    assert len(callers) == 1


async def test_the_secret_is_made_once_and_is_ours_alone(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path)

    secrets = await asyncio.gather(*(asyncio.to_thread(keys.server_secret, settings) for _ in range(8)))

    assert len(set(secrets)) == 1
    assert len(secrets[0]) == 64
    assert stat.S_IMODE((tmp_path / "api-secret").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["api-secret"]
    assert keys.server_secret(Settings(state=tmp_path, api_secret="set")) == b"set"
