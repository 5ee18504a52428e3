"""Servers as they are answered: of the whole catalogue, with its prices and datacenters, and with who sends to them."""

from __future__ import annotations

from collections.abc import Sequence

from api.schemas.servers import Catalogue, ServerWire, server_wire
from infra.db import load_balancer_targets
from infra.db.locations import locations
from infra.db.pool import Connection
from infra.db.server_types import server_types
from infra.db.servers import Server


async def shown(connection: Connection, items: Sequence[Server]) -> list[ServerWire]:
    catalogue = Catalogue(await server_types(connection), await locations(connection))
    balancing = await load_balancer_targets.of_servers(connection, items)
    return [server_wire(server, catalogue, balancing[server.id]) for server in items]
