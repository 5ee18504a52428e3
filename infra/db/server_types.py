"""Server types: the plans that servers are ordered by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.db import terms
from infra.db.pool import Connection
from infra.domain.terms import Terms

SERVER_TYPES = terms.SELECT.format(table="server_type").encode()
OWN = (
    *("id", "name", "description", "cores", "memory_mib", "disk_gib"),
    *("cpu_type", "storage_type", "category", "architecture"),
)


@dataclass(frozen=True, slots=True)
class ServerType:
    """Memory in MiB, disk in GiB."""

    id: int
    name: str
    description: str
    cores: int
    memory_mib: int
    disk_gib: int
    cpu_type: str
    storage_type: str
    category: str
    architecture: str
    terms: Terms


def server_type_of(row: Mapping[str, Any]) -> ServerType:
    """From a row, or from the type alone as JSON: then its terms at single locations are not known."""
    return ServerType(**{column: row[column] for column in OWN}, terms=terms.terms_of(row))


async def server_types(connection: Connection) -> list[ServerType]:
    return [server_type_of(row) for row in await (await connection.execute(SERVER_TYPES)).fetchall()]
