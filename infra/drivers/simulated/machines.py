"""The machines of a simulated host, and the guests in them.

A guest answers, speaks through its agent and obeys the power button once its machine has run for ``latencies.boot``
seconds, and is reached only through its port. Memory is given out when a machine is defined; cores are shared, so a
host never runs out of them.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Collection

from infra.domain.errors import GuestNotReady, HostFull, HostUnavailable
from infra.domain.models import Machine, MachineState
from infra.drivers.protocols import Heartbeat, PartsMissing
from infra.drivers.simulated.body import POLL, Body
from infra.drivers.simulated.ports import plan_on
from infra.drivers.simulated.storage import seed_on


class SimulatedMachines:
    def __init__(self, body: Body) -> None:
        self.body = body

    async def define(self, machine: Machine) -> None:
        async with self.body.faults.around("machines.define", machine.server_id):
            self.body.require_parts(machine.server_id)
            self._require_ports(machine.server_id, machine.members)
            await asyncio.sleep(self.body.latencies.define)
            self._require_memory(machine)
            self.body.db.execute(
                "INSERT INTO machines (server_id, memory_mib) VALUES (?, ?)"
                " ON CONFLICT (server_id) DO UPDATE SET memory_mib = excluded.memory_mib",
                (machine.server_id, machine.resources.memory_mib),
            )
            if started_at(self.body, machine.server_id) is None:
                self._remove_nics(machine.server_id, machine.members)
                self._add_nics(machine.server_id, machine.members)

    async def unplug(self, server_id: int, keep: Collection[int]) -> None:
        async with self.body.faults.around("machines.unplug", server_id):
            await asyncio.sleep(self.body.latencies.look)
            self._remove_nics(server_id, keep)

    async def plug(self, server_id: int, members: Collection[int]) -> None:
        async with self.body.faults.around("machines.plug", server_id):
            await asyncio.sleep(self.body.latencies.look)
            if self.body.holds("machines", server_id):
                self._require_ports(server_id, members)
                self._add_nics(server_id, members)

    def _require_ports(self, server_id: int, members: Collection[int]) -> None:
        plan = plan_on(self.body.db, server_id)
        if missing := set(members) - set(plan.members if plan else ()):
            raise PartsMissing(f"server {server_id} has no port of membership {min(missing)}")

    def _add_nics(self, server_id: int, members: Collection[int]) -> None:
        nics = [(server_id, member) for member in members]
        self.body.db.executemany("INSERT OR IGNORE INTO nics (server_id, member_id) VALUES (?, ?)", nics)

    def _remove_nics(self, server_id: int, keep: Collection[int]) -> None:
        gone = [(server_id, member) for member in nics_on(self.body.db, server_id) - set(keep)]
        self.body.db.executemany("DELETE FROM nics WHERE server_id = ? AND member_id = ?", gone)

    def _require_memory(self, machine: Machine) -> None:
        query = "SELECT coalesce(sum(memory_mib), 0) FROM machines WHERE server_id != ?"
        others: int = self.body.db.execute(query, (machine.server_id,)).fetchone()[0]
        if others + machine.resources.memory_mib > self.body.settings.capacity().memory_mib:
            raise HostFull("there is no memory left for the server")

    async def start(self, server_id: int) -> None:
        async with self.body.faults.around("machines.start", server_id):
            if not self.body.holds("machines", server_id):
                raise PartsMissing(f"server {server_id} is started, but was never defined")
            if started_at(self.body, server_id) is not None:
                return
            self.body.require_parts(server_id)
            await asyncio.sleep(self.body.latencies.start)
            if not self._power_on(server_id):
                raise HostUnavailable("the server was removed while it started")

    def _power_on(self, server_id: int) -> bool:
        """Run it from now on; a run that began meanwhile goes on. False: the machine is gone."""
        seed = seed_on(self.body.db, server_id)
        on = "UPDATE machines SET started = ?, instance = ? WHERE server_id = ? AND started IS NULL"
        self.body.db.execute(on, (time.time(), _instance_id(seed.meta_data if seed else ""), server_id))
        return self.body.holds("machines", server_id)

    async def shut_down(self, server_id: int, patience: float) -> bool:
        async with self.body.faults.around("machines.shut_down", server_id):
            pressed = time.time()
            while (started := started_at(self.body, server_id)) is not None:
                obeyed = max(pressed, started + self.body.latencies.boot) + self.body.latencies.shut_down
                if time.time() >= obeyed:
                    off = "UPDATE machines SET started = NULL WHERE server_id = ? AND started = ?"
                    self.body.db.execute(off, (server_id, started))
                elif time.time() >= pressed + patience:
                    return False
                else:
                    await asyncio.sleep(POLL)
            return True

    async def destroy(self, server_id: int) -> None:
        async with self.body.faults.around("machines.destroy", server_id):
            await asyncio.sleep(self.body.latencies.destroy)
            self.body.db.execute("DELETE FROM machines WHERE server_id = ?", (server_id,))
            self.body.db.execute("DELETE FROM nics WHERE server_id = ?", (server_id,))

    async def held(self) -> dict[int, bool]:
        async with self.body.faults.around("machines.held"):
            await asyncio.sleep(self.body.latencies.look)
            return self._known()

    async def states(self) -> dict[int, MachineState]:
        async with self.body.faults.around("machines.states"):
            await asyncio.sleep(self.body.latencies.look)
            return {server_id: "running" if runs else "off" for server_id, runs in self._known().items()}

    def _known(self) -> dict[int, bool]:
        known = self.body.db.execute("SELECT server_id, started NOTNULL FROM machines")
        return {server_id: bool(runs) for server_id, runs in known}


def nics_on(db: sqlite3.Connection, server_id: int) -> set[int]:
    """The memberships that the machine has a NIC for."""
    return {row[0] for row in db.execute("SELECT member_id FROM nics WHERE server_id = ?", (server_id,))}


def started_at(body: Body, server_id: int) -> float | None:
    """When the run of a machine began, in seconds since the epoch; None when it is off or unknown."""
    row = body.db.execute("SELECT started FROM machines WHERE server_id = ?", (server_id,)).fetchone()
    return row[0] if row else None


def _instance_id(meta_data: str) -> str:
    """What cloud-init would take from the seed: the agent reports it, so that a mixed-up seed shows."""
    entries = dict(line.split(": ", 1) for line in meta_data.splitlines() if ": " in line)
    return str(json.loads(entries.get("instance-id", '"nocloud"')))


class SimulatedGuests:
    def __init__(self, body: Body) -> None:
        self.body = body

    async def host_key(self, address: str) -> str:
        server_id = self._behind(address)
        async with self.body.faults.around("guests.host_key", server_id):
            await asyncio.sleep(self.body.latencies.handshake)
            server_id = self._behind(address)
            if server_id is None or self._uptime(server_id) is None:
                raise GuestNotReady("the server does not answer on SSH yet")
            return self.body.host_key(server_id)

    async def heartbeat(self, machine: Machine, timeout: float) -> Heartbeat:
        async with self.body.faults.around("guests.heartbeat", machine.server_id):
            deadline = time.monotonic() + timeout
            await asyncio.sleep(self.body.latencies.heartbeat)
            while (uptime := self._agent_uptime(machine.server_id)) is None:
                if time.monotonic() >= deadline:
                    raise GuestNotReady("the server's agent did not report in time")
                await asyncio.sleep(POLL)
            return Heartbeat(self._instance(machine.server_id), uptime, self.body.host_key(machine.server_id))

    async def heard(self, server_ids: Collection[int]) -> dict[int, float]:
        """Agents that are up answer; what others said earlier is not remembered."""
        async with self.body.faults.around("guests.heard"):
            await asyncio.sleep(self.body.latencies.look)
            return {server_id: 0.0 for server_id in server_ids if self._agent_uptime(server_id) is not None}

    def _behind(self, address: str) -> int | None:
        query = "SELECT server_id FROM addresses JOIN ports USING (server_id) WHERE address = ? AND done"
        row = self.body.db.execute(query, (address,)).fetchone()
        return row[0] if row else None

    def _uptime(self, server_id: int) -> float | None:
        """Seconds since the power-on; None while the guest is not up."""
        started = started_at(self.body, server_id)
        uptime = time.time() - started if started is not None else -1.0
        return uptime if uptime >= self.body.latencies.boot else None

    def _agent_uptime(self, server_id: int) -> float | None:
        """An image that lacks the agent gets it from its seed's vendor data, as a real one does."""
        row = self.body.db.execute("SELECT has_agent FROM disks WHERE server_id = ?", (server_id,)).fetchone()
        seed = seed_on(self.body.db, server_id)
        has_agent = (row and row[0]) or (seed and seed.vendor_data)
        return self._uptime(server_id) if has_agent else None

    def _instance(self, server_id: int) -> str:
        row = self.body.db.execute("SELECT instance FROM machines WHERE server_id = ?", (server_id,)).fetchone()
        return str(row[0])
