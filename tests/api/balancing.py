"""What the tests of load balancers stand on: a client, and how it makes what they need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hcloud import Client
from hcloud.load_balancer_types import LoadBalancerType
from hcloud.load_balancers import BoundLoadBalancer
from hcloud.locations import Location
from hcloud.networks import BoundNetwork, NetworkSubnet
from hcloud.servers import BoundServer, ServerCreatePublicNetwork

from tests.api.stopped import make_server
from tests.fix_api import Api


@dataclass
class Ground:
    """What the bound models' stories stand on: a client, and how it makes what they need."""

    hcloud: Client
    location: str
    zone: str

    def balancer(self, name: str, **wishes: Any) -> BoundLoadBalancer:
        wishes.setdefault("location", Location(name=self.location))
        wishes.setdefault("load_balancer_type", LoadBalancerType(name="lb11"))
        made = self.hcloud.load_balancers.create(name, **wishes)
        made.action.wait_until_finished()
        return self.seen(made.load_balancer)

    def seen(self, balancer: BoundLoadBalancer) -> BoundLoadBalancer:
        return self.hcloud.load_balancers.get_by_id(balancer.id)

    def server(self, name: str, public: ServerCreatePublicNetwork | None = None, **wishes: Any) -> BoundServer:
        return make_server(self.hcloud, self.location, name, public_net=public, **wishes)

    def network(self, name: str, second: int) -> BoundNetwork:
        subnet = NetworkSubnet(ip_range=f"10.{second}.1.0/24", type="cloud", network_zone=self.zone)
        return self.hcloud.networks.create(name, f"10.{second}.0.0/16", subnets=[subnet])

    def told(self, path: str) -> Any:
        """The answer itself: the client passes over some of it."""
        return self.hcloud._client.request("GET", path)

    def gone(self, *things: Any) -> None:
        for thing in things:
            deleted = thing.delete()
            if deleted is not True:
                getattr(deleted, "action", deleted).wait_until_finished()


async def on(api: Api, story: Callable[[Ground], None]) -> None:
    await asyncio.to_thread(story, Ground(api.hcloud, api.region.location, await api.network_zone()))
    await api.region.assert_balanced()


async def make_balancer(api: Api, name: str) -> int:
    body = {"name": name, "load_balancer_type": "lb11", "location": api.region.location}
    reply = await api.http.post("/load_balancers", json=body)
    assert reply.status_code == 201, reply.text
    return int(reply.json()["load_balancer"]["id"])
