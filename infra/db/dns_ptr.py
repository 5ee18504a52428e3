"""Names of public addresses, as their owners set them: kept with what holds the address, by address."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from infra.db.named import Kind
from infra.db.pool import Connection


async def keep_ptr(connection: Connection, kind: Kind[Any], id: int, ip: str, name: str | None) -> None:
    """None takes the name back. The caller holds the row's lock, and has checked that the address is of it."""
    change = "dns_ptr || jsonb_build_object(%(ip)s::text, %(name)s::text)" if name else "dns_ptr - %(ip)s::text"
    query = sql.SQL("UPDATE {} SET dns_ptr = {} WHERE id = %(id)s").format(sql.Identifier(kind.table), sql.SQL(change))
    await connection.execute(query, {"ip": ip, "name": name, "id": id})
