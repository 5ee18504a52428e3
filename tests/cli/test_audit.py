"""`puchify audit`: its exact words, and an exit code that a cron job can trust."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest_asyncio

from tests.cli.run import puchify

PLANTED = """
INSERT INTO network_zones VALUES ('zone');
INSERT INTO locations (name, description, country, city, latitude, longitude, network_zone)
VALUES ('north', '', '', '', 0, 0, 'zone'), ('south', '', '', '', 0, 0, 'zone');
INSERT INTO hosts (id, name, key_digest, location_id, used_cores, reported)
SELECT 7, 'h7', decode(repeat('00', 32), 'hex'), id, 3, now() FROM locations WHERE name = 'north';
INSERT INTO hosts (id, name, key_digest, location_id)
SELECT 8, 'h8', decode(repeat('01', 32), 'hex'), id FROM locations WHERE name = 'south';
INSERT INTO tombstones (host_id, server_id, epoch, created) VALUES
    (7, 17, 1, now() - interval '9 days'), (8, 18, 1, now() - interval '9 days');
INSERT INTO findings (kind, subject, since) VALUES
    ('host_counter', 'host 7', now() - interval '3 hours'),
    ('tombstone', 'server 17 on host 7', now() - interval '5 min');
"""

TOLD = """\
         SINCE  KIND          LOCATION  WHAT
LEAK     3 h    host_counter  north     host 7 counts 3 cores, 0 MiB, 0 GiB; its claims are 0, 0, 0
new      5 min  tombstone     north     host 7 has yet to forget server 17
pending  9 d    tombstone     south     host 8 has yet to forget server 18

1 leak; 1 younger than 1000 s; 1 waiting for silent hosts
"""


@pytest_asyncio.fixture
async def books(database: str) -> str:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(PLANTED.encode())
    return database


def test_a_leak_is_told_and_the_exit_code_is_1(books: str, tmp_path: Path) -> None:
    ended = puchify("audit", "--grace", "1000", state=tmp_path, database_url=books)

    assert (ended.code, ended.err) == (1, "")
    assert ended.out == TOLD


def test_a_region_without_a_leak_is_0_in_one_line(books: str, tmp_path: Path) -> None:
    ended = puchify("audit", "--location", "south", state=tmp_path, database_url=books)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("\n\nnothing leaks; 1 waiting for silent hosts\n")


def test_empty_books_leak_nothing(database: str, tmp_path: Path) -> None:
    ended = puchify("audit", state=tmp_path, database_url=database)

    assert (ended.code, ended.out, ended.err) == (0, "nothing leaks\n", "")


def test_the_grace_period_is_the_callers(books: str, tmp_path: Path) -> None:
    patient = puchify("audit", "--grace", "100000", state=tmp_path, database_url=books)
    strict = puchify("audit", "--grace", "0", "--json", state=tmp_path, database_url=books)

    assert patient.code == 0
    told = json.loads(strict.out)
    assert (strict.code, told["leaks"]) == (1, True)
    assert [(one["state"], one["subject"]) for one in told["findings"]] == [
        ("leak", "host 7"),
        ("leak", "server 17 on host 7"),
        ("pending", "server 18 on host 8"),
    ]


def test_a_location_that_is_not_there_is_no_clean_region(books: str, tmp_path: Path) -> None:
    ended = puchify("audit", "--location", "nroth", state=tmp_path, database_url=books)

    assert (ended.code, ended.out, ended.err) == (1, "", "puchify: there is no location 'nroth'\n")
