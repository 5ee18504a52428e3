"""What a host hears of its guests: an agent may say anything, an SSH server may not be one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from infra.domain.errors import GuestNotReady
from infra.drivers import guests
from infra.drivers.guests import SshAndAgent, heartbeat_of
from infra.drivers.layout import HostLayout
from tests.host.fix_host import machine_of

MACHINE = machine_of(21)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB+x/3="
BEAT = f'{{"type":"heartbeat","host":"test21","instance":"i-21","uptime":3.5,"hostkey":"{KEY} root@test21"}}\n'.encode()
NOISE = {
    "nothing": b"\n",
    "half a line": BEAT[:40] + b"\n",
    "no json": b"Welcome to Debian\n",
    "not text": bytes(range(128, 256)) + b"\n",
    "no object": b"[1]\n",
    "another type": BEAT.replace(b"heartbeat", b"pong"),
    "no key": BEAT.replace(b"hostkey", b"hotkey"),
    "another instance": BEAT.replace(b"i-21", b"i-22"),
    "deep": b"[" * 50_000 + b"\n",
    "a very large number": BEAT.replace(b"3.5", b"1" + b"0" * 400),
    "not a number": BEAT.replace(b"3.5", b"NaN"),
    "a key that is none": BEAT.replace(b"AAAA", b"<script>"),
    "a line without end": b"x" * 300_000 + b"\n",
}


@pytest.fixture
def layout(tmp_path: Path) -> HostLayout:
    layout = HostLayout(tmp_path, tmp_path)
    layout.prepare()
    return layout


@asynccontextmanager
async def agent(layout: HostLayout, *words: bytes) -> AsyncIterator[None]:
    """The agent's end of the channel: says ``words`` and stays."""

    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for word in words:
            writer.write(word)
            await asyncio.sleep(0.01)
        await done.wait()
        writer.close()

    done = asyncio.Event()
    server = await asyncio.start_unix_server(speak, layout.agent_socket(MACHINE.server_id))
    async with server:
        yield
        done.set()


async def test_a_heartbeat_is_heard(layout: HostLayout) -> None:
    async with agent(layout, BEAT):
        heartbeat = await SshAndAgent(layout).heartbeat(MACHINE, 5)
    assert (heartbeat.instance, heartbeat.uptime, heartbeat.host_key) == ("i-21", 3.5, KEY)


async def test_a_heartbeat_in_pieces_is_heard(layout: HostLayout) -> None:
    async with agent(layout, BEAT[50:], BEAT[:30], BEAT[30:]):
        assert (await SshAndAgent(layout).heartbeat(MACHINE, 5)).instance == "i-21"


async def test_an_agent_is_heard_when_it_answers_and_remembered_when_it_does_not(layout: HostLayout) -> None:
    ears = SshAndAgent(layout)
    async with agent(layout, BEAT, BEAT.replace(b"heartbeat", b"pong")):
        assert list(await ears.heard([21, 22])) == [21]
    first = (await ears.heard([21]))[21]  # nobody is there any more
    async with agent(layout, BEAT):  # it waited in the channel and says nothing of now
        with patch.object(guests, "WORD", 0.1):
            assert (await ears.heard([21]))[21] > first
    assert await ears.heard([]) == {}


@pytest.mark.parametrize("noise", NOISE)
async def test_noise_is_passed_over(layout: HostLayout, noise: str) -> None:
    async with agent(layout, NOISE[noise], BEAT):
        assert (await SshAndAgent(layout).heartbeat(MACHINE, 5)).host_key == KEY


@pytest.mark.parametrize("words", [(), (NOISE["another instance"],)])
async def test_silence_is_not_ready(layout: HostLayout, words: tuple[bytes, ...]) -> None:
    async with agent(layout, *words):
        with pytest.raises(GuestNotReady):
            await SshAndAgent(layout).heartbeat(MACHINE, 0.2)


async def test_no_channel_is_not_ready(layout: HostLayout) -> None:
    with pytest.raises(GuestNotReady):
        await SshAndAgent(layout).heartbeat(MACHINE, 5)


def test_a_key_that_is_not_made_yet_is_empty() -> None:
    heartbeat = heartbeat_of(BEAT.replace(f"{KEY} root@test21".encode(), b""))
    assert heartbeat is not None
    assert heartbeat.host_key == ""


async def _silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(1)
    writer.close()


async def _hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _speaks_http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50)
    writer.close()


async def _breaks_the_exchange(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-broken\r\n" + bytes(1000))
    writer.close()


@pytest.mark.parametrize("service", [_silent, _hangs_up, _speaks_http, _breaks_the_exchange])
async def test_what_is_no_ssh_server_is_not_ready(
    layout: HostLayout,
    private_network: None,
    service: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> None:
    server = await asyncio.start_server(service, "127.0.0.1", 22)
    async with server:
        with patch.object(guests, "EXCHANGE", 0.5), pytest.raises(GuestNotReady):
            await SshAndAgent(layout).host_key("127.0.0.1")


@pytest.mark.parametrize("address", ["127.0.0.2", "::1", "203.0.113.77"])  # refused, refused, no route
async def test_nobody_there_is_not_ready(layout: HostLayout, private_network: None, address: str) -> None:
    with pytest.raises(GuestNotReady):
        await SshAndAgent(layout).host_key(address)
