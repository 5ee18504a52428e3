"""Keys: shown once, never kept in clear, refused when revoked; users and projects come with their quota."""

from __future__ import annotations

import asyncio
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.config import Settings
from infra.db import keys, principals
from infra.db.pool import Pool
from infra.domain.errors import Conflict, InvalidInput, NotFound
from tests.db.conftest import SECRET, Project, rows


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


async def test_an_expired_key_is_refused(pool: Pool) -> None:
    async with pool.connection() as connection:
        ends = datetime.now(UTC) + timedelta(days=90)
        key = await keys.make_key(connection, SECRET, user="ada", project="engine", name="laptop", expires=ends)
        (listed,) = await keys.list_keys(connection)
        assert await keys.caller_of(connection, keys.digest_of(SECRET, key)) is not None
        await rows(connection, "UPDATE api_keys SET expires = now()")

        assert await keys.caller_of(connection, keys.digest_of(SECRET, key)) is None
        with pytest.raises(Conflict, match="has ended"):
            await keys.rotate_key(connection, SECRET, listed.id, timedelta(hours=1))

    assert listed.expires == ends


async def test_a_rotated_key_is_good_until_the_overlap_ends(pool: Pool) -> None:
    async with pool.connection() as connection:
        ends = datetime.now(UTC) + timedelta(days=90)
        key = await keys.make_key(
            connection, SECRET, user="ada", project="engine", name="laptop", read_only=True, expires=ends
        )
        (old,) = await keys.list_keys(connection)
        rotated = await keys.rotate_key(connection, SECRET, old.id, timedelta(hours=24))
        first = await keys.caller_of(connection, keys.digest_of(SECRET, key))
        second = await keys.caller_of(connection, keys.digest_of(SECRET, rotated.key))
        before, after = await keys.list_keys(connection)

    assert first is not None
    assert second is not None
    assert (second.user_id, second.project_id, second.read_only) == (first.user_id, first.project_id, True)
    assert (after.id, after.replaces, after.name, after.expires) == (rotated.id, old.id, "laptop", rotated.expires)
    assert after.expires is not None
    assert after.expires - after.created == ends - old.created
    assert before.expires == rotated.old_expires
    assert rotated.old_expires - after.created == timedelta(hours=24)


async def test_a_rotation_never_prolongs_the_old_key(pool: Pool) -> None:
    async with pool.connection() as connection:
        ends = datetime.now(UTC) + timedelta(hours=1)
        await keys.make_key(connection, SECRET, user="ada", project="engine", name="laptop", expires=ends)
        await keys.make_key(connection, SECRET, user="ada", project="engine", name="for ever")
        short, endless = await keys.list_keys(connection)

        assert (await keys.rotate_key(connection, SECRET, short.id, timedelta(days=7))).old_expires == ends
        assert (await keys.rotate_key(connection, SECRET, endless.id, timedelta(days=7))).expires is None


async def test_a_key_has_one_successor_however_many_rotate_it(pool: Pool) -> None:
    async with pool.connection() as connection:
        await keys.make_key(connection, SECRET, user="ada", project="engine", name="laptop")
        (old,) = await keys.list_keys(connection)

    async def rotate() -> str:
        async with pool.connection() as connection:
            try:
                return (await keys.rotate_key(connection, SECRET, old.id, timedelta(hours=1))).key
            except Conflict as refused:
                return refused.message

    told = await asyncio.gather(*(rotate() for _ in range(8)))

    async with pool.connection() as connection:
        _, successor = await keys.list_keys(connection)
    assert told.count(f"key {old.id} was rotated before: key {successor.id} takes its place, rotate that one") == 7


async def test_a_revoked_or_unknown_key_is_not_rotated(pool: Pool) -> None:
    async with pool.connection() as connection:
        await keys.make_key(connection, SECRET, user="ada", project="engine", name="laptop")
        (old,) = await keys.list_keys(connection)
        await keys.revoke_key(connection, old.id)
        with pytest.raises(Conflict, match="has ended"):
            await keys.rotate_key(connection, SECRET, old.id, timedelta())
        for absent in (old.id + 1, 2**70):
            with pytest.raises(NotFound):
                await keys.rotate_key(connection, SECRET, absent, timedelta())
        assert await keys.list_keys(connection) != []


@pytest.mark.parametrize("wrong", ["user", "project", "name"])
async def test_nobody_is_called_nothing(pool: Pool, wrong: str) -> None:
    async with pool.connection() as connection:
        with pytest.raises(InvalidInput, match=f"'{wrong}': must not be empty"):
            await keys.make_key(connection, SECRET, **{"user": "ada", "project": "engine", "name": "key", wrong: ""})
        assert await rows(connection, "SELECT name FROM users UNION ALL SELECT name FROM projects") == []


async def test_principals_are_listed_with_their_keys_and_servers(project: Project) -> None:
    await project.accept("web")
    async with project.pool.connection() as connection:
        await principals.ensure_user(connection, "bob")
        for user in ("ada", "bob"):
            await keys.make_key(connection, SECRET, user=user, project="engine", name="laptop")
        await keys.revoke_key(connection, (await keys.list_keys(connection))[1].id)
        users, projects = await principals.list_users(connection), await principals.list_projects(connection)

    assert [(one.name, one.keys, one.servers) for one in users] == [("ada", 1, 1), ("bob", 0, 0)]
    assert [(one.name, one.keys, one.servers) for one in projects] == [("engine", 1, 1)]


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
