"""How many of a kind a project may have: exactly so many, also when more are asked for at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from tests.api.refusals import outcome_of
from tests.api.test_certificates import make
from tests.api.test_ssh_keys import new_key
from tests.fix_api import serving_api
from tests.fix_region import NewRegion

MOST = 2
KINDS = {
    "networks": "networks",
    "firewalls": "firewalls",
    "load_balancers": "load balancers",
    "certificates": "certificates",
    "zones": "zones",
    "ssh_keys": "SSH keys",
    "placement_groups": "placement groups",
    "primary_ips": "primary IPs",
}
"""With what they are called."""
LIMITS = {f"{kind}_per_project": MOST for kind in KINDS}


async def test_a_project_has_so_many_of_a_kind_and_no_more(module_region: NewRegion, tmp_path: Path) -> None:
    pair = make(tmp_path, "example.com")
    bodies: dict[str, dict[str, Any]] = {
        "networks": {"ip_range": "10.0.0.0/16"},
        "firewalls": {},
        "load_balancers": {"load_balancer_type": "lb11"},
        "certificates": {"certificate": pair.certificate, "private_key": pair.key},
        "zones": {"mode": "primary"},
        "ssh_keys": {},
        "placement_groups": {"type": "spread"},
        "primary_ips": {"type": "ipv6"},
    }
    async with module_region(0) as region:
        region.settings = region.settings.model_copy(update=LIMITS)
        async with serving_api(region) as api:
            for kind, body in bodies.items():
                bodies_at_once = [_named(f"n{n}", kind, body) for n in range(MOST + 3)]
                replies = await asyncio.gather(*(api.http.post(f"/{kind}", json=one) for one in bodies_at_once))
                assert Counter(map(outcome_of, replies)) == {"201": MOST, "resource_limit_exceeded": 3}, kind
                refused = next(reply for reply in replies if reply.status_code == 403).json()["error"]
                assert refused["message"] == f"a project has at most 2 {KINDS[kind]}"
                (limit,) = refused["details"]["limits"]
                assert limit == {"name": "project_limit", "resource": kind, "limit": 2, "used": 2, "asked": 1}
                kept = next(reply for reply in replies if reply.status_code == 201).json()[kind[:-1]]["id"]
                assert (await api.http.delete(f"/{kind}/{kept}")).is_success
                assert (await api.http.post(f"/{kind}", json=_named("after", kind, body))).is_success


def _named(name: str, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "name": f"{name}.example.com", **({"public_key": new_key()} if kind == "ssh_keys" else {})}


async def test_primary_ips_that_go_with_their_servers_are_not_counted(module_region: NewRegion) -> None:
    async with module_region(1) as region:
        region.settings = region.settings.model_copy(update={"primary_ips_per_project": 1})
        async with serving_api(region) as api:
            created = (await api.create(start_after_create=False)).json()
            await api.succeeded(created["action"]["id"])
            own = [created["server"]["public_net"][version]["id"] for version in ("ipv4", "ipv6")]
            kept = (await api.http.post("/primary_ips", json={"name": "kept", "type": "ipv4"})).json()["primary_ip"]

            unassigned = await api.http.post(f"/primary_ips/{own[0]}/actions/unassign")
            to_stay = await api.http.put(f"/primary_ips/{own[1]}", json={"auto_delete": False})

            assert [outcome_of(reply) for reply in (unassigned, to_stay)] == ["resource_limit_exceeded"] * 2
            assert (await api.http.put(f"/primary_ips/{kept['id']}", json={"auto_delete": False})).is_success
            assert (await api.http.delete(f"/primary_ips/{kept['id']}")).is_success
            assert (await api.http.post(f"/primary_ips/{own[0]}/actions/unassign")).is_success
