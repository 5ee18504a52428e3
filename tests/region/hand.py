"""A host's hand on its ports, without the rest of a host: it does what it reads, a line at a time, in its network.

hand.py VTEP PRIVATE_MTU UPLINKS    {"attach": PLAN} or {"detach": SERVER_ID}; each is answered with a line
"""

from __future__ import annotations

import asyncio
import json
import sys

from pydantic import TypeAdapter

from infra.domain.port_plan import PortPlan
from infra.drivers.ports import HostNetwork, HostPorts
from infra.lab.places import FABRIC

PLAN = TypeAdapter(PortPlan)


async def obey(vtep: str, mtu: str, uplinks: str) -> None:
    ports = HostPorts(HostNetwork(tuple(uplinks.split(",")), vtep=vtep, vteps=FABRIC.vteps, private_mtu=int(mtu)))
    await ports.open()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        match json.loads(line):
            case {"attach": plan}:
                await ports.attach(PLAN.validate_python(plan))
            case {"detach": server_id}:
                await ports.detach(server_id)
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(obey(*sys.argv[1:]))
