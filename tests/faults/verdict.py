"""The verdict on a server's end: what every side of the books holds of it, against what its end allows.

Running: exactly its claim's host has all its parts, and the books have each hold once. Gone: nobody has anything. A
tombstone stands only while the host that it is for has not done as it says.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, Literal

import httpx

from infra.db import ledger
from infra.domain.errors import BY_NAME
from infra.domain.models import Failure, ServerOrder
from infra.domain.power import POWER
from infra.drivers.simulated import SimulatedHost
from infra.temporal.names import provision_id
from tests.faults.history import failed_steps
from tests.faults.stories import Played
from tests.faults.surroundings import led_to, served
from tests.faults.texts import improper
from tests.fix_region import Region
from workflows import failures

End = Literal["running", "gone"]

HELD = {"quota_reservations": 1, "claims": 1, "addresses": 2, "published_names": 1, "serving": 1}
"""By table: the rows of a server that runs."""
CODES = frozenset(kind.code for kind in BY_NAME.values()) | {
    told.code for told in vars(failures).values() if isinstance(told, Failure)
}


class Chance(str):
    """What is said of a trial that a busy machine explains: its server was given up in time and in order, say."""


OF_TIME = frozenset(told.code for told in (failures.REGION_AWAY, failures.HOST_AWAY, failures.NOT_READY, failures.LATE))
PATIENCE = 90.0
"""Seconds until a host has cleared away what it was told to forget: it looks every ten."""


async def verdict(
    played: Played, allowed: frozenset[End], http: httpx.AsyncClient, gone: int | None = None
) -> list[str]:
    """What is wrong, in words; nothing is the only good answer. ``gone``: a host that is not there to clean up."""
    until = time.monotonic() + PATIENCE
    while wrong := [
        *await _books(played, allowed),
        *await _hosts(played.region, played.order, gone),
        *await _reached(played.region, played.order),
    ]:
        if time.monotonic() > until:
            break
        await asyncio.sleep(0.5)
    steps = await failed_steps(played.region.client, provision_id(played.order.server_id)) if wrong else []
    return [*wrong, *map(Chance, steps), *await _said(played, http)]


async def _books(played: Played, allowed: frozenset[End]) -> list[str]:
    region, server_id = played.region, played.order.server_id
    server = await region.server(played.order)
    wrong = []
    end: End = "running" if server else "gone"
    actions = await _actions(region, server_id)
    if end not in allowed:
        codes = [action["error_code"] or action["status"] for action in actions]
        given_up = end == "gone" and codes and set(codes) <= OF_TIME
        wrong.append((Chance if given_up else str)(f"the server is {end}: {', '.join(codes)}"))
    if server and (server["status"], server["locked_by"]) != ("running", None):
        wrong.append(f"the server is {server['status']}, locked by {server['locked_by']}")
    for table, most in HELD.items():
        row = await region.one(f"SELECT count(*) AS n FROM {table} WHERE server_id = %s", server_id)
        if row and row["n"] != (most if server else 0):
            wrong.append(f"{row['n']} {table}")
    for action in actions:
        if action["status"] == "running":
            wrong.append(f"action {action['command']} has not ended")
        if action["error_code"] not in (None, *CODES):
            wrong.append(f"unknown code {action['error_code']}")
        if action["command"] == "delete_server" and action["status"] != "success":
            wrong.append("the delete failed")
        if action["command"] == "create_server" and action["status"] == "error" and server:
            wrong.append("the create is said to have failed")
        if action["command"] in POWER and action["status"] == "error" and server:
            wrong.append(f"{action['command']} is said to have failed")
    async with region.pool.connection() as connection:
        wrong += [text for text in await ledger.imbalances(connection) if re.search(rf"\bserver {server_id}\b", text)]
    return wrong


async def _actions(region: Region, server_id: int) -> list[dict[str, Any]]:
    async with region.pool.connection() as connection:
        found = await connection.execute("SELECT * FROM actions WHERE server_id = %s ORDER BY id", (server_id,))
        return await found.fetchall()


async def _hosts(region: Region, order: ServerOrder, gone: int | None) -> list[str]:
    """Each host against the claim and the tombstones."""
    claim = await region.one("SELECT host_id FROM claims WHERE server_id = %s", order.server_id)
    wrong = []
    for host_id, host in region.hosts.items():
        buried = await region.one(
            "SELECT epoch FROM tombstones WHERE server_id = %s AND host_id = %s", order.server_id, host_id
        )
        parts, is_home = _parts(host, order.server_id), bool(claim and claim["host_id"] == host_id)
        whole = {"disk", "seed", "port", "machine", "power"}
        if is_home and parts != whole:
            wrong.append(f"its host lacks its {', '.join(sorted(whole - parts))}")
        if not is_home and parts and not (host_id == gone and buried):
            wrong.append(f"another host holds its {', '.join(sorted(parts))}")
        if buried and host_id != gone:
            wrong.append("a tombstone for a host that is there")
    return wrong


async def _reached(region: Region, order: ServerOrder) -> list[str]:
    """By its name and over the load balancer while it is there, and never again after it."""
    of_server = "SELECT address FROM addresses WHERE server_id = %s AND type = 'ipv4'"
    row, sent_to = await region.one(of_server, order.server_id), await served(region) or set()
    answered, wanted = await led_to(region, order.name), [row["address"]] if row else "NXDOMAIN"
    wrong = [] if answered == wanted else [f"its name is answered by {answered}"]
    if row and row["address"] not in sent_to:
        wrong.append("its edge does not send to it")
    nobodys = "SELECT address FROM addresses WHERE server_id IS NULL AND address = ANY(%s)"
    if row := await region.one(nobodys, list(sent_to)):
        wrong.append(f"the edge sends to {row['address']}, which nobody has")
    return wrong


def _parts(host: SimulatedHost, server_id: int) -> set[str]:
    inventory = host.inventory()
    held = {"disk": inventory.disks, "seed": inventory.seeds, "port": inventory.ports, "machine": inventory.machines}
    parts = {name for name, servers in held.items() if server_id in servers}
    return parts | ({"power"} if inventory.machines.get(server_id) else set())


async def _said(played: Played, http: httpx.AsyncClient) -> list[str]:
    """Every text that the owner may read of this server, and what is improper in it."""
    texts = [played.refused.message] if played.refused else []
    paths = [f"/servers/{played.order.server_id}"]
    for action in await _actions(played.region, played.order.server_id):
        paths += [f"/actions/{action['id']}", f"/actions/{action['id']}/timeline"]
    texts += [(await http.get(path)).text for path in paths]
    return [f"the owner reads {word!r}: {text}" for text in texts for word in improper(text)]


async def leftovers(region: Region) -> list[str]:
    """What is there at the very end, when every server is gone: in the books, and on the hosts."""
    async with region.pool.connection() as connection:
        wrong = await ledger.imbalances(connection)
    for host_id, host in region.hosts.items():
        if not (inventory := host.inventory()).is_empty:
            wrong.append(f"host {host_id} holds {inventory}")
    if sent_to := await served(region):
        wrong.append(f"the edge sends to {', '.join(sent_to)}")
    row = await region.one("SELECT sum(used_cores) AS cores FROM hosts WHERE location_id = %s", region.location_id)
    if row and row["cores"]:
        wrong.append(f"{row['cores']} cores are claimed")
    buried = "SELECT count(*) AS n FROM tombstones JOIN hosts h ON h.id = host_id WHERE h.location_id = %s"
    row = await region.one(buried, region.location_id)
    return [*wrong, *([f"{row['n']} tombstones"] if row and row["n"] else [])]
