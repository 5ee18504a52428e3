"""Idempotency in the books: one order per key whoever races, one answer per key whoever writes."""

from __future__ import annotations

import asyncio

import pytest

from infra.db import idempotency, orders
from infra.db.idempotency import Answer, IdempotencyKey
from infra.db.orders import Withdrawal
from infra.domain.errors import Conflict, UniquenessError
from tests.db.conftest import Project, rows


def key_of(project: Project, key: str = "once", body: bytes = b"b") -> IdempotencyKey:
    return IdempotencyKey(project.id, "POST /servers", key, body * 32)


async def test_twenty_at_once_make_one_order(project: Project) -> None:
    accepted = await asyncio.gather(*(project.accept(key=key_of(project)) for _ in range(20)))

    assert len({(one.server_id, one.action_id) for one in accepted}) == 1
    assert len(await project.all("SELECT id FROM servers")) == 1
    assert len(await project.all("SELECT id FROM actions")) == 2
    assert len(await project.all("SELECT key FROM idempotency_keys")) == 1


async def test_the_second_waits_for_the_first_to_commit(project: Project) -> None:
    async with project.pool.connection() as first, first.transaction():
        mine = await orders.accept(first, project.wants(), key_of(project))
        second = asyncio.create_task(project.accept(key=key_of(project)))
        await asyncio.sleep(0.2)
        assert not second.done()

    assert (await second).server_id == mine.server_id


async def test_the_second_takes_over_when_the_first_is_rolled_back(project: Project) -> None:
    async with project.pool.connection() as first, first.transaction(force_rollback=True):
        mine = await orders.accept(first, project.wants(), key_of(project))
        second = asyncio.create_task(project.accept(key=key_of(project)))
        await asyncio.sleep(0.2)

    theirs = await second
    assert theirs.server_id != mine.server_id
    assert [row["id"] for row in await project.all("SELECT id FROM servers")] == [theirs.server_id]


async def test_other_keys_with_one_name_make_one_order(project: Project) -> None:
    racing = (project.accept(key=key_of(project, f"key {number}")) for number in range(10))
    results = await asyncio.gather(*racing, return_exceptions=True)

    assert sum(isinstance(result, UniquenessError) for result in results) == 9
    assert len(await project.all("SELECT id FROM servers")) == 1
    assert len(await project.all("SELECT key FROM idempotency_keys")) == 1


async def test_the_first_answer_written_is_everyones(project: Project) -> None:
    accepted = await project.accept(key=key_of(project))

    async def write(number: int) -> Answer | None:
        async with project.pool.connection() as connection:
            answer = Answer(201, f'{{"b": 1, "a": "\\u00fc {number}"}}')
            return await idempotency.write_answer(connection, key_of(project), accepted.server_id, answer)

    written = set(await asyncio.gather(*(write(number) for number in range(10))))

    assert len(written) == 1
    assert {(await project.accept(key=key_of(project))).answer} == written


async def test_an_answer_to_an_order_that_was_refused_is_not_written(project: Project) -> None:
    accepted = await project.accept(key=key_of(project))
    async with project.pool.connection() as connection:
        await idempotency.release(connection, accepted.server_id)
        again = await project.accept("again", key=key_of(project))

        late = await idempotency.write_answer(connection, key_of(project), accepted.server_id, Answer(201, "{}"))

    assert late is None
    assert await project.accept("again", key=key_of(project)) == again


async def test_another_body_is_a_conflict(project: Project) -> None:
    await project.accept(key=key_of(project))

    with pytest.raises(Conflict, match="another request body"):
        await project.accept("other", key=key_of(project, body=b"c"))
    assert len(await project.all("SELECT id FROM servers")) == 1


async def test_keys_of_other_projects_are_other_keys(project: Project) -> None:
    await project.accept(key=key_of(project))
    (other,) = await project.all("INSERT INTO projects (name) VALUES ('other') RETURNING id")

    async with project.pool.connection() as connection:
        theirs = IdempotencyKey(other["id"], "POST /servers", "once", b"c" * 32)
        assert await idempotency.reserved(connection, theirs) is None


async def test_a_key_is_forgotten_after_a_day(project: Project) -> None:
    first = await project.accept(key=key_of(project))
    await project.all("UPDATE idempotency_keys SET created = now() - interval '25 hours'")

    second = await project.accept("other", key=key_of(project, body=b"c"))

    assert second.server_id != first.server_id
    await project.all("UPDATE idempotency_keys SET created = now() - interval '25 hours'")
    async with project.pool.connection() as connection:
        assert await idempotency.forget_old(connection) == 1


async def test_a_refused_order_frees_its_key_and_an_answered_one_does_not(project: Project) -> None:
    refused = await project.accept(key=key_of(project, "refused"))
    granted = await project.accept("granted", key=key_of(project, "granted"))
    async with project.pool.connection() as connection:
        await idempotency.write_answer(connection, key_of(project, "granted"), granted.server_id, Answer(201, "{}"))
        for accepted in (refused, granted):
            await idempotency.release(connection, accepted.server_id)

        assert [row["key"] for row in await rows(connection, "SELECT key FROM idempotency_keys")] == ["granted"]


async def test_a_withdrawn_order_leaves_nothing(project: Project) -> None:
    accepted = await project.accept(key=key_of(project))

    async with project.pool.connection() as connection:
        assert await orders.withdraw(connection, accepted.server_id) is Withdrawal.DONE
        assert await orders.withdraw(connection, accepted.server_id) is Withdrawal.GONE

    for table in ("servers", "actions", "idempotency_keys"):
        assert await project.all(f"SELECT FROM {table}") == []
    assert (await project.accept(key=key_of(project))).server_id > accepted.server_id


async def test_what_one_transaction_does_is_done_once_by_twenty_at_once(project: Project) -> None:
    async def ask(number: int) -> Answer:
        async def do() -> Answer:
            await connection.execute("INSERT INTO users (name) VALUES (%s)", (f"user {number}",))
            return Answer(201, str(number))

        async with project.pool.connection() as connection:
            return await idempotency.once(connection, key_of(project), do)

    answers = await asyncio.gather(*(ask(number) for number in range(20)))

    (made,) = await project.all("SELECT name FROM users WHERE name LIKE 'user %%'")
    assert {f"user {answer.body}" for answer in answers} == {made["name"]}


async def test_what_fails_leaves_its_key_free(project: Project) -> None:
    async def fail() -> Answer:
        raise UniquenessError.of("name")

    async def succeed() -> Answer:
        return Answer(201, "done")

    async with project.pool.connection() as connection:
        with pytest.raises(UniquenessError):
            await idempotency.once(connection, key_of(project), fail)
        first = await idempotency.once(connection, key_of(project), succeed)
        again = await idempotency.once(connection, key_of(project), fail)
        with pytest.raises(Conflict, match="another request body"):
            await idempotency.once(connection, key_of(project, body=b"c"), succeed)

    assert first == again == Answer(201, "done")
