"""Load balancers that cannot be: every wrong field is named, and nothing is left of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.balancing import make_balancer
from tests.api.refusals import fields_of
from tests.fix_api import Api

SERVICE = {"protocol": "http"}


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "x" * 129}, ["name"]),
        ({"load_balancer_type": "huge", "location": "atlantis"}, ["load_balancer_type", "location"]),
        ({"location": None, "network_zone": "moon"}, ["network_zone"]),
        ({"network_zone": "moon"}, ["network_zone"]),
        ({"network": 2**50}, ["network"]),
        ({"algorithm": {"type": "random"}}, ["algorithm.type"]),
        ({"public_net": {"ipv4": 1}}, ["public_net.ipv4"]),
        ({"services": [{"protocol": "udp"}]}, ["services.0.protocol"]),
        ({"services": [{"listen_port": 80}]}, ["services.0.protocol"]),
        (
            {"services": [SERVICE, {"protocol": "tcp"}, {"protocol": "https"}]},
            ["services.1.listen_port", "services.2.http.certificates"],
        ),
        ({"services": [{**SERVICE, "http": {"redirect_http": True}}]}, ["services.0.http.redirect_http"]),
        (
            {"services": [{**SERVICE, "listen_port": 0, "http": {"cookie_lifetime": 29, "timeout_idle": 301}}]},
            ["services.0.http.cookie_lifetime", "services.0.http.timeout_idle", "services.0.listen_port"],
        ),
        (
            {"services": [{**SERVICE, "health_check": {"interval": 2, "timeout": 61, "retries": 6}}]},
            [f"services.0.health_check.{name}" for name in ("interval", "timeout", "retries")],
        ),
        (
            {"services": [{**SERVICE, "health_check": {"http": {"path": "up", "status_codes": ["okay"]}}}]},
            ["services.0.health_check.http.path", "services.0.health_check.http.status_codes.0"],
        ),
        (
            {"services": [{**SERVICE, "health_check": {"http": {"domain": "50%", "response": "a\nb"}}}]},
            ["services.0.health_check.http.domain", "services.0.health_check.http.response"],
        ),
        ({"targets": [{"type": "server"}]}, ["targets.0.server"]),
        ({"targets": [{"type": "server", "server": {"id": 2**50}}]}, ["targets.0.server.id"]),
        (
            {"targets": [{"type": "label_selector", "label_selector": {"selector": "a in ("}}]},
            ["targets.0.label_selector.selector"],
        ),
        ({"targets": [{"type": "ip", "ip": {"ip": "localhost"}}]}, ["targets.0.ip.ip"]),
        ({"targets": [{"type": "moon"}]}, ["targets.0.type"]),
    ],
)
async def test_what_cannot_be_is_named_field_by_field(
    module_api: Api, change: dict[str, Any], fields: list[str]
) -> None:
    body = {"name": "wrong", "load_balancer_type": "lb11", "location": module_api.region.location, **change}
    reply = await module_api.http.post("/load_balancers", json=body)

    assert fields_of(reply) == fields
    assert (await module_api.http.get("/load_balancers", params={"name": "wrong"})).json()["load_balancers"] == []


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        ("change_algorithm", {"type": "random"}, "type"),
        ("change_type", {"load_balancer_type": "huge"}, "load_balancer_type"),
        ("attach_to_network", {"network": 2**50}, "network"),
        ("detach_from_network", {"network": 2**50}, "network"),
        ("add_service", {"protocol": "tcp"}, "listen_port"),
        ("update_service", {"protocol": "tcp"}, "listen_port"),
        ("delete_service", {}, "listen_port"),
        ("add_target", {"type": "ip"}, "ip"),
        ("remove_target", {"type": "label_selector"}, "label_selector"),
        ("change_dns_ptr", {"ip": "192.0.2.1"}, "dns_ptr"),
    ],
)
async def test_an_action_names_what_is_wrong(module_api: Api, action: str, body: dict[str, Any], field: str) -> None:
    id = await make_balancer(module_api, f"wrong-{action}".replace("_", "-"))

    reply = await module_api.http.post(f"/load_balancers/{id}/actions/{action}", json=body)

    assert fields_of(reply) == [field]


async def test_a_pool_that_is_empty_makes_none(module_api: Api) -> None:
    api = module_api
    taken = "UPDATE addresses SET released = now() + interval '1 hour' WHERE NOT held AND pool_id IN {pools}"
    pools = f"(SELECT id FROM address_pools WHERE location_id = {api.region.location_id} AND type = 'ipv6')"
    async with api.region.pool.connection() as connection:
        await connection.execute(taken.format(pools=pools).encode())
        await connection.execute(f"UPDATE address_pools SET next_index = last_index + 1 WHERE id IN {pools}".encode())

    body = {"name": "thirsty", "load_balancer_type": "lb11", "location": api.region.location}
    reply = await api.http.post("/load_balancers", json=body)

    async with api.region.pool.connection() as connection:
        await connection.execute(f"UPDATE addresses SET released = NULL WHERE NOT held AND pool_id IN {pools}".encode())
    assert (reply.status_code, reply.json()["error"]["code"]) == (412, "resource_unavailable")
    assert (await api.http.get("/load_balancers", params={"name": "thirsty"})).json()["load_balancers"] == []
    await api.region.assert_balanced()
