"""Over every route of the document: another project's things are as absent as absent ones, and who may only look
changes nothing. A route that is added has to be added here.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest_asyncio

from tests.fix_api import Api, serving_api
from tests.fix_region import NewRegion, serving_another_project

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7hU5g1v0bYc2rwQ1M0zE3p1c0dVbV1nq2hY3k4m5N6 me@home"
FAR = 10**9
"""Added to an id: nobody has that one."""

OPEN = frozenset(
    {
        *("/datacenters/{id}", "/isos/{id}", "/load_balancer_types/{id}", "/locations/{id}", "/server_types/{id}"),
        *("/floating_ips/{id}", "/volumes/{id}"),
    }
)
"""What all projects see, and what nobody has yet."""

OWN = {"images": {"type": "snapshot"}}
"""What narrows a list down to what a project has; there are others that everybody sees."""

SERVICE = {"listen_port": 443, "protocol": "tcp", "destination_port": 443}
RECORDS = [{"value": "192.0.2.1"}]

BODIES: dict[str, Any] = {
    "PUT": {"name": "other", "labels": {}},
    "change_protection": {"delete": True, "rebuild": True, "change": True},
    "change_dns_ptr": {"ip": "192.0.2.1", "dns_ptr": "a.example.com"},
    "assign": {"assignee_id": 1, "assignee_type": "server"},
    "add_subnet": {"type": "cloud", "network_zone": "eu", "ip_range": "10.0.9.0/24"},
    "delete_subnet": {"ip_range": "10.0.9.0/24"},
    "add_route": {"destination": "10.100.1.0/24", "gateway": "10.0.1.5"},
    "delete_route": {"destination": "10.100.1.0/24", "gateway": "10.0.1.5"},
    "change_ip_range": {"ip_range": "10.0.0.0/12"},
    "set_rules": {"rules": []},
    "apply_to_resources": {"apply_to": [{"type": "label_selector", "label_selector": {"selector": "a=b"}}]},
    "remove_from_resources": {"remove_from": [{"type": "label_selector", "label_selector": {"selector": "a=b"}}]},
    "add_service": SERVICE,
    "update_service": SERVICE,
    "delete_service": {"listen_port": 443},
    "add_target": {"type": "label_selector", "label_selector": {"selector": "a=b"}},
    "remove_target": {"type": "label_selector", "label_selector": {"selector": "a=b"}},
    "change_algorithm": {"type": "round_robin"},
    "change_type": {"server_type": "px2", "upgrade_disk": False, "load_balancer_type": "lb11"},
    "attach_to_network": {"network": 1},
    "detach_from_network": {"network": 1},
    "change_alias_ips": {"network": 1, "alias_ips": []},
    "add_to_placement_group": {"placement_group": 1},
    "enable_rescue": {"type": "linux64", "ssh_keys": []},
    "create_image": {"type": "snapshot"},
    "rebuild": {"image": "tiny"},
    "attach_iso": {"iso": "any"},
    "change_ttl": {"ttl": 3600},
    "import_zonefile": {"zonefile": "$TTL 3600\n@ IN SOA a. b. 1 2 3 4 5\n"},
    "change_primary_nameservers": {"primary_nameservers": [{"address": "192.0.2.1"}]},
    "set_records": {"records": RECORDS},
    "add_records": {"records": RECORDS},
    "remove_records": {"records": RECORDS},
    "update_records": {"records": [{"value": "192.0.2.1", "comment": "x"}]},
    "rrsets": {"name": "new", "type": "A", "records": RECORDS},
    "server_metrics": {"type": "cpu", "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"},
    "load_balancer_metrics": {
        "type": "bandwidth",
        "start": "2026-01-01T00:00:00Z",
        "end": "2026-01-02T00:00:00Z",
    },
}
"""By the last word of the path: what the request would be granted with, were the thing its asker's own."""


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str

    @property
    def last(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def changes(self) -> bool:
        return self.method not in ("GET", "HEAD")


@dataclass
class Scene:
    """``ids``: one of each collection, of the first project; what stands for each placeholder of a path."""

    api: Api
    routes: list[Route]
    ids: dict[str, Any]
    stranger: httpx.AsyncClient
    looker: httpx.AsyncClient

    def about_one(self) -> Iterator[tuple[Route, str, str]]:
        """Routes about one thing: with its address, and with one that nobody has."""
        for route in self.routes:
            collection = route.path.split("/")[1]
            if "{" not in route.path or route.path in OPEN or collection not in self.ids:
                continue
            own = self.ids[collection]
            there = {"id": own, "id_or_name": own, "action_id": self.ids["actions"], **RRSET}
            absent = {**there, "id": own + FAR, "id_or_name": own + FAR, "action_id": self.ids["actions"] + FAR}
            yield route, filled(route.path, there), filled(route.path, absent)


RRSET = {"name": "www", "type": "A", "rr_name": "www", "rr_type": "A"}


def filled(path: str, values: dict[str, Any]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: str(values[found[1]]), path)


@pytest_asyncio.fixture(scope="module")
async def scene(module_region: NewRegion) -> AsyncIterator[Scene]:
    async with module_region() as region, serving_api(region) as api:
        document = (await api.http.get("/openapi.json")).json()
        routes = [
            Route(method.upper(), path.removeprefix("/api/v1"))
            for path, methods in document["paths"].items()
            for method in methods
        ]
        ids = await one_of_each(api)
        async with (
            serving_another_project(region) as other,
            serving_another_project(region, read_only=True) as reading,
            _client(api, other) as stranger,
            _client(api, reading) as looker,
        ):
            yield Scene(api, routes, ids, stranger, looker)


def _client(api: Api, token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"{api.url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60)


def own_pair() -> dict[str, str]:
    """A certificate that vouches for itself, with its key."""
    words = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    both = subprocess.run((*words, "-subj", "/CN=a", "-keyout", "-"), capture_output=True, text=True, check=True).stdout
    end = "-----END PRIVATE KEY-----\n"
    key, _, certificate = both.partition(end)
    return {"private_key": key + end, "certificate": certificate}


async def one_of_each(api: Api) -> dict[str, Any]:
    """Of everything that a project has, by its collection."""
    place = api.region.location
    zone = await api.network_zone()
    wishes: dict[str, dict[str, Any]] = {
        "ssh_keys": {"name": "one", "public_key": KEY},
        "placement_groups": {"name": "one", "type": "spread"},
        "primary_ips": {"name": "one", "type": "ipv4", "location": place},
        "networks": {
            "name": "one",
            "ip_range": "10.0.0.0/16",
            "subnets": [{"type": "cloud", "network_zone": zone, "ip_range": "10.0.1.0/24"}],
        },
        "firewalls": {"name": "one"},
        "certificates": {"name": "one", **own_pair()},
        "load_balancers": {"name": "one", "load_balancer_type": "lb11", "location": place},
        "zones": {
            "name": f"{place}.example.com",
            "mode": "primary",
            "rrsets": [{"name": "www", "type": "A", "records": RECORDS}],
        },
        "images": {"name": "one"},
        "quota_requests": {"scope": "project", "servers": 500, "reason": "growth"},
    }
    ids: dict[str, Any] = {}
    for collection, body in wishes.items():
        reply = await api.http.post(f"/{collection}", json=body)
        assert reply.status_code == 201, (collection, reply.text)
        ids[collection] = next(iter(reply.json().values()))["id"]
    created = (await api.create("one", start_after_create=False)).json()
    await api.succeeded(created["action"]["id"])
    return {**ids, "servers": created["server"]["id"], "actions": created["action"]["id"]}


async def test_of_another_project_nothing_is_seen(scene: Scene) -> None:
    asked = 0
    for route, theirs, absent in scene.about_one():
        body = _body(route)
        got = await _ask(scene.stranger, route, theirs, body)
        none = await _ask(scene.stranger, route, absent, body)

        assert got.status_code == 404, (route, got.status_code, got.text)
        assert route.method == "HEAD" or got.json()["error"]["code"] == "not_found", route
        assert _without_ids(got.text) == _without_ids(none.text), route
        asked += 1
    assert asked > 90


async def test_lists_hold_nothing_of_another_project(scene: Scene) -> None:
    for route in scene.routes:
        collection = route.path.strip("/")
        if route.method == "GET" and collection in scene.ids and collection != "actions":
            found = (await scene.stranger.get(route.path, params=OWN.get(collection))).json()[collection]
            assert found == [], route
    assert (await scene.stranger.get("/actions", params={"id": scene.ids["actions"]})).json()["actions"] == []


async def test_who_may_only_look_changes_nothing(scene: Scene) -> None:
    changing = [route for route in scene.routes if route.changes]
    for route in changing:
        path = re.sub(r"\{\w+\}", "1", route.path)
        reply = await _ask(scene.looker, route, path, _body(route))

        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "token_readonly"), route
    assert len(changing) > 70


async def test_every_thing_that_a_project_has_is_asked_for(scene: Scene) -> None:
    """What is neither open nor in the scene would not be tested."""
    about_one = {route.path.split("/")[1] for route in scene.routes if "{" in route.path and route.path not in OPEN}
    everywhere = {path.split("/")[1] for path in OPEN}

    assert about_one - everywhere - set(scene.ids) == set()


def _body(route: Route) -> Any:
    if not route.changes:
        return BODIES.get(f"{route.path.split('/')[1][:-1]}_{route.last}")
    if route.method == "PUT":
        return BODIES["PUT"]
    return BODIES.get(route.last)


async def _ask(client: httpx.AsyncClient, route: Route, path: str, body: Any) -> httpx.Response:
    if not route.changes:
        return await client.request(route.method, path, params=body)
    return await client.request(route.method, path, json=body)


def _without_ids(text: str) -> str:
    return re.sub(r"\d+", "?", text)
