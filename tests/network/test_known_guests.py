"""What the metadata service knows, how long, and what it says without the books; no wire leads to it here."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from infra.domain.metadata import NETWORK, USER_DATA
from tests.guest_examples import PLANS
from tests.network.fix_metadata import NAME, Books
from workers.metadata import AWAY, FRESH, FRESH_FOR_AGENT

ALONE = replace(PLANS["alone"], server_id=1)
IN_NETWORKS = replace(PLANS["in-networks"], server_id=1)


async def test_the_books_are_asked_once_in_a_while() -> None:
    books = Books()
    books.add(ALONE)
    metadata = books.metadata()
    await asyncio.gather(*(metadata.answer(1, path) for path in (NAME, NETWORK, USER_DATA)))
    assert books.asked == 1
    books.now += FRESH + 1
    await metadata.answer(1, NETWORK)
    assert books.asked == 1
    await metadata.answer(1, NAME)
    assert books.asked == 2
    books.now += FRESH_FOR_AGENT + 1
    await metadata.answer(1, NETWORK)
    assert books.asked == 3


async def test_the_agent_hears_of_new_ports_at_once() -> None:
    books = Books()
    books.add(ALONE)
    metadata = books.metadata()
    assert (await metadata.answer(1, NETWORK)).body == b"network 1\nend\n"
    books.add(IN_NETWORKS)
    metadata.changed(1)
    books.is_away = True
    assert (await metadata.answer(1, NETWORK)).body == b"network 1\nend\n"
    books.is_away = False
    assert b"address 10.8.0.71/16" in (await metadata.answer(1, NETWORK)).body


async def test_without_the_books_the_last_answer_is_good_for_a_while() -> None:
    books = Books(is_away=True)
    books.add(ALONE)
    metadata = books.metadata()
    assert (await metadata.answer(1, NAME)).status == 503
    books.is_away = False
    assert (await metadata.answer(1, NAME)).status == 200
    books.is_away = True
    books.now += AWAY - 1
    assert (await metadata.answer(1, NAME)).body == b"server-1"
    books.now += 2
    assert (await metadata.answer(1, NAME)).status == 503


async def test_a_server_that_went_elsewhere_is_forgotten() -> None:
    books = Books()
    books.add(ALONE)
    metadata = books.metadata()
    await metadata.answer(1, NAME)
    del books.guests[1]
    books.now += FRESH + 1
    assert (await metadata.answer(1, NAME)).status == 404
    books.is_away = True
    assert (await metadata.answer(1, NAME)).status == 503
