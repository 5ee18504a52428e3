"""What an edge is to serve: the load balancers that are its own by now, with all that HAProxy needs to know of them.

The books make the plan at the moment in which the edge asks for it, so that orders which come late, twice or out of
order all come to the same. It carries certificates' private keys: it travels over the internal endpoint and nowhere
else. Addresses and ranges are text in canonical form.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

from infra.domain.load_balancers import Algorithm, Service

HealthStatus = Literal["healthy", "unhealthy", "unknown"]
MOST_BACKENDS = 500
"""Of one load balancer. Types bound its targets, and a label selector is one of them, however many servers it means. A
target that would mean more is refused; servers that come later are not sent to beyond it, and told unhealthy."""


@dataclass(frozen=True, slots=True)
class PrivateSide:
    """A load balancer in a network: ``vni`` is the network's identifier in overlays, all of ``ip_range`` is reached
    without a gateway."""

    member_id: int
    vni: int
    mac: str
    ip: str
    ip_range: str


@dataclass(frozen=True, slots=True)
class Backend:
    """Whom a load balancer sends to. ``by_network``: reached by its private side."""

    address: str
    by_network: bool = False


@dataclass(frozen=True, slots=True)
class Balancer:
    """``epoch``: of its assignment to this edge. ``ipv4``, ``ipv6``: None while its public interface is off; the
    generations as those of infra.domain.port_plan.PublicPort. ``max_connections``: of its type, at a time.
    ``project_id``: whose it is; a project's load balancers share what an edge takes for one."""

    id: int
    epoch: int
    algorithm: Algorithm
    max_connections: int
    ipv4: str | None = None
    ipv6: str | None = None
    ipv4_generation: int = 0
    ipv6_generation: int = 0
    private: PrivateSide | None = None
    services: tuple[Service, ...] = ()
    backends: tuple[Backend, ...] = ()
    project_id: int = 0

    @property
    def public(self) -> tuple[str, ...]:
        return tuple(address for address in (self.ipv4, self.ipv6) if address)


@dataclass(frozen=True, slots=True)
class Certificate:
    """``pem``: the chain, its own certificate first, and the private key."""

    id: int
    pem: str


@dataclass(frozen=True, slots=True)
class EdgePlan:
    """``certificates``: those that the services name."""

    edge_id: int
    balancers: tuple[Balancer, ...] = ()
    certificates: tuple[Certificate, ...] = ()

    @property
    def digest(self) -> str:
        """Of all that is to be served, keys too, in 64 hexadecimal digits: two plans of one digest are the same."""
        told = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(told.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Served:
    """What an edge serves by now. ``problems``: what of the plan it had to leave out, in words, by name."""

    digest: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """How a backend does for the service on ``listen_port``."""

    load_balancer_id: int
    listen_port: int
    address: str
    by_network: bool
    status: HealthStatus


@dataclass(frozen=True, slots=True)
class EdgeOrder:
    """An edge is to follow its plan, whatever that is by now."""

    edge_id: int
