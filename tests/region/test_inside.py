"""A private network as its users have it: guests in two zones, their firewall, and a load balancer of their network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from infra.lab.errors import LabError
from infra.lab.places import OUTSIDE, PLACES
from tests.region.hosts import waited
from tests.region.live import END, LiveRegion, Wire, addresses_of
from tests.region.talk import asked
from tests.region.test_balancing import SERVED, outside

SOON = 60.0  # seconds: a network that is new on a host is told to the others, on a busy machine
OPEN, SHUT = 80, 81
LABEL = {"role": "inside"}

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not os.environ.get("LAB_ALL"), reason="a part of make lab-test"),
]


@dataclass(frozen=True)
class Pair:
    """Two guests of one network; the second serves two ports."""

    region: LiveRegion
    network_id: int
    calling: Wire
    called: Wire

    def hears(self, port: int) -> bool:
        """Whether the first is answered by the second, inside."""
        (address,) = addresses_of(self.calling)[:1]
        try:
            said = self.region.lab.nodes[OUTSIDE].run(*self.region.ssh(address), f"wget -q -T 2 -O - {self.url(port)}")
        except LabError:
            return False
        return said.strip() == self.called["name"]

    def url(self, port: int) -> str:
        return f"http://{self.inside}:{port}/index.html"

    @property
    def inside(self) -> str:
        """The second's address in the network."""
        return next(str(net["ip"]) for net in self.called["private_net"] if net["network"] == self.network_id)


@pytest.fixture(scope="module")
def pair(built_region: LiveRegion) -> Iterator[Pair]:
    region = built_region
    network = _network(region)
    group = region.asked("POST", "/placement_groups", {"name": "zones", "type": "spread"})["placement_group"]["id"]
    wishes = {"networks": [network], "placement_group": group, "labels": LABEL}
    orders = [region.order(f"inside-{number}", **wishes) for number in range(2)]
    for order in orders:
        assert region.ended(order["action"]["id"])["status"] == "success"
    calling, called = (region.server(order["server"]["id"]) for order in orders)
    serve = f"mkdir -p /www; echo {called['name']} > /www/index.html"
    region.log_in(addresses_of(called)[0], f"{serve}; httpd -p {OPEN} -h /www; httpd -p {SHUT} -h /www")
    yield Pair(region, network, calling, called)
    region.emptied()
    region.api.delete(f"/placement_groups/{group}")
    waited(lambda: region.api.delete(f"/networks/{network}").is_success, END, every=0.5)


def test_guests_in_two_zones_meet_as_their_firewall_says(pair: Pair) -> None:
    hosts = [pair.region.hops("r1", addresses_of(one)[0])[0] for one in (pair.calling, pair.called)]
    assert len({PLACES[host].zone for host in hosts}) == 2, hosts
    waited(lambda: pair.hears(OPEN) and pair.hears(SHUT), SOON)  # no firewall: all of the network's may come in
    rule = {"direction": "in", "protocol": "tcp", "port": str(OPEN), "source_ips": ["0.0.0.0/0"]}
    selector = {"type": "label_selector", "label_selector": {"selector": "role=inside"}}
    made = pair.region.asked("POST", "/firewalls", {"name": "inside", "rules": [rule], "apply_to": [selector]})
    for action in made["actions"]:
        assert pair.region.ended(action["id"])["status"] == "success"
    assert (pair.hears(OPEN), pair.hears(SHUT)) == (True, False)
    servers = [{"type": "label_selector", "label_selector": selector["label_selector"]}]
    id = made["firewall"]["id"]
    pair.region.asked("POST", f"/firewalls/{id}/actions/remove_from_resources", {"remove_from": servers})
    waited(lambda: pair.hears(SHUT), SOON)
    waited(lambda: pair.region.api.delete(f"/firewalls/{id}").is_success, SOON, every=0.5)


def test_a_load_balancer_reaches_a_target_inside_on_another_host(pair: Pair) -> None:
    """By the network alone: its edge is no host, and is told the target's private address only."""
    check = {"protocol": "tcp", "port": 22, "interval": 3, "timeout": 2, "retries": 2}
    service = {"protocol": "tcp", "listen_port": 2222, "destination_port": 22, "health_check": check}
    target = {"type": "server", "server": {"id": pair.called["id"]}, "use_private_ip": True}
    order = {"name": "inward", "load_balancer_type": "lb11", "location": "lab", "network": pair.network_id}
    made = pair.region.asked("POST", "/load_balancers", {**order, "services": [service], "targets": [target]})
    try:
        assert pair.region.ended(made["action"]["id"])["status"] == "success"
        balancer = pair.region.asked("GET", f"/load_balancers/{made['load_balancer']['id']}")["load_balancer"]
        address, world = balancer["public_net"]["ipv4"]["ip"], outside(pair.region)
        took = waited(lambda: (asked(world, address, 2222) or b"").startswith(b"SSH-2.0"), SERVED)
        print(f"\na target inside was reached {took:.2f} s after the balancer was there")
    finally:
        pair.region.api.delete(f"/load_balancers/{made['load_balancer']['id']}")


def _network(region: LiveRegion) -> int:
    (zone,) = {one["network_zone"] for one in region.asked("GET", "/locations")["locations"]}
    subnet = {"type": "cloud", "ip_range": "10.77.1.0/24", "network_zone": zone}
    body = {"name": "inside", "ip_range": "10.77.0.0/16", "subnets": [subnet]}
    return int(region.asked("POST", "/networks", body)["network"]["id"])
