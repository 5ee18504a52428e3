"""Load balancers in the books. Whoever changes one holds its row's lock: what was checked still holds when written.

Each has two public addresses of its own for as long as it lives, whether its public interface is on or off, and is in
one network at most. Its services and its targets are told with it, and changed in the modules of their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.db import addresses, edges, network_members
from infra.db.dns_ptr import keep_ptr
from infra.db.load_balancer_types import LoadBalancerType, load_balancer_type_of
from infra.db.locations import Location, location_of
from infra.db.named import Kind
from infra.db.network_members import Holder, Member, Wish, member_of
from infra.db.pool import Connection
from infra.domain.errors import InvalidInput, QuotaExceeded
from infra.domain.load_balancers import (
    Algorithm,
    HealthCheck,
    Http,
    HttpCheck,
    Service,
    TargetType,
    bare_ipv6,
    exceeded,
)
from infra.domain.refusals import (
    InvalidLoadBalancerType,
    LoadBalancerAlreadyAttached,
    LoadBalancerNotAttachedToNetwork,
    TargetsWithoutUsePrivateIp,
)

SELECT = sql.SQL("""
SELECT r.id, r.project_id, r.name, r.algorithm, r.public_enabled, r.protected, r.dns_ptr, r.labels, r.created,
       to_jsonb(t) AS type, to_jsonb(l) AS location,
       (SELECT jsonb_object_agg(a.type, a.address) FROM addresses a WHERE a.load_balancer_id = r.id) AS addresses,
       (SELECT coalesce(jsonb_agg(to_jsonb(m) ORDER BY m.id), '[]') FROM members m WHERE m.load_balancer_id = r.id)
       AS nets,
       (SELECT coalesce(jsonb_agg(to_jsonb(s) - 'load_balancer_id' ORDER BY s.listen_port), '[]')
        FROM load_balancer_services s WHERE s.load_balancer_id = r.id) AS services,
       (SELECT coalesce(jsonb_agg(to_jsonb(b) ORDER BY b.id), '[]')
        FROM load_balancer_targets b WHERE b.load_balancer_id = r.id) AS targets
FROM load_balancers r
JOIN load_balancer_types t ON t.id = r.load_balancer_type_id
JOIN locations l ON l.id = r.location_id""")


@dataclass(frozen=True, slots=True)
class Target:
    """One of ``server_id``, ``selector`` and ``ip``. ``by_network``: reached in the load balancer's network."""

    server_id: int | None
    selector: str | None
    ip: str | None
    by_network: bool

    @property
    def type(self) -> TargetType:
        if self.ip is not None:
            return "ip"
        return "server" if self.server_id is not None else "label_selector"


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """``ipv6``: an address, not a network. ``dns_ptr``: names that were set, by address."""

    id: int
    project_id: int
    name: str
    algorithm: Algorithm
    public_enabled: bool
    protected: bool
    dns_ptr: dict[str, str]
    labels: dict[str, str]
    created: datetime
    type: LoadBalancerType
    location: Location
    ipv4: str
    ipv6: str
    member: Member | None
    services: Sequence[Service]
    targets: Sequence[Target]

    @property
    def holder(self) -> Holder:
        return Holder(self.location.network_zone, load_balancer_id=self.id)


@dataclass(frozen=True, slots=True)
class NewLoadBalancer:
    project_id: int
    name: str
    type_id: int
    location: Location
    algorithm: Algorithm
    public_enabled: bool
    labels: dict[str, str]


def _load_balancer(row: DictRow) -> LoadBalancer:
    columns = ("project_id", "name", "algorithm", "public_enabled", "protected", "dns_ptr", "labels", "created")
    own = {column: row[column] for column in ("id", *columns)}
    return LoadBalancer(
        **own,
        type=load_balancer_type_of(row["type"]),
        location=location_of(row["location"]),
        ipv4=row["addresses"]["ipv4"],
        ipv6=bare_ipv6(row["addresses"]["ipv6"]),
        member=next(map(member_of, row["nets"]), None),
        services=[_service(one) for one in row["services"]],
        targets=[
            Target(one["server_id"], one["selector"], one["ip"], one["member_id"] is not None) for one in row["targets"]
        ],
    )


def _service(row: dict[str, Any]) -> Service:
    http, check = row["http"], row["health_check"]
    check_http = check["http"] and HttpCheck(**_tuples(check["http"]))
    return Service(
        **{
            **row,
            "http": http and Http(**_tuples(http)),
            "health_check": HealthCheck(**{**check, "http": check_http}),
        }
    )


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


KIND = Kind("load_balancers", "load balancer", SELECT, _load_balancer)


async def create(connection: Connection, new: NewLoadBalancer, rest: float) -> int:
    """With its addresses, alone, on an edge; its id. Where no edge lives, the first that comes takes it: nothing is
    lost, and its targets are unknown until then. ResourceUnavailable: no address is free. UniquenessError: the name."""
    values = {
        "project_id": new.project_id,
        "name": new.name,
        "load_balancer_type_id": new.type_id,
        "location_id": new.location.id,
        "algorithm": new.algorithm,
        "public_enabled": new.public_enabled,
        "labels": Jsonb(new.labels),
    }
    id = await KIND.insert(connection, values)
    await addresses.take(connection, "load_balancer_id", id, new.location.name, "ipv4", rest)
    await addresses.take(connection, "load_balancer_id", id, new.location.name, "ipv6", rest)
    await edges.assign(connection, new.location.id)
    return id


async def delete(connection: Connection, project_id: int, id: int) -> None:
    """Its addresses come to rest, and it leaves its network. Protected."""
    found = await KIND.locked(connection, project_id, id)
    if not found.protected:
        await addresses.release_held(connection, "load_balancer_id", id)
    await KIND.delete(connection, project_id, id)


async def change_algorithm(connection: Connection, project_id: int, id: int, algorithm: Algorithm) -> None:
    await KIND.lock(connection, project_id, id)
    await connection.execute("UPDATE load_balancers SET algorithm = %s WHERE id = %s", (algorithm, id))


async def change_type(connection: Connection, project_id: int, id: int, type: LoadBalancerType) -> None:
    """InvalidLoadBalancerType: it has more of something than that type takes."""
    found = await KIND.locked(connection, project_id, id)
    if limit := exceeded(type, found.services, len(found.targets)):
        raise InvalidLoadBalancerType(f"load balancer has more than type {type.name} takes: {limit}")
    await connection.execute("UPDATE load_balancers SET load_balancer_type_id = %s WHERE id = %s", (type.id, id))


def check_limits(type: LoadBalancerType, services: Sequence[Service], targets: int) -> None:
    """QuotaExceeded: the type does not take so many."""
    if limit := exceeded(type, services, targets):
        message = f"load balancer type {type.name} takes no more: its {limit} is {getattr(type, limit)}"
        raise QuotaExceeded(message, {"limits": [{"name": limit}]})


async def attach(connection: Connection, project_id: int, id: int, network_id: int, wish: Wish) -> None:
    """NotFound: no such network. LoadBalancerAlreadyAttached, IpNotAvailable, NoSubnetAvailable, InvalidInput."""
    found = await KIND.locked(connection, project_id, id)
    if found.member:
        raise LoadBalancerAlreadyAttached(f"load balancer is attached to network {found.member.network_id} already")
    await network_members.join(connection, project_id, network_id, found.holder, wish)


async def detach(connection: Connection, project_id: int, id: int, network_id: int) -> None:
    """The targets that it reached there go. LoadBalancerNotAttachedToNetwork."""
    found = await KIND.locked(connection, project_id, id)
    if found.member is None or found.member.network_id != network_id:
        raise LoadBalancerNotAttachedToNetwork(f"load balancer is not attached to network {network_id}")
    await network_members.leave(connection, project_id, network_id, found.holder)


async def enable_public_interface(connection: Connection, project_id: int, id: int) -> None:
    await KIND.lock(connection, project_id, id)
    await connection.execute("UPDATE load_balancers SET public_enabled = true WHERE id = %s", (id,))


async def disable_public_interface(connection: Connection, project_id: int, id: int) -> None:
    """Off already is fine. LoadBalancerNotAttachedToNetwork, TargetsWithoutUsePrivateIp: it is needed."""
    found = await KIND.locked(connection, project_id, id)
    if not found.public_enabled:
        return
    if found.member is None:
        raise LoadBalancerNotAttachedToNetwork("load balancer must be attached to a network first")
    if not all(target.by_network for target in found.targets):
        raise TargetsWithoutUsePrivateIp("load balancer has targets that it reaches by their public addresses")
    await connection.execute("UPDATE load_balancers SET public_enabled = false WHERE id = %s", (id,))


async def set_ptr(connection: Connection, project_id: int, id: int, ip: str, name: str | None) -> None:
    """None takes the name back. InvalidInput: the address is not this load balancer's."""
    found = await KIND.locked(connection, project_id, id)
    if ip not in (found.ipv4, found.ipv6):
        raise InvalidInput.field("ip", f"{ip} is not a public address of this load balancer")
    await keep_ptr(connection, KIND, id, ip, name)
