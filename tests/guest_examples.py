"""Servers as their guests see them: in networks that want the same, without addresses, without networks."""

from __future__ import annotations

from dataclasses import replace

from infra.domain.metadata import Guest, KnownNetwork
from infra.domain.models import Addresses, Image, Machine, Resources
from infra.domain.port_plan import GuestRoute, PortPlan
from infra.domain.seed import Surroundings
from tests.port_plans import member_port, plan_for

KEYS = ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB+x/3= ada@example.org", "ssh-rsa AAAA/B3 'a: \"b\" ä'")
AROUND = Surroundings(("192.0.2.53", "2001:db8::53"), 1450)
MACHINE = Machine(
    server_id=4711,
    epoch=2,
    host_id=1,
    name="web.example.org",
    resources=Resources(cores=2, memory_mib=2048, disk_gib=20),
    image=Image(id=1, name="tiny", digest="d" * 64, architecture="x86", disk_gib=1, has_agent=True),
    addresses=Addresses("203.0.113.7", "2001:db8:100:7::/64"),
)
ROUTES = (GuestRoute("0.0.0.0/0", "10.8.0.9"), GuestRoute("10.99.0.0/16", "10.8.0.9"))
FIRST = member_port(71, aliases=("10.8.9.9", "10.8.9.10"), routes=ROUTES)
SECOND = member_port(72, vni=5002, ip_range="192.168.0.0/24", routes=(GuestRoute("10.99.0.0/16", "192.168.0.5"),))
NOWHERE = replace(MACHINE, addresses=Addresses(None, None))

PLANS: dict[str, PortPlan] = {
    "alone": plan_for(MACHINE),
    "in-networks": plan_for(MACHINE, SECOND, FIRST),
    "private-only": plan_for(NOWHERE, FIRST),
    "without-anything": plan_for(NOWHERE),
}


def guest_of(plan: PortPlan, user_data: str = "#!/bin/sh\necho ä\n", **more: str) -> Guest:
    known = {71: ("shop", "10.8.0.0/24"), 72: ('on: "the" side', "192.168.0.0/25")}
    networks = [
        KnownNetwork(port.member_id, *known.get(port.member_id, ("net", port.ip_range))) for port in plan.private
    ]
    return Guest(
        plan=plan,
        hostname=more.get("hostname", MACHINE.name),
        ssh_keys=KEYS,
        user_data=user_data,
        has_agent=False,
        availability_zone="fsn1-dc1",
        region="eu-central",
        networks=tuple(networks),
        vendor_data="#cloud-boothook\n#!/bin/sh\ntrue\n",
        around=AROUND,
    )
