"""What a guest has on its private NICs: decided once, told by its seed at boot and by the metadata service later.

A NIC is known by its MAC. The whole range of its network is on the link; further addresses have no subnet of their own.
A network's default route is for guests without a public IPv4 address: others keep the way out that they have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from infra.domain.networks import DEFAULT_ROUTE
from infra.domain.port_plan import GuestRoute, PortPlan


@dataclass(frozen=True, slots=True)
class Nic:
    """``addresses``: with the length of their prefix. ``routes``: no two of one guest's lead to the same."""

    mac: str
    addresses: tuple[str, ...]
    routes: tuple[GuestRoute, ...]


def private_nics(plan: PortPlan) -> tuple[Nic, ...]:
    """In the order of the memberships, which is that of their making."""
    return tuple(_nics(plan))


def _nics(plan: PortPlan) -> Iterator[Nic]:
    led_to = {str(DEFAULT_ROUTE)} if plan.public.ipv4 else set()
    for port in sorted(plan.private, key=lambda port: port.member_id):
        routes = tuple(route for route in port.routes if route.destination not in led_to)
        led_to |= {route.destination for route in routes}
        own = f"{port.ip}/{IPv4Network(port.ip_range).prefixlen}"
        yield Nic(port.mac, (own, *(f"{alias}/32" for alias in port.aliases)), routes)
