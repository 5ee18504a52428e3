"""Enrolments: a token lets one machine in, once, whatever comes in between, and says where its host stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from infra.db import enrolments, host_care, hosts, keys
from infra.db.enrolments import Applicant, Enrolled
from infra.db.hosts import NewHost
from infra.domain.errors import Conflict, InvalidInput, NotFound, Unauthorized, UniquenessError
from infra.domain.topology import Standing
from tests.fix_region import NewRegion, Region, eventually

HOUR = timedelta(hours=1)
STANDING = Standing(None, "a", "r1", "s1", 2.0)


@pytest_asyncio.fixture
async def books(new_region: NewRegion) -> AsyncIterator[Region]:
    async with new_region(number_of_hosts=0, workers=False) as region:
        yield region


async def noted(region: Region, standing: Standing = STANDING, lasts: timedelta = HOUR) -> str:
    async with region.pool.connection() as connection:
        secret = keys.server_secret(region.settings)
        return await enrolments.note_enrolment(connection, secret, region.location, standing, lasts)


def machine(region: Region, name: str, key: str | None = None) -> Applicant:
    return Applicant(keys.digest_of(b"a secret", key or f"{region.location}{name}"), f"{region.location}-{name}", "arm")


async def enrolled(region: Region, token: str, applicant: Applicant) -> Enrolled:
    async with region.pool.connection() as connection:
        return await enrolments.enrol(connection, keys.digest_of(keys.server_secret(region.settings), token), applicant)


async def open_ids(region: Region) -> list[int]:
    async with region.pool.connection() as connection:
        found = await enrolments.open_enrolments(connection)
    return [one.id for one in found if one.location == region.location]


async def host_count(region: Region) -> int:
    row = await region.one("SELECT count(*) AS hosts FROM hosts WHERE location_id = %s", region.location_id)
    assert row is not None
    return int(row["hosts"])


async def test_a_machine_becomes_a_host_where_the_operator_said(books: Region) -> None:
    token = await noted(books, Standing(f"{books.location}-h2", "a", "r1", "s1", 2.0))
    applicant = machine(books, "node")

    told = await enrolled(books, token, applicant)

    assert (told.name, told.location) == (f"{books.location}-h2", books.location)
    assert f"2001:db8:{books.location_id:x}::/48" in told.address_pools
    row = await books.one(
        "SELECT name, architecture, availability_zone, rack, switch, overcommit, state, key_digest FROM hosts"
        " WHERE id = %s",
        told.id,
    )
    assert row == {
        "name": told.name,
        "architecture": "arm",
        "availability_zone": "a",
        "rack": "r1",
        "switch": "s1",
        "overcommit": 2.0,
        "state": "accepting",
        "key_digest": applicant.key_digest,
    }
    assert await open_ids(books) == []


async def test_the_books_hold_no_token(books: Region) -> None:
    token = await noted(books)
    row = await books.one("SELECT * FROM enrolments WHERE location_id = %s", books.location_id)
    assert row is not None
    assert token not in str(row)
    assert len(token) == 64  # of 62 characters: 381 bits


async def test_the_same_machine_is_answered_the_same_and_another_refused(books: Region) -> None:
    token = await noted(books)
    first = await enrolled(books, token, machine(books, "one"))
    again = await enrolled(books, token, machine(books, "one"))
    await books.execute("UPDATE enrolments SET expires = now() WHERE location_id = %s", books.location_id)
    late = await enrolled(books, token, machine(books, "one"))

    assert first == again == late
    with pytest.raises(Unauthorized, match="not known, or was used by another machine"):
        await enrolled(books, token, machine(books, "two"))
    assert await host_count(books) == 1


async def test_a_token_that_is_not_ours_or_has_expired_lets_nobody_in(books: Region) -> None:
    token = await noted(books, lasts=timedelta(0))

    with pytest.raises(Unauthorized, match="expired"):
        await enrolled(books, token, machine(books, "one"))
    with pytest.raises(Unauthorized, match="not known"):
        await enrolled(books, "x" * 64, machine(books, "one"))
    assert await host_count(books) == 0


async def test_of_two_machines_with_one_token_one_comes_in(books: Region) -> None:
    token = await noted(books)
    async with books.pool.connection() as connection:
        async with connection.transaction():  # the first has not committed when the second one comes
            digest = keys.digest_of(keys.server_secret(books.settings), token)
            won = await enrolments.enrol(connection, digest, machine(books, "one"))
            others = [
                asyncio.create_task(enrolled(books, token, machine(books, name))) for name in ("two", "three", "one")
            ]
            await eventually(lambda: waiting(books, len(others)))
        answers = await asyncio.gather(*others, return_exceptions=True)

    assert [type(answer) for answer in answers] == [Unauthorized, Unauthorized, Enrolled]
    assert answers[2] == won
    assert await host_count(books) == 1


async def waiting(region: Region, how_many: int) -> bool:
    row = await region.one(
        "SELECT count(*) AS waiting FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database() AND query LIKE %s",
        "%FROM enrolments WHERE digest%",
    )
    return row == {"waiting": how_many}


async def test_a_name_that_is_taken_or_no_name_uses_up_no_token(books: Region) -> None:
    await enrolled(books, await noted(books), machine(books, "one"))
    token = await noted(books)

    with pytest.raises(UniquenessError, match=f"another host is called {books.location}-one"):
        await enrolled(books, token, machine(books, "one", "another key"))
    with pytest.raises(InvalidInput, match="lower-case"):
        await enrolled(books, token, machine(books, "Two Three"))
    with pytest.raises(UniquenessError, match="a host with this key is there already"):
        await enrolled(books, token, machine(books, "two", f"{books.location}one"))

    assert await host_count(books) == 1
    assert (await enrolled(books, token, machine(books, "two"))).name == f"{books.location}-two"


async def test_two_machines_of_one_name_with_tokens_of_their_own(books: Region) -> None:
    tokens = [await noted(books) for _ in range(2)]
    answers = await asyncio.gather(
        *(enrolled(books, token, machine(books, "one", token)) for token in tokens), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Enrolled", "UniquenessError"]
    assert len(await open_ids(books)) == 1


async def test_what_is_noted_wrongly_is_refused_at_once(books: Region) -> None:
    taken = f"{books.location}-one"
    await enrolled(books, await noted(books), machine(books, "one"))
    wrong: list[tuple[Standing, type[Exception]]] = [
        (Standing(name=taken), UniquenessError),
        (Standing(name="UPPER", rack="r/1"), InvalidInput),
        (Standing(overcommit=0.5), InvalidInput),
    ]
    for standing, error in wrong:
        with pytest.raises(error):
            await noted(books, standing)
    async with books.pool.connection() as connection:
        with pytest.raises(NotFound, match=f"there is no location nowhere; there are: .*{books.location}"):
            await enrolments.note_enrolment(connection, b"secret", "nowhere", STANDING, HOUR)
    assert await open_ids(books) == []


async def test_one_that_is_taken_back_lets_nobody_in(books: Region) -> None:
    token, used = await noted(books), await noted(books)
    await enrolled(books, used, machine(books, "one"))
    row = await books.one("SELECT id FROM enrolments WHERE host_id IS NOT NULL AND location_id = %s", books.location_id)
    assert row is not None
    (enrolment_id,) = await open_ids(books)

    async with books.pool.connection() as connection:
        await enrolments.revoke_enrolment(connection, enrolment_id)
        with pytest.raises(NotFound):
            await enrolments.revoke_enrolment(connection, enrolment_id)
        with pytest.raises(Conflict, match=f"host {books.location}-one came with it"):
            await enrolments.revoke_enrolment(connection, row["id"])
    with pytest.raises(Unauthorized):
        await enrolled(books, token, machine(books, "two"))


async def test_a_removed_hosts_token_lets_nobody_in_and_its_machine_may_come_anew(books: Region) -> None:
    token, another = await noted(books), await noted(books)
    first = await enrolled(books, token, machine(books, "one"))
    async with books.pool.connection() as connection:
        await host_care.remove_host(connection, first.id)

    with pytest.raises(Unauthorized):
        await enrolled(books, token, machine(books, "one"))
    anew = await enrolled(books, another, machine(books, "one"))
    assert anew.id > first.id


async def test_an_id_that_was_given_by_hand_is_not_given_again(books: Region) -> None:
    """Not even after its removal: a worker of the removed host may still ask for steps on that queue."""
    row = await books.one("SELECT nextval('hosts_id_seq') AS id")
    assert row is not None
    by_hand = row["id"] + 3
    async with books.pool.connection() as connection:
        await hosts.register_host(
            connection, NewHost(by_hand, f"{books.location}-hand", books.location_id, machine(books, "hand").key_digest)
        )
        await host_care.remove_host(connection, by_hand)
    assert (await enrolled(books, await noted(books), machine(books, "one"))).id > by_hand


async def test_what_nobody_used_is_forgotten_in_the_end(books: Region) -> None:
    await noted(books)
    left: dict[str, Any] | None = await books.one("SELECT id FROM enrolments WHERE location_id = %s", books.location_id)
    await books.execute("UPDATE enrolments SET expires = now() - interval '8 days' WHERE id = %s", (left or {})["id"])
    await noted(books)
    assert await books.one("SELECT FROM enrolments WHERE id = %s", (left or {})["id"]) is None
