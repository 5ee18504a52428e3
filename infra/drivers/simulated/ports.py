"""The ports of a simulated host: the plan of each server, as it was last attached."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import asdict
from functools import cache

from pydantic import TypeAdapter

from infra.domain.port_plan import PortPlan
from infra.drivers.simulated.body import Body, CallerBug


class SimulatedPorts:
    def __init__(self, body: Body) -> None:
        self.body = body

    async def attach(self, plan: PortPlan) -> None:
        async with self.body.faults.around("ports.attach", plan.server_id):
            self._begin(plan)
            await asyncio.sleep(self.body.latencies.ports)
            self.body.finish("ports", plan.server_id)

    def _begin(self, plan: PortPlan) -> None:
        db, server_id = self.body.db, plan.server_id
        addresses = plan.public.addresses
        for address in addresses:
            row = db.execute("SELECT server_id FROM addresses WHERE address = ?", (address,)).fetchone()
            if row and row[0] != server_id:
                raise CallerBug(f"servers {row[0]} and {server_id} have the same address {address}")
        db.execute("INSERT OR IGNORE INTO ports (server_id, done) VALUES (?, 0)", (server_id,))
        text = json.dumps(asdict(plan))
        db.execute("INSERT OR REPLACE INTO plans (server_id, plan) VALUES (?, ?)", (server_id, text))
        db.execute("DELETE FROM addresses WHERE server_id = ?", (server_id,))
        db.executemany(
            "INSERT OR REPLACE INTO addresses (address, server_id) VALUES (?, ?)",
            [(address, server_id) for address in addresses],
        )

    async def detach(self, server_id: int) -> None:
        async with self.body.faults.around("ports.detach", server_id):
            await asyncio.sleep(self.body.latencies.remove)
            for table in ("addresses", "plans", "ports"):
                self.body.db.execute(f"DELETE FROM {table} WHERE server_id = ?", (server_id,))

    async def held(self) -> set[int]:
        async with self.body.faults.around("ports.held"):
            await asyncio.sleep(self.body.latencies.look)
            return self.body.held("ports")


def plan_on(db: sqlite3.Connection, server_id: int) -> PortPlan | None:
    row = db.execute("SELECT plan FROM plans WHERE server_id = ?", (server_id,)).fetchone()
    return _adapter().validate_json(row[0]) if row else None


@cache
def _adapter() -> TypeAdapter[PortPlan]:
    return TypeAdapter(PortPlan)
