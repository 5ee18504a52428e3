"""The metadata service on the wire: each guest hears of itself, whatever it says, and waits for nobody but itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest
import pytest_asyncio

from infra.domain.errors import StaleClaim, Unavailable
from infra.domain.metadata import METADATA, NETWORK, USER_DATA, Guest
from infra.drivers import metadata_doors, metadata_http
from tests.fix_region import eventually
from tests.guest_examples import PLANS, guest_of
from tests.network.fix_namespaces import Namespace, NewGuest, plug_in, unplug
from workers.metadata import AWAY, FRESH, FRESH_FOR_AGENT, Metadata

NAME = f"{METADATA}/hostname"
LINK = "[fe80::1%25eth0]"


FLOOD = """
import socket, time
ends = [socket.socket() for _ in range(200)]
for end in ends:
    end.setblocking(False)
    end.connect_ex(("169.254.169.254", 80))
time.sleep(0.3)
for end in ends:
    try: end.send(b"GET /hetzner/v1/")
    except OSError: pass
print("begun", flush=True)
time.sleep(60)
"""
STALL = """
import socket, time
end = socket.create_connection(("169.254.169.254", 80))
end.send(b"GET /hetzner/v1/userdata HTTP/1.0\\r\\n\\r\\n")
print("begun", flush=True)
time.sleep(60)
"""


@dataclass
class Books:
    """Instead of the API: what it knows of guests, and whether it answers."""

    guests: dict[int, Guest] = field(default_factory=dict)
    is_away: bool = False
    asked: int = 0
    now: float = 1000.0

    async def guest(self, server_id: int) -> Guest:
        self.asked += 1
        if self.is_away:
            raise Unavailable("a part of the service does not answer; try again")
        if server_id not in self.guests:
            raise StaleClaim("the server is not placed on this host any more")
        return self.guests[server_id]

    def add(self, server_id: int, **more: str) -> None:
        plan = replace(PLANS["alone"], server_id=server_id)
        self.guests[server_id] = guest_of(plan, **{"hostname": f"server-{server_id}", **more})


@dataclass
class Service:
    books: Books
    metadata: Metadata


@asynccontextmanager
async def serving(books: Books) -> AsyncIterator[Service]:
    metadata = Metadata(books, lambda: books.now)  # type: ignore[arg-type]
    keeping = asyncio.create_task(metadata.keep_on())
    try:
        yield Service(books, metadata)
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


@pytest_asyncio.fixture
async def service(private_network: None) -> AsyncIterator[Service]:
    async with serving(Books()) as service:
        yield service


async def heard(guest: Namespace, path: str = NAME, of: str = "169.254.169.254") -> bytes:
    """Of a service that has just begun, or of a port that was just made."""

    async def answered() -> tuple[int, bytes] | None:
        status, body = await guest.asks(path, of=of)
        return (status, body) if status else None

    status, body = await eventually(answered, 20)
    assert status == 200
    return bytes(body)


async def begun(guest: Namespace, program: str) -> asyncio.subprocess.Process:
    """A Python program in the guest, once it says that it has begun."""
    command = guest.inside("python3", "-c", program)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"begun\n"
    return process


async def test_each_guest_hears_of_itself_whatever_it_says(service: Service, new_guest: NewGuest) -> None:
    one, other = new_guest(901, "10.78.0.1"), new_guest(902, "10.78.0.2")
    service.books.add(901)
    service.books.add(902)
    assert (await heard(one), await heard(other)) == (b"server-901", b"server-902")

    ip6 = other.runs("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link").split()[3]
    one.runs("ip", "-6", "addr", "flush", "dev", "eth0", "scope", "link")
    one.runs("ip", "addr", "add", ip6, "dev", "eth0", "nodad")
    lies: list[tuple[str, ...]] = [
        ("-H", "Host: server-902", "-H", "X-Forwarded-For: 10.78.0.2", "-H", "X-Real-IP: 10.78.0.2"),
        ("-H", "X-Instance-ID: 902", "-H", "Forwarded: for=10.78.0.2"),
        ("-x", "http://169.254.169.254:80"),
    ]
    said = [await one.asks(f"{NAME}?server=902", *lie) for lie in lies]
    said.append(await one.asks(NAME, of=LINK))  # from the other's address
    assert said == [(200, b"server-901")] * 4


async def test_a_guest_without_public_addresses_asks_on_its_link(service: Service, new_guest: NewGuest) -> None:
    service.books.add(903)
    assert await heard(new_guest(903), of=LINK) == b"server-903"


async def test_user_data_comes_byte_for_byte(service: Service, new_guest: NewGuest) -> None:
    data = "#!/bin/sh\r\n\n\x00\x7f ä \U0001f600" + "x" * 30_000 + "\n\n"
    service.books.add(904, user_data=data)
    assert await heard(new_guest(904, "10.78.0.4"), USER_DATA) == data.encode()


async def test_what_is_not_served_is_refused(service: Service, new_guest: NewGuest) -> None:
    guest = new_guest(905, "10.78.0.5")
    service.books.add(905)
    await heard(guest)

    refused: dict[int, list[tuple[str, ...]]] = {
        404: [(METADATA + "s",), ("/",), (f"{METADATA}/../userdata", "--path-as-is"), ("/internal/v1/hosts/1/claims",)],
        405: [(NAME, "-X", method) for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW")],
        431: [(NAME, "-H", f"X: {'x' * 20_000}")],
    }
    for status, questions in refused.items():
        assert [(await guest.asks(*question))[0] for question in questions] == [status] * len(questions)
    assert (await guest.asks(NAME, "--data", "x" * 5000))[0] == 405
    assert (await guest.asks(NAME, "-I"))[0] == 200
    assert (await guest.asks(NAME + "/"))[0] == 200


async def test_a_flood_and_a_stall_are_no_neighbours_concern(service: Service, new_guest: NewGuest) -> None:
    hostile, other = new_guest(906, "10.78.0.6"), new_guest(907, "10.78.0.7")
    for server_id in (906, 907):
        service.books.add(server_id)
    assert (await heard(hostile), await heard(other)) == (b"server-906", b"server-907")
    flooding = await begun(hostile, FLOOD)
    began = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*(other.asks(NAME) for _ in range(20)))
    took = asyncio.get_running_loop().time() - began
    flooding.kill()
    await flooding.wait()

    assert answers == [(200, b"server-907")] * 20
    assert took < 5
    assert await heard(hostile) == b"server-906"


async def test_a_guest_that_does_not_read_is_let_go(
    service: Service, new_guest: NewGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata_http, "PATIENCE", 0.5)
    monkeypatch.setattr(metadata_doors, "CONNECTIONS", 1)
    guest = new_guest(908, "10.78.0.8")
    service.books.add(908, user_data="x" * 8_000_000)
    await heard(guest)
    stalling = await begun(guest, STALL)

    assert await guest.asks(NAME) == (200, b"server-908")

    stalling.kill()
    await stalling.wait()


async def test_ports_are_followed_as_they_come_and_go(service: Service, new_guest: NewGuest) -> None:
    guest = new_guest(909, "10.78.0.9")
    service.books.add(909)
    assert await heard(guest) == b"server-909"
    unplug(guest)
    service.books.add(909, hostname="anew")
    service.metadata.changed(909)
    plug_in(guest)
    assert await heard(guest) == b"anew"


async def test_a_service_that_begins_again_knows_who_is_there(new_guest: NewGuest) -> None:
    guest, books = new_guest(910, "10.78.0.10"), Books()
    books.add(910)
    async with serving(books):
        assert await heard(guest) == b"server-910"
    assert await guest.asks(NAME, "-m", "0.5") == (0, b"")
    async with serving(books):
        assert await heard(guest) == b"server-910"


async def test_nobody_but_guests_is_answered(service: Service, new_guest: NewGuest) -> None:
    guest = new_guest(911, "10.78.0.11")
    service.books.add(911)
    await heard(guest)
    for address in ("169.254.169.254", "172.31.1.1", "127.0.0.1"):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((address, 80), timeout=5)
    assert (await guest.asks(NAME, of="172.31.1.1"))[0] == 0


# Of one that no wire leads to


async def test_the_books_are_asked_once_in_a_while() -> None:
    books = Books()
    books.add(1)
    metadata = Metadata(books, lambda: books.now)  # type: ignore[arg-type]
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
    books.add(1)
    metadata = Metadata(books, lambda: books.now)  # type: ignore[arg-type]
    assert (await metadata.answer(1, NETWORK)).body == b"network 1\nend\n"
    books.guests[1] = guest_of(PLANS["in-networks"])
    metadata.changed(1)
    books.is_away = True
    assert (await metadata.answer(1, NETWORK)).body == b"network 1\nend\n"
    books.is_away = False
    assert b"address 10.8.0.71/16" in (await metadata.answer(1, NETWORK)).body


async def test_without_the_books_the_last_answer_is_good_for_a_while() -> None:
    books = Books(is_away=True)
    books.add(1)
    metadata = Metadata(books, lambda: books.now)  # type: ignore[arg-type]
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
    books.add(1)
    metadata = Metadata(books, lambda: books.now)  # type: ignore[arg-type]
    await metadata.answer(1, NAME)
    del books.guests[1]
    books.now += FRESH + 1
    assert (await metadata.answer(1, NAME)).status == 404
    books.is_away = True
    assert (await metadata.answer(1, NAME)).status == 503
