"""The metadata service on the wire: each guest hears of itself, whatever it says, and waits for nobody but itself."""

from __future__ import annotations

import socket
import subprocess

import pytest

from infra.domain.metadata import METADATA, USER_DATA
from infra.drivers import metadata_doors, metadata_http
from infra.drivers.ports import HostPorts
from tests.network.fix_guests import Guests
from tests.network.fix_metadata import ADDRESS, LINK, NAME, Asker, Books, Service, serving

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


def begun(guest: Asker, program: str) -> subprocess.Popen[bytes]:
    """A Python program in the guest, once it says that it has begun."""
    process = guest.end.start("python3", "-c", program)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


async def test_each_guest_hears_of_itself_whatever_it_says(service: Service) -> None:
    one, other = await service.guest(1), await service.guest(2)
    assert (await one.hears(), await other.hears()) == (b"server-1", b"server-2")
    theirs = other.plan.public.ipv4 or ""
    link = other.end.run("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link").split()[3]

    said = [
        await one.asks(NAME, Host="server-2", X_Forwarded_For=theirs, X_Real_IP=theirs, Forwarded=f"for={theirs}"),
        await one.asks(f"{NAME}?server=2", X_Instance_ID="2"),
        await one.asks(f"http://{theirs}{NAME}"),
    ]
    one.end.configure("addr flush dev eth0 scope link", f"addr add {link} dev eth0 nodad")
    said.append(await one.asks(NAME, of=LINK))  # from the other's address, having no other there
    one.end.configure(f"addr add {theirs}/32 dev eth0")
    forged = await one.asks(NAME, source=theirs, patience=0.5)

    assert said == [(200, b"server-1")] * 4
    assert forged == (0, b"")


async def test_a_guest_without_public_addresses_asks_on_its_link(service: Service) -> None:
    guest = await service.guest(3, has_addresses=False)
    assert await guest.hears(of=LINK) == b"server-3"


async def test_user_data_comes_byte_for_byte(service: Service) -> None:
    data = "#!/bin/sh\r\n\n\x00\x7f ä \U0001f600" + "x" * 30_000 + "\n\n"
    assert await (await service.guest(4, user_data=data)).hears(USER_DATA) == data.encode()


async def test_what_is_not_served_is_refused(service: Service) -> None:
    guest = await service.guest(5)
    await guest.hears()

    for path in (f"{METADATA}s", "/", f"{METADATA}/../userdata", "/internal/v1/hosts/1/claims"):
        assert (await guest.asks(path))[0] == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW"):
        assert (await guest.asks(NAME, method))[0] == 405
    assert (await guest.asks(NAME, X="x" * 20_000))[0] == 431
    assert (await guest.asks(NAME, "HEAD")) == (200, b"")
    assert (await guest.asks(f"{NAME}/"))[0] == 200


async def test_a_flood_is_no_neighbours_concern(service: Service) -> None:
    hostile, other = await service.guest(6), await service.guest(7)
    assert (await hostile.hears(), await other.hears()) == (b"server-6", b"server-7")
    flooding = begun(hostile, FLOOD)
    try:  # each sooner than any of the flood is given up
        answers = [await other.asks(NAME, patience=metadata_http.PATIENCE / 2) for _ in range(20)]
    finally:
        end(flooding)

    assert answers == [(200, b"server-7")] * 20
    assert await hostile.hears() == b"server-6"


async def test_a_guest_that_does_not_read_is_let_go(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_http, "PATIENCE", 0.5)
    monkeypatch.setattr(metadata_doors, "CONNECTIONS", 1)
    guest = await service.guest(8, user_data="x" * 8_000_000)
    await guest.hears()
    stalling = begun(guest, STALL)
    try:
        assert await guest.asks(NAME) == (200, b"server-8")
    finally:
        end(stalling)


async def test_ports_are_followed_as_they_come_and_go(service: Service) -> None:
    guest = await service.guest(9)
    assert await guest.hears() == b"server-9"
    await service.ports.detach(9)
    service.books.add(guest.plan, hostname="anew")
    assert await (await service.plug_in(guest.plan)).hears() == b"anew"


async def test_a_service_that_begins_again_knows_who_is_there(ports: HostPorts, guests: Guests) -> None:
    books = Books()
    async with serving(books, ports, guests) as service:
        guest = await service.guest(10)
        assert await guest.hears() == b"server-10"
    assert await guest.asks(NAME, patience=0.5) == (0, b"")
    async with serving(books, ports, guests):
        assert await guest.hears() == b"server-10"


async def test_nobody_but_guests_is_answered_and_nowhere_else(service: Service) -> None:
    guest = await service.guest(11)
    await guest.hears()
    for address in (ADDRESS, "172.31.1.1", "127.0.0.1"):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((address, 80), timeout=5)
    assert (await guest.asks(NAME, of="172.31.1.1", patience=0.5))[0] == 0
