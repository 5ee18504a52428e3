"""How many of a kind a project may have: exactly so many, also when more are asked for at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from tests.api.refusals import outcome_of
from tests.api.test_certificates import make
from tests.fix_api import serving_api
from tests.fix_region import NewRegion

MOST = 2
KINDS = ("networks", "firewalls", "load_balancers", "certificates", "zones")


async def test_a_project_has_so_many_of_a_kind_and_no_more(module_region: NewRegion, tmp_path: Path) -> None:
    pair = make(tmp_path, "example.com")
    bodies: dict[str, dict[str, Any]] = {
        "networks": {"ip_range": "10.0.0.0/16"},
        "firewalls": {},
        "load_balancers": {"load_balancer_type": "lb11"},
        "certificates": {"certificate": pair.certificate, "private_key": pair.key},
        "zones": {"mode": "primary"},
    }
    async with module_region(0) as region:
        region.settings = region.settings.model_copy(update={f"{kind}_per_project": MOST for kind in KINDS})
        async with serving_api(region) as api:
            for kind, body in bodies.items():
                bodies_at_once = [{**body, "name": f"n{n}.example.com"} for n in range(MOST + 3)]
                replies = await asyncio.gather(*(api.http.post(f"/{kind}", json=one) for one in bodies_at_once))
                assert Counter(map(outcome_of, replies)) == {"201": MOST, "resource_limit_exceeded": 3}, kind
                refused = next(reply for reply in replies if reply.status_code == 403).json()["error"]
                assert refused["message"] == f"a project has at most 2 {kind.replace('_', ' ')}"
                (limit,) = refused["details"]["limits"]
                assert limit == {"name": "project_limit", "resource": kind, "limit": 2, "used": 2, "asked": 1}
                kept = next(reply for reply in replies if reply.status_code == 201).json()[kind[:-1]]["id"]
                assert (await api.http.delete(f"/{kind}/{kept}")).is_success
                assert (await api.http.post(f"/{kind}", json={**body, "name": "after.example.com"})).is_success
