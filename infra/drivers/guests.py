"""Guests as seen from their host: SSH answers a key exchange, and the agent speaks through its channel."""

from __future__ import annotations

import asyncio
import json
import re
import socket
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


class SshAndAgent:
    def __init__(self, layout: HostLayout) -> None:
        self._layout = layout

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
        channel = str(self._layout.agent_socket(machine.server_id))
        reader, writer = await asyncio.open_unix_connection(channel, limit=LONGEST_LINE)
        try:
            while line := await _line(reader):
                beat = heartbeat_of(line)
                if beat is not None and beat.instance == machine.instance_id:
                    return beat
        finally:
            writer.close()
        raise GuestNotReady("the server's agent hung up")


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


def heartbeat_of(line: bytes) -> Heartbeat | None:
    """One line of the agent; None when it is something else. The guest is its owner's: nothing in it is believed."""
    try:
        told: Any = json.loads(line)
        if told["type"] != "heartbeat":
            return None
        key, uptime = " ".join(str(told["hostkey"]).split()[:2]), float(told["uptime"])
        instance = str(told["instance"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    if not isfinite(uptime) or (key and not PUBLIC_KEY.fullmatch(key)):
        return None
    return Heartbeat(instance, uptime, key)
