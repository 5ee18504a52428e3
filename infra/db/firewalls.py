"""Firewalls in the books: their rules, which are set as a whole, and what they are applied to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg import errors, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.db.named import Kind
from infra.db.pool import Connection
from infra.domain.firewalls import Rule, Target, grouped
from infra.domain.refusals import ResourceInUse

SELECT = sql.SQL("""
SELECT r.id, r.name, r.rules, r.labels, r.created,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('server_id', t.server_id, 'selector', t.selector)
                                  ORDER BY t.id), '[]')
        FROM firewall_targets t WHERE t.firewall_id = r.id) AS targets
FROM firewalls r""")


@dataclass(frozen=True, slots=True)
class Firewall:
    """``rules``: those for what comes in first. ``targets``: in the order in which it was applied to them."""

    id: int
    name: str
    rules: tuple[Rule, ...]
    labels: dict[str, str]
    created: datetime
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class NewFirewall:
    project_id: int
    name: str
    rules: tuple[Rule, ...]
    labels: dict[str, str]


def _firewall(row: DictRow) -> Firewall:
    targets = tuple(Target(**one) for one in row["targets"])
    return Firewall(**{**row, "rules": tuple(map(rule_of, row["rules"])), "targets": targets})


def rule_of(kept: dict[str, Any]) -> Rule:
    """As it is kept."""
    sides = {side: tuple(kept[side]) for side in ("source_ips", "destination_ips")}
    return Rule(**{**kept, **sides})


def _kept(rules: Iterable[Rule]) -> Jsonb:
    return Jsonb([asdict(rule) for rule in grouped(rules)])


KIND = Kind("firewalls", "firewall", SELECT, _firewall, protectable=False)


async def create(connection: Connection, new: NewFirewall) -> int:
    """Applied to nothing yet; its id. UniquenessError: the name is taken."""
    values = {
        "project_id": new.project_id,
        "name": new.name,
        "rules": _kept(new.rules),
        "labels": Jsonb(new.labels),
    }
    return await KIND.insert(connection, values)


async def set_rules(connection: Connection, project_id: int, id: int, rules: Iterable[Rule]) -> Firewall:
    """In place of all it had. What it is applied to stays as it is told until the transaction ends."""
    await KIND.lock(connection, project_id, id)
    await connection.execute("UPDATE firewalls SET rules = %s WHERE id = %s", (_kept(rules), id))
    return await KIND.get(connection, project_id, id)


async def delete(connection: Connection, project_id: int, id: int) -> None:
    """ResourceInUse: it is applied to something, a label selector that matches nothing included."""
    try:
        await KIND.delete(connection, project_id, id)
    except errors.ForeignKeyViolation as cause:
        raise ResourceInUse(f"firewall with ID {id} is still in use") from cause
