"""What name servers have yet to follow: notes of what changed in the books, each taken away when they do.

The transaction that changes something writes its note (triggers of 0023_names.sql), so that nothing is lost, whoever
dies, and whatever changes it: a story, the API, an operator.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from infra.db import addresses
from infra.db.pool import Connection
from infra.db.pools import pools
from infra.db.served_names import zones_of
from infra.domain.changes import Change
from infra.domain.models import ServerOrder
from infra.domain.reverse_zones import ptr_name, reverse_zone
from infra.domain.served_names import first_of, zone_of
from infra.domain.zones import Mode, names_above

PUBLISH = """
INSERT INTO published_names (server_id) SELECT id FROM servers WHERE id = %s AND status <> 'deleting'
ON CONFLICT (server_id) DO NOTHING
"""
WITHDRAW = "DELETE FROM published_names WHERE server_id = %s"

# Notes of the same are followed as one. Those that were tried come last, so that they keep no others from their turn.
DUE = """
SELECT array_agg(id) AS ids, kind, value, project_id FROM names_due
WHERE (%(project_id)s::bigint IS NULL OR project_id = %(project_id)s)
  AND noted <= clock_timestamp() - make_interval(secs => %(age)s)
  AND (tried IS NULL OR NOT %(untried)s)
GROUP BY kind, value, project_id
ORDER BY bool_or(tried IS NULL) DESC, max(tried), min(id) LIMIT 5000
"""
DONE = "DELETE FROM names_due WHERE id = ANY(%s)"
TRIED = "UPDATE names_due SET tried = now() WHERE id = ANY(%s)"
ADDRESSES = """
SELECT a.address FROM servers s JOIN published_names n ON n.server_id = s.id JOIN addresses a ON a.server_id = s.id
WHERE s.project_id = %(project_id)s AND (lower(s.name) = %(zone)s OR lower(s.name) LIKE '%%.' || %(zone)s)
"""
HELD = "SELECT address FROM addresses WHERE held"
OF_RESOURCE = """
SELECT address FROM addresses
WHERE (%(type)s = 'server' AND server_id = %(id)s) OR (%(type)s = 'primary_ip' AND primary_ip_id = %(id)s)
   OR (%(type)s = 'load_balancer' AND load_balancer_id = %(id)s)
"""
GONE = """
SELECT value FROM names_due n WHERE kind = 'realm' AND project_id = %s
AND NOT EXISTS (SELECT FROM zones z WHERE z.name = n.value)
"""
LOOK = """
INSERT INTO names_followed AS f (single) VALUES (true)
ON CONFLICT (single) DO UPDATE SET at = now() WHERE f.at < now() - interval '1 minute'
"""
FORGET = """
DELETE FROM names_due WHERE NOT EXISTS (SELECT FROM names_followed WHERE at > now() - interval '1 day')
"""

Names = set[str] | None
"""Of a zone: those that may have changed; None: all of it."""


@dataclass(frozen=True, slots=True)
class Due:
    """Notes of the same. ``zones``: what is to be looked at because of them, names by zone."""

    ids: tuple[int, ...]
    zones: Mapping[str, Names]


async def publish(connection: Connection, order: ServerOrder) -> None:
    await connection.execute(PUBLISH, (order.server_id,))


async def withdraw(connection: Connection, order: ServerOrder) -> None:
    await connection.execute(WITHDRAW, (order.server_id,))


async def zones_of_server(connection: Connection, order: ServerOrder) -> set[str]:
    """Where a server's names are served, its addresses' too; none where its own name lies in no zone of its project."""
    zone = await _zone_of_server(connection, order.project_id, order.server_id, order.name)
    if zone is None:
        return set()
    held = (await addresses.of_server(connection, order.server_id)).values()
    return {zone, *await _reverse_zones(connection, held)}


async def zones_of_change(connection: Connection, change: Change) -> set[str]:
    """Without which a change of names is not carried out: those of the resource, and of the server that it is about."""
    if change.resource.type == "zone":
        row = await (await connection.execute("SELECT name FROM zones WHERE id = %s", (change.resource.id,))).fetchone()
        if row is not None:
            return {row["name"]}
        gone = await connection.execute(GONE, (change.project_id,))
        return {row["value"] for row in await gone.fetchall()}
    asked = {"type": change.resource.type, "id": change.resource.id}
    held = [row["address"] for row in await (await connection.execute(OF_RESOURCE, asked)).fetchall()]
    found = await _reverse_zones(connection, held)
    if change.server_id is not None:
        zone = await _zone_of_server(connection, change.project_id, change.server_id)
        return found | ({zone} if zone else set())
    return found


async def _zone_of_server(connection: Connection, project_id: int, id: int, name: str = "") -> str | None:
    """The zone that its name lies in. ``name``: of one that is gone."""
    row = await (await connection.execute("SELECT name FROM servers WHERE id = %s", (id,))).fetchone()
    known = await zones_of(connection, [project_id])
    return zone_of(row["name"] if row else name, known[project_id])


async def _reverse_zones(connection: Connection, held: Iterable[str]) -> set[str]:
    networks = await pools(connection)
    return {zone for one in held if (zone := reverse_zone(first_of(one), networks))}


async def due(
    connection: Connection, project_id: int | None = None, age: float = 0, untried: bool = False
) -> list[Due]:
    """Of a project; None: of all, and what nobody knows the owner of. Noted ``age`` seconds ago or earlier.
    ``untried``: only what nobody has tried in vain to follow."""
    values = {"project_id": project_id, "age": age, "untried": untried}
    rows = await (await connection.execute(DUE, values)).fetchall()
    if not rows:
        return []
    known = await zones_of(connection, {row["project_id"] for row in rows if row["project_id"] is not None})
    reverse = await _all_reverse_zones(connection) if any(row["kind"] == "reverse" for row in rows) else set()
    looking = _Looking(connection, known, await pools(connection), reverse)
    return [Due(tuple(row["ids"]), await looking.zones(row["kind"], row["value"], row["project_id"])) for row in rows]


async def names_due(connection: Connection, zone: str) -> Names:
    """Of a zone: those that are about to be followed. One that was tried in vain may never be."""
    return together(one.zones for one in await due(connection, untried=True)).get(zone, set())


async def done(connection: Connection, followed: Sequence[int]) -> None:
    await connection.execute(DONE, (list(followed),))


async def put_off(connection: Connection, tried: Sequence[int]) -> None:
    """They were not followed: all others come first."""
    await connection.execute(TRIED, (list(tried),))


async def look(connection: Connection) -> None:
    """Somebody who has name servers follows, from now on."""
    await connection.execute(LOOK)


async def forget(connection: Connection) -> int:
    """All notes, unless somebody who has name servers followed within a day; how many there were."""
    return (await connection.execute(FORGET)).rowcount


async def served_zones(connection: Connection) -> set[str]:
    """All zones that shall be served: owners', and the reverse zones of addresses that are held."""
    names = {row["name"] for row in await (await connection.execute("SELECT name FROM zones")).fetchall()}
    return names | await _all_reverse_zones(connection)


async def _all_reverse_zones(connection: Connection) -> set[str]:
    rows = await (await connection.execute(HELD)).fetchall()
    return await _reverse_zones(connection, [row["address"] for row in rows])


@dataclass(frozen=True, slots=True)
class _Looking:
    """At what is to be looked because of a note."""

    connection: Connection
    known: Mapping[int, Mapping[str, Mode]]
    pools: Sequence[str]
    reverse: Collection[str]

    async def zones(self, kind: str, value: str, project_id: int | None) -> Mapping[str, Names]:
        if kind == "address":
            return self._of_address(value)
        if kind == "reverse":
            return dict.fromkeys(self.reverse)
        if kind == "name":
            zone = zone_of(value, self.known.get(project_id or 0, {}))
            return {zone: {value.lower()}} if zone else {}
        if kind == "zone" or project_id is None:
            return {value: None}
        return await self._of_realm(value, project_id)

    def _of_address(self, address: str) -> Mapping[str, Names]:
        ip = first_of(address)
        zone = reverse_zone(ip, self.pools)
        return {zone: {zone, ptr_name(ip)}} if zone else {}  # its name servers, too: nobody looked while none was held

    async def _of_realm(self, zone: str, project_id: int) -> Mapping[str, Names]:
        """A zone comes or goes: names of servers move between it and the one above, and their addresses' with them."""
        above = next((one for one in names_above(zone) if one in self.known[project_id]), None)
        found: dict[str, Names] = {zone: None, **({above: None} if above else {})}
        values = {"project_id": project_id, "zone": zone}
        rows = await (await self.connection.execute(ADDRESSES, values)).fetchall()
        return together([found, *(self._of_address(row["address"]) for row in rows)])


def together(some: Iterable[Mapping[str, Names]]) -> dict[str, Names]:
    found: dict[str, Names] = {}
    for zones in some:
        for zone, names in zones.items():
            there = found.setdefault(zone, set())
            found[zone] = None if there is None or names is None else there | names
    return found


def followed(dues: Iterable[Due], failed: Collection[str]) -> list[int]:
    """The notes all of whose zones are as they shall be."""
    return [id for one in dues if one.zones.keys().isdisjoint(failed) for id in one.ids]


def unfollowed(dues: Iterable[Due], failed: Collection[str]) -> list[int]:
    return [id for one in dues if not one.zones.keys().isdisjoint(failed) for id in one.ids]
