"""Names of servers, as the world asks for them: at the region's name server, which an edge announces."""

from __future__ import annotations

import time

import pytest

from infra.lab.places import NAME_SERVER, OUTSIDE
from tests.region.hosts import waited
from tests.region.live import LiveRegion, addresses_of

IN_TIME = 1.0
"""Seconds after the success of an action in which its names are answered."""

pytestmark = pytest.mark.timeout(600)


def test_a_new_servers_name_is_answered_outside(region: LiveRegion) -> None:
    zone = region.asked("POST", "/zones", {"name": "lab.example", "mode": "primary"})
    region.ended(zone["action"]["id"])
    try:
        server = region.running("www.lab.example")
        begun = time.monotonic()
        v4, v6 = addresses_of(server)
        waited(lambda: dig(region, "www.lab.example", "A") == [v4], IN_TIME)
        assert dig(region, "www.lab.example", "AAAA") == [v6]
        assert dig(region, "-x", v4) == ["www.lab.example."]
        print(f"\nanswered {time.monotonic() - begun:.2f} s after the server was there")
        region.emptied()
        waited(lambda: dig(region, "www.lab.example", "A") == [], IN_TIME)
    finally:
        region.api.delete(f"/zones/{zone['zone']['id']}")


def dig(region: LiveRegion, *question: str) -> list[str]:
    argv = ("dig", "+short", "+time=1", "+tries=1", f"@{NAME_SERVER}", *question)
    return region.lab.nodes[OUTSIDE].run(*argv).splitlines()
