"""Guests as seen from their host: SSH answers a key exchange, and the agent speaks through its channel."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Collection
from contextlib import suppress
from math import isfinite
from typing import Any

import asyncssh

from infra.domain.errors import GuestNotReady
from infra.domain.models import Machine
from infra.drivers.layout import HostLayout
from infra.drivers.protocols import Heartbeat

CONNECT = 0.5
"""Seconds for one try. A booting guest drops the first packet, and TCP repeats it after 1, 3 and 7: better try anew."""

EXCHANGE = 10.0  # seconds; half of one under emulation, several while the guest still boots
PUBLIC_KEY = re.compile(r"[a-z0-9@.-]{1,64} [A-Za-z0-9+/]{1,8192}={0,2}")
LONGEST_LINE = 64 * 1024  # bytes; a heartbeat has some hundreds, and a guest may send anything

WORD = 2.0
"""Seconds that an agent has to answer when it is asked for a word."""
ASKED = 64
"""Agents that are asked at a time."""


class SshAndAgent:
    def __init__(self, layout: HostLayout) -> None:
        self._layout = layout
        self._heard: dict[int, float] = {}
        """When each agent was last heard, on the monotonic clock."""
        self._asking = asyncio.Semaphore(ASKED)

    async def host_key(self, address: str) -> str:
        """No login: the exchange alone proves that the guest has the key, and that its SSH server works."""
        try:
            connection = await connect(address)
            async with asyncio.timeout(EXCHANGE):
                key = await asyncssh.get_server_host_key(sock=connection, config=None)
        except Exception as error:  # the owner's server may send anything, and the library's decoder raises as it likes
            raise GuestNotReady("the server's SSH does not answer yet") from error
        if key is None:
            raise GuestNotReady("the server's SSH does not answer yet")
        return " ".join(key.export_public_key().decode().split()[:2])

    async def heartbeat(self, machine: Machine, timeout: float) -> Heartbeat:
        """Whatever else comes through the channel is passed over: half lines, noise, another instance's voice."""
        try:
            async with asyncio.timeout(timeout):
                return await self._listen(machine)
        except (OSError, TimeoutError) as error:
            raise GuestNotReady("the server's agent is not heard yet") from error

    async def _listen(self, machine: Machine) -> Heartbeat:
        reader, writer = await self._connect(machine.server_id)
        try:
            while line := await _line(reader):
                beat = heartbeat_of(line)
                if beat is not None and beat.instance == machine.instance_id:
                    self._heard[machine.server_id] = time.monotonic()
                    return beat
        finally:
            writer.close()
        raise GuestNotReady("the server's agent hung up")

    async def heard(self, server_ids: Collection[int]) -> dict[int, float]:
        """By an answer to a ping: a heartbeat may have waited in the channel for as long as nobody listened."""
        self._heard = {server_id: at for server_id, at in self._heard.items() if server_id in server_ids}
        await asyncio.gather(*map(self._ask, server_ids))
        now = time.monotonic()
        return {server_id: now - at for server_id, at in self._heard.items()}

    async def _ask(self, server_id: int) -> None:
        with suppress(OSError, TimeoutError):  # it does not run, or somebody else listens, or it has nothing to say
            async with self._asking, asyncio.timeout(WORD):
                reader, writer = await self._connect(server_id)
                try:
                    writer.write(b"ping\n")
                    while line := await _line(reader):
                        if heartbeat_of(line, "pong") is not None:
                            self._heard[server_id] = time.monotonic()
                            return
                finally:
                    writer.close()

    async def _connect(self, server_id: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self._layout.agent_socket(server_id)), limit=LONGEST_LINE)


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line; empty at the end. What is longer than any line of ours is dropped."""
    while True:
        try:
            return await reader.readline()
        except ValueError:  # longer than the limit; the reader has dropped what it had of it
            continue


async def connect(address: str) -> socket.socket:
    """A connection to the guest's SSH. TimeoutError, OSError: it does not listen yet."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        async with asyncio.timeout(CONNECT):
            await asyncio.get_running_loop().sock_connect(connection, (address, 22))
    except BaseException:
        connection.close()
        raise
    return connection


def heartbeat_of(line: bytes, kind: str = "heartbeat") -> Heartbeat | None:
    """One line of the agent; None when it is something else. The guest is its owner's: nothing in it is believed.
    ``kind``: "pong" is a heartbeat that was asked for."""
    try:
        told: Any = json.loads(line)
        if told["type"] != kind:
            return None
        key, uptime = " ".join(str(told["hostkey"]).split()[:2]), float(told["uptime"])
        instance = str(told["instance"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    if not isfinite(uptime) or (key and not PUBLIC_KEY.fullmatch(key)):
        return None
    return Heartbeat(instance, uptime, key)
