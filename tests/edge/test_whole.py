"""All of it: hcloud-python orders, HAProxy serves, and the API says how the targets do."""

from __future__ import annotations

import asyncio
from typing import Any

from hcloud.certificates import Certificate
from hcloud.load_balancer_types import LoadBalancerType
from hcloud.load_balancers import (
    BoundLoadBalancer,
    LoadBalancerHealthCheck,
    LoadBalancerHealthCheckHttp,
    LoadBalancerService,
    LoadBalancerServiceHttp,
    LoadBalancerTarget,
    LoadBalancerTargetLabelSelector,
)
from hcloud.locations import Location

from tests.edge.backends import PORT, Backends, ask
from tests.edge.conftest import RunningEdge
from tests.edge.regional import new_edge, working_edge
from tests.fix_api import Api
from tests.fix_region import eventually

CHECK = LoadBalancerHealthCheck(
    protocol="http",
    port=PORT,
    interval=3,
    timeout=1,
    retries=1,
    http=LoadBalancerHealthCheckHttp(path="/health", status_codes=["2??"]),
)
SELECTOR = LoadBalancerTarget(
    type="label_selector", label_selector=LoadBalancerTargetLabelSelector("role=web"), use_private_ip=False
)


def order(api: Api, pem: str) -> BoundLoadBalancer:
    """HTTP, and HTTPS with a certificate of one's own; whoever has the label is sent to."""
    certificate, _, key = pem.partition("-----BEGIN PRIVATE KEY-----")
    client = api.hcloud
    kept = client.certificates.create("web", certificate, f"-----BEGIN PRIVATE KEY-----{key}")
    https = LoadBalancerService(
        protocol="https",
        listen_port=443,
        destination_port=PORT,
        health_check=CHECK,
        http=LoadBalancerServiceHttp(certificates=[Certificate(id=kept.id)]),
    )
    made = client.load_balancers.create(
        "front",
        LoadBalancerType(name="lb11"),
        location=Location(name=api.region.location),
        services=[LoadBalancerService(protocol="http", listen_port=80, destination_port=PORT, health_check=CHECK)],
        targets=[SELECTOR],
    )
    made.action.wait_until_finished()
    made.load_balancer.add_service(https).wait_until_finished()
    return client.load_balancers.get_by_id(made.load_balancer.id)


def statuses(api: Api, id: int) -> dict[int, set[str]]:
    """By server: what the API says of it."""
    (target,) = api.hcloud.load_balancers.get_by_id(id).targets
    return {one.server.id: {each.status for each in one.health_status} for one in target.targets or []}


async def test_from_the_order_to_the_answer(
    module_api: Api, edge: RunningEdge, backends: Backends, own_pem: str
) -> None:
    region = module_api.region
    async with working_edge(region, await new_edge(region), edge):
        balancer = await asyncio.to_thread(order, module_api, own_pem)
        address = balancer.public_net.ipv4.ip
        assert (await ask(address))[0] == 503
        made = [await region.create(name=f"web-{n}", labels={"role": "web"}) for n in range(2)]
        rows = [
            await region.one("SELECT address FROM addresses WHERE server_id = %s AND type = 'ipv4'", one.server_id)
            for one in made
        ]
        servers = [await backends.add(str(row["address"])) for row in rows if row]

        async def all_are(status: str) -> bool:
            told = await asyncio.to_thread(statuses, module_api, balancer.id)
            return told == {one.server_id: {status} for one in made}

        await eventually(lambda: all_are("healthy"))
        assert {(await ask(address))[2] for _ in range(4)} == {one.address for one in servers}
        for one in servers:
            await one.down()
        await eventually(lambda: all_are("unhealthy"))
        await region.delete(made[0])
        await servers[1].up()
        assert await eventually(lambda: _answers(address)) == servers[1].address

        await asyncio.to_thread(lambda: balancer.delete().action.wait_until_finished())
        await eventually(lambda: _is_gone(address))
        await region.delete(made[1])


async def _answers(address: str) -> Any:
    status, _, body = await ask(address)
    return body if status == 200 else None


async def _is_gone(address: str) -> bool:
    try:
        await ask(address)
    except OSError:
        return True
    return False
