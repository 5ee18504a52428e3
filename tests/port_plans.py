"""Plans of ports for machines that are in no books."""

from __future__ import annotations

from typing import Any

from infra.domain.models import Machine
from infra.domain.networks import mac_of
from infra.domain.port_plan import PortPlan, PrivatePort, PublicPort


def plan_for(machine: Machine, *private: PrivatePort, **more: Any) -> PortPlan:
    """As the books would make it. ``private`` of a machine with members: made up where not given."""
    public = PublicPort(machine.mac, machine.addresses.ipv4, machine.addresses.ipv6_network)
    ports = private or tuple(member_port(member) for member in machine.members)
    return PortPlan(machine.server_id, machine.epoch, public, ports, **more)


def member_port(member_id: int, vni: int = 5001, ip_range: str = "10.8.0.0/16", **more: Any) -> PrivatePort:
    """A membership in the network of that VNI, with the address of its number."""
    ip = f"{ip_range.rsplit('.', 2)[0]}.{member_id >> 8 & 255}.{member_id & 255}"
    return PrivatePort(member_id, vni, vni, mac_of(member_id), **{"ip": ip, "ip_range": ip_range, **more})
