"""Messages that the tests of hcloud's own clients compare word for word; everything else goes by the code."""

from __future__ import annotations

from typing import Any

from tests.api.balancing import make_balancer
from tests.fix_api import Api


async def _made(api: Api, kind: str, **body: Any) -> int:
    reply = await api.http.post(f"/{kind}s", json=body)
    assert reply.status_code == 201, reply.text
    return int(reply.json()[kind]["id"])


async def _refusal(api: Api, method: str, path: str, body: Any = None) -> tuple[str, str]:
    error = (await api.http.request(method, path, json=body)).json()["error"]
    return error["code"], error["message"]


async def test_a_wrong_field_is_named_by_the_message_and_told_why_by_the_details(module_api: Api) -> None:
    balancer = await make_balancer(module_api, "told-why")

    reply = await module_api.http.post(f"/load_balancers/{balancer}/actions/change_algorithm", json={"type": "magic"})

    error = reply.json()["error"]
    assert (error["code"], error["message"]) == ("invalid_input", "invalid input in field 'type'")
    assert "round_robin" in error["details"]["fields"][0]["messages"][0]


async def test_a_protected_network_says_so(module_api: Api) -> None:
    network = await _made(module_api, "network", name="guarded", ip_range="10.77.0.0/16")
    await module_api.http.post(f"/networks/{network}/actions/change_protection", json={"delete": True})

    refused = await _refusal(module_api, "DELETE", f"/networks/{network}")

    assert refused == ("protected", "network is delete protected")


async def test_an_applied_firewall_says_that_it_is_in_use(module_api: Api) -> None:
    selector = {"type": "label_selector", "label_selector": {"selector": "worded=yes"}}
    firewall = await _made(module_api, "firewall", name="in-use", apply_to=[selector])

    refused = await _refusal(module_api, "DELETE", f"/firewalls/{firewall}")

    assert refused == ("resource_in_use", f"firewall with ID {firewall} is still in use")


async def test_a_balancer_without_its_public_interface_says_what_it_cannot_do(module_api: Api) -> None:
    body = {"load_balancer_type": "lb11", "location": module_api.region.location, "public_interface": False}
    balancer = await _made(module_api, "load_balancer", name="within", **body)
    target = {"type": "label_selector", "label_selector": {"selector": "worded=yes"}}

    refused = await _refusal(module_api, "POST", f"/load_balancers/{balancer}/actions/add_target", target)

    problem = "load balancer public interface is disabled, cannot add target using public IP"
    assert refused == ("load_balancer_public_interface_disabled", problem)
