"""Load balancers on the lab's edge, asked from the world outside."""

from __future__ import annotations

import http.client
import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from infra.lab.places import OUTSIDE
from tests.region.hosts import waited
from tests.region.live import LiveRegion, Wire, addresses_of
from tests.region.talk import asked as asked_at
from tests.region.talk import inside

SERVED = 30.0  # seconds: three looks at a target's health, on a busy machine
REQUESTS, CALLERS, CHANGES = 10_000, 4, 20
LABEL = {"role": "web"}
SELECTOR = {"type": "label_selector", "label_selector": {"selector": "role=web"}}

pytestmark = pytest.mark.timeout(1200)


def test_the_world_is_served_on_both_families(region: LiveRegion) -> None:
    region.running("backend", labels=LABEL)
    with balancer(region, "tcp", 2222, 22) as addresses:
        for address in addresses:
            waited(lambda address=address: (answer(region, address) or b"").startswith(b"SSH-2.0"), SERVED)


@pytest.mark.skipif(not os.environ.get("LAB_ALL"), reason="a part of make lab-test")
def test_no_request_is_lost_while_backends_change(region: LiveRegion) -> None:
    firewall = opened(region, 80)
    servers = [region.running(f"web-{number}", labels=LABEL) for number in range(4)]
    for server in servers:
        serve = f"mkdir -p /www; echo {server['name']} > /www/index.html; httpd -p 80 -h /www"
        region.log_in(addresses_of(server)[0], serve)
    with balancer(region, "http", 80, 80) as (address, _):
        waited(lambda: status(region, address) == 200, SERVED)
        asked = ask_on(region, address, servers)
    print(f"\n{asked.requests} requests during {asked.changes} changes of backends: {len(asked.failed)} failed")
    assert (asked.failed, asked.changes) == ([], CHANGES)
    assert asked.said == {server["name"] for server in servers}
    region.emptied()
    region.api.delete(f"/firewalls/{firewall}")


@dataclass
class Asked:
    """``changes``: made while requests were under way."""

    requests: int = 0
    changes: int = 0
    failed: list[str] = field(default_factory=list)
    said: set[str] = field(default_factory=set)


def ask_on(region: LiveRegion, address: str, servers: list[Wire]) -> Asked:
    """Requests until there were enough of them, and all changes of who answers."""
    asked, lock, changed = Asked(), threading.Lock(), threading.Event()

    def call() -> None:
        while True:
            with lock:
                if asked.requests >= REQUESTS and changed.is_set():
                    return
                asked.requests += 1
            try:
                asked.said.add(get(address))
            except OSError as error:
                asked.failed.append(repr(error))

    def change() -> None:
        try:
            for number in itertools.islice(itertools.cycle(range(1, len(servers))), CHANGES // 2):
                for labels in ({}, LABEL):
                    region.asked("PUT", f"/servers/{servers[number]['id']}", {"labels": labels})
                    asked.changes += 1
                    time.sleep(1)  # one change after the other, each to be followed
        finally:
            changed.set()

    def load() -> None:
        callers = [threading.Thread(target=call) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

    changing = threading.Thread(target=change)
    changing.start()
    inside(outside(region), load)
    changing.join()
    return asked


def get(address: str) -> str:
    """OSError: it is no answer of a backend's."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        body = answer.read().decode().strip()
    except http.client.HTTPException as error:
        raise OSError(repr(error)) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"status {answer.status}")
    return body


def status(region: LiveRegion, address: str) -> int:
    def ask() -> int:
        try:
            get(address)
        except OSError:
            return 0
        return 200

    return inside(outside(region), ask)


@contextmanager
def balancer(region: LiveRegion, protocol: str, listens: int, leads: int) -> Iterator[list[str]]:
    """Its addresses, v4 first; whoever has the label is behind it."""
    check = {"protocol": "tcp", "port": leads, "interval": 3, "timeout": 2, "retries": 2}
    service = {"protocol": protocol, "listen_port": listens, "destination_port": leads, "health_check": check}
    order = {"name": "front", "load_balancer_type": "lb11", "location": "lab", "services": [service]}
    made = region.asked("POST", "/load_balancers", {**order, "targets": [SELECTOR]})
    region.ended(made["action"]["id"])
    public = made["load_balancer"]["public_net"]
    try:
        yield [public["ipv4"]["ip"], public["ipv6"]["ip"]]
    finally:
        region.api.delete(f"/load_balancers/{made['load_balancer']['id']}")


def opened(region: LiveRegion, port: int) -> int:
    """A firewall that lets everybody in there, on whoever has the label; its id."""
    rule = {"direction": "in", "protocol": "tcp", "port": str(port), "source_ips": ["0.0.0.0/0", "::/0"]}
    body = {"name": "web", "rules": [rule], "apply_to": [SELECTOR]}
    return int(region.asked("POST", "/firewalls", body)["firewall"]["id"])


def answer(region: LiveRegion, address: str) -> bytes | None:
    return asked_at(outside(region), address, 2222)


def outside(region: LiveRegion) -> str:
    return str(region.lab.lab.network.namespace(OUTSIDE))
