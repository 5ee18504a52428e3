"""What the tests of load balancers stand on: a client, and how it makes what they need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hcloud import APIException, Client
from hcloud.images import Image
from hcloud.load_balancer_types import LoadBalancerType
from hcloud.load_balancers import (
    BoundLoadBalancer,
)
from hcloud.locations import Location
from hcloud.networks import BoundNetwork, NetworkSubnet
from hcloud.server_types import ServerType
from hcloud.servers import BoundServer, ServerCreatePublicNetwork

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
        answer = self.hcloud.servers.create(
            name,
            ServerType(name="px1"),
            Image(name="tiny"),
            location=Location(name=self.location),
            public_net=public,
            start_after_create=False,
            **wishes,
        )
        answer.action.wait_until_finished()
        return self.hcloud.servers.get_by_id(answer.server.id)

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
    client = Client(token=api.region.token, api_endpoint=f"{api.url}/api/v1", poll_interval=0.1)
    places = (await api.http.get("/locations", params={"name": api.region.location})).json()["locations"]
    await asyncio.to_thread(story, Ground(client, api.region.location, str(places[0]["network_zone"])))
    await api.region.assert_balanced()


def code_of(ask: Callable[[], Any]) -> str:
    with pytest.raises(APIException) as refused:
        ask()
    return str(refused.value.code)


async def make_balancer(api: Api, name: str) -> int:
    body = {"name": name, "load_balancer_type": "lb11", "location": api.region.location}
    reply = await api.http.post("/load_balancers", json=body)
    assert reply.status_code == 201, reply.text
    return int(reply.json()["load_balancer"]["id"])
