"""Health: a server is ready when every address answers an SSH key exchange and the agent in the guest has spoken.

One heartbeating activity polls, several times a second: Temporal's own timers have a floor of one second.
"""

from __future__ import annotations

import asyncio
import time

from temporalio import activity

from activities.machines import bring_up
from activities.ports import Ports
from infra.beside import end
from infra.domain.errors import GuestNotReady
from infra.domain.models import Machine, Readiness
from infra.drivers import protocols

PAUSE = 0.1
"""Seconds between two tries; a refused connection costs less than a millisecond."""


class Health:
    def __init__(self, host: protocols.Host, ports: Ports, patience: float) -> None:
        """``patience``: seconds a guest has from its start until it is ready."""
        self._host = host
        self._ports = ports
        self._guests = host.guests
        self._patience = patience

    @activity.defn
    async def wait_ready(self, machine: Machine) -> Readiness:
        """GuestNotReady: not within ``patience``, and what is missing."""
        if not (await self._host.machines.held()).get(machine.server_id):  # the host went down after it was started
            activity.heartbeat("bringing the machine up again")
            await bring_up(self._host, self._ports, machine)
        began = time.monotonic()
        missing = {*machine.addresses.all, "agent"}
        tasks = [asyncio.create_task(self._key(machine, a, missing)) for a in machine.addresses.all]
        tasks.append(asyncio.create_task(self._agent(machine, missing)))
        try:
            while not all(task.done() for task in tasks):
                activity.heartbeat(sorted(missing))
                if time.monotonic() - began > self._patience:
                    raise GuestNotReady(f"the server did not answer in time: {_said(missing)}")
                await asyncio.wait(tasks, timeout=1, return_when=asyncio.FIRST_EXCEPTION)
                for task in tasks:
                    if task.done():
                        task.result()
        finally:
            await end(tasks)
        return _agreed([task.result() for task in tasks])

    async def _key(self, machine: Machine, address: str, missing: set[str]) -> str:
        while True:
            try:
                key = await self._guests.host_key(address)
            except GuestNotReady:
                await asyncio.sleep(PAUSE)
            else:
                missing.discard(address)
                return key

    async def _agent(self, machine: Machine, missing: set[str]) -> str:
        """The host key that the guest itself names: what is served is vouched for from inside, not from the network."""
        while True:
            try:
                heartbeat = await self._guests.heartbeat(machine, timeout=5)
            except GuestNotReady:
                await asyncio.sleep(PAUSE)
                continue
            if heartbeat.host_key:
                missing.discard("agent")
                return heartbeat.host_key
            await asyncio.sleep(PAUSE)


def _agreed(keys: list[str]) -> Readiness:
    """``keys``: as each address showed it, then as the agent named it. Two opinions mean that somebody else answers."""
    plain = {" ".join(key.split()[:2]) for key in keys}
    if len(plain) > 1:
        raise GuestNotReady("the server answers with another host key than its own")
    return Readiness(host_key=plain.pop(), agent=True)


def _said(missing: set[str]) -> str:
    return "no answer from " + ", ".join("its agent" if m == "agent" else f"SSH on {m}" for m in sorted(missing))
