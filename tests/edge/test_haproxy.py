"""HAProxy as the plan says: what it serves, to whom, and that a change of the plan costs nobody a request."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from infra.domain.edge_plan import Backend, Balancer, Certificate, EdgePlan, Health
from infra.domain.errors import HostUnavailable
from infra.domain.load_balancers import Service, new_service
from tests.edge.backends import PORT, Backends, Load, ask
from tests.edge.conftest import RunningEdge

V4, V6 = "203.0.113.9", "2001:db8:100:9::1"
BUSY = 10.0
"""Seconds that a busy machine may take longer. Without a word about it there are three checks, 15 s apart."""
CHECK: dict[str, Any] = {"protocol": "http", "port": PORT, "interval": 1, "timeout": 1, "retries": 2}


def service(protocol: str = "http", **sent: Any) -> Service:
    check = {**CHECK, "protocol": "tcp"} if protocol == "tcp" else {**CHECK, "http": {"path": "/health"}}
    return new_service({"protocol": protocol, "destination_port": PORT, "health_check": check, **sent})


def plan_of(addresses: Sequence[str], *services: Service, **changed: Any) -> EdgePlan:
    backends = tuple(Backend(address) for address in addresses)
    balancer = Balancer(1, 1, "round_robin", 1000, V4, V6, services=services or (service(),), backends=backends)
    return EdgePlan(1, (replace(balancer, **changed),))


async def until(edge: RunningEdge, status: str, *addresses: str, within: float = 60.0) -> float:
    """Until the edge says so of all of them; how many seconds that took."""
    began = time.monotonic()
    async with asyncio.timeout(within):
        while any(_status(seen, one) != status for seen in [await edge.health()] for one in addresses):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return time.monotonic() - began


def _status(healths: Sequence[Health], address: str) -> str:
    return next((health.status for health in healths if health.address == address), "absent")


async def test_it_serves_both_public_addresses_and_says_who_asks(edge: RunningEdge, backends: Backends) -> None:
    one = await backends.add("198.51.100.1")
    await edge.follow(plan_of(["198.51.100.1"]))
    await until(edge, "healthy", "198.51.100.1")
    assert [(await ask(address))[2] for address in (V4, V6)] == ["198.51.100.1"] * 2
    head = one.heads[0].lower()
    assert f"x-forwarded-for: {V4}" in head
    assert "x-forwarded-proto: http\r" in head
    assert "x-forwarded-port: 80\r" in head


async def test_no_request_fails_while_backends_change(edge: RunningEdge, backends: Backends) -> None:
    addresses = [f"198.51.100.{n}" for n in range(1, 6)]
    for address in addresses:
        await backends.add(address)
    await edge.follow(plan_of(addresses[:3]))
    await until(edge, "healthy", *addresses[:3])
    load, wanted = Load(V4, 10_000), 20
    asking = asyncio.create_task(load.run())
    for change in range(wanted):
        some = [address for n, address in enumerate(addresses) if (n + change) % len(addresses) < 3]
        await edge.follow(plan_of(some))
        async with asyncio.timeout(60):
            while load.done < (change + 1) * load.wanted / (wanted + 1):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    await asking
    assert load.failures == []
    assert load.answers.total() == 10_000
    assert len(load.answers) == len(addresses)


async def test_a_new_backend_gets_nothing_before_it_answers(edge: RunningEdge, backends: Backends) -> None:
    await backends.add("198.51.100.1")
    absent = await backends.add("198.51.100.2", up=False)
    await edge.follow(plan_of(["198.51.100.1"]))
    await until(edge, "healthy", "198.51.100.1")
    await edge.follow(plan_of(["198.51.100.1", "198.51.100.2"]))
    load = Load(V4, 100)
    await load.run()
    assert load.failures == []
    assert set(load.answers) == {"198.51.100.1"}
    await absent.up()
    await until(edge, "healthy", "198.51.100.2")
    load = Load(V4, 100)
    await load.run()
    assert set(load.answers) == {"198.51.100.1", "198.51.100.2"}


async def test_a_dead_backend_is_out_within_its_check_and_back_after(edge: RunningEdge, backends: Backends) -> None:
    dying = await backends.add("198.51.100.1")
    await backends.add("198.51.100.2")
    await edge.follow(plan_of(["198.51.100.1", "198.51.100.2"]))
    await until(edge, "healthy", "198.51.100.1", "198.51.100.2")
    await dying.down()
    took = await until(edge, "unhealthy", "198.51.100.1")
    assert took <= CHECK["interval"] * CHECK["retries"] + CHECK["timeout"] + BUSY
    load = Load(V4, 50)
    await load.run()
    assert load.answers == {"198.51.100.2": 50}
    await dying.up()
    await until(edge, "healthy", "198.51.100.1")


async def test_states_outlive_a_reload(edge: RunningEdge, backends: Backends) -> None:
    await backends.add("198.51.100.1", up=False)
    await backends.add("198.51.100.2")
    await edge.follow(plan_of(["198.51.100.1", "198.51.100.2"]))
    await until(edge, "healthy", "198.51.100.2")
    await until(edge, "unhealthy", "198.51.100.1")
    await edge.follow(plan_of(["198.51.100.1", "198.51.100.2"], service(), service("tcp", listen_port=81)))
    told = {(health.address, health.status) for health in await edge.health() if health.listen_port == 80}
    assert told == {("198.51.100.1", "unhealthy"), ("198.51.100.2", "healthy")}


async def test_a_sticky_client_stays_with_its_backend(edge: RunningEdge, backends: Backends) -> None:
    addresses = [f"198.51.100.{n}" for n in range(1, 4)]
    for address in addresses:
        await backends.add(address)
    sticky = service(http={"sticky_sessions": True, "cookie_name": "STICKY", "cookie_lifetime": 60})
    await edge.follow(plan_of(addresses, sticky))
    await until(edge, "healthy", *addresses)
    _, head, first = await ask(V4)
    cookie = next(line for line in head.splitlines() if line.lower().startswith("set-cookie:"))
    assert "Max-Age=60" in cookie
    value = cookie.split(":", 1)[1].split(";")[0].strip()
    assert value.startswith("STICKY=")
    assert {(await ask(V4, Cookie=value))[2] for _ in range(6)} == {first}
    assert {(await ask(V4))[2] for _ in range(6)} == set(addresses)


async def test_least_connections_spares_who_is_busy(edge: RunningEdge, backends: Backends) -> None:
    busy, idle = await backends.add("198.51.100.1"), await backends.add("198.51.100.2")
    await edge.follow(plan_of([busy.address, idle.address], algorithm="least_connections"))
    await until(edge, "healthy", busy.address, idle.address)
    busy.delay = 3.0
    held = [asyncio.create_task(ask(V4)) for _ in range(2)]  # one of them is with the busy one
    async with asyncio.timeout(60):
        while not busy.asked:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    answers = {(await ask(V4))[2] for _ in range(10)}
    assert answers == {idle.address}
    await asyncio.gather(*held)


async def test_the_proxy_protocol_says_who_the_client_is(edge: RunningEdge, backends: Backends) -> None:
    one = await backends.add("198.51.100.1")
    await edge.follow(plan_of([one.address], service("tcp", listen_port=80, proxyprotocol=True)))
    await until(edge, "healthy", one.address)
    await ask(V4)
    client, server = one.proxied[-1][:4], one.proxied[-1][4:8]
    assert [".".join(map(str, each)) for each in (client, server)] == [V4, V4]


async def test_https_ends_here_and_http_is_sent_there(edge: RunningEdge, backends: Backends, own_pem: str) -> None:
    one = await backends.add("198.51.100.1")
    https = service("https", http={"certificates": [9], "redirect_http": True})
    await edge.follow(replace(plan_of([one.address], https), certificates=(Certificate(9, own_pem),)))
    await until(edge, "healthy", one.address)
    status, head, _ = await ask(V4, path="/a?b=c")
    assert status == 301
    assert "location: https://app.example.com/a?b=c" in head
    asking = await asyncio.create_subprocess_exec(
        *("curl", "-sk", "--noproxy", "*", "--resolve", f"app.example.com:443:{V4}", "-w", " %{http_version}"),
        "https://app.example.com/",
        stdout=subprocess.PIPE,
    )
    told, _ = await asking.communicate()
    assert told.decode() == f"{one.address} 2"
    assert "x-forwarded-proto: https\r" in one.heads[-1].lower()


ODD = r"""a"b'c#d $HOME ${HOME} %[src] 50% \\ \\n <(x) ü"""


async def test_a_check_sends_and_finds_what_was_said_to_the_letter(edge: RunningEdge, backends: Backends) -> None:
    one = await backends.add("198.51.100.1")
    one.body = f"before {ODD} after"
    asked = {"path": "/a%20b?$HOME=%[src]&c='d'\\", "domain": "50%", "response": ODD, "status_codes": ["2*"]}
    odd = service(health_check={**CHECK, "http": asked})
    assert (await edge.follow(plan_of([one.address], odd))).problems == ()
    await until(edge, "healthy", one.address)
    lines = one.heads[-1].splitlines()
    assert lines[0] == "GET /a%20b?$HOME=%[src]&c='d'\\ HTTP/1.1"
    assert "host: 50%" in [line.lower() for line in lines]
    one.body = "another"
    await until(edge, "unhealthy", one.address)


async def test_a_certificate_that_cannot_be_used_takes_nobody_else_down(edge: RunningEdge, backends: Backends) -> None:
    one = await backends.add("198.51.100.1")
    plan = plan_of([one.address], service(), service("https", http={"certificates": [9]}))
    served = await edge.follow(replace(plan, certificates=(Certificate(9, "no certificate"),)))
    await until(edge, "healthy", one.address)
    assert (await ask(V4))[0] == 200
    assert [problem.partition(":")[0] for problem in served.problems] == ["certificate 9", "lb1-443"]


async def test_a_port_that_is_anothers_takes_nobody_else_down(edge: RunningEdge, backends: Backends) -> None:
    one = await backends.add("198.51.100.1")
    other = await asyncio.start_server(lambda *_: None, "0.0.0.0", 2222)
    async with other:
        served = await edge.follow(plan_of([one.address], service(), service("tcp", listen_port=2222)))
        await until(edge, "healthy", one.address)
        assert (await ask(V4))[0] == 200
        assert served.problems == (f"lb1-2222: another process of the edge is at {V4}:2222",)
    assert (await edge.follow(plan_of([one.address], service(), service("tcp", listen_port=2222)))).problems == ()


async def test_what_goes_is_neither_there_nor_announced(edge: RunningEdge, backends: Backends) -> None:
    await edge.follow(plan_of([]))
    assert _announced() == {f"{V4} metric 16000000", "2001:db8:100:9::/64 metric 16000000"}
    await edge.follow(plan_of([], ipv4_generation=2, ipv6_generation=7))
    assert _announced() == {f"{V4} metric 15999998", "2001:db8:100:9::/64 metric 15999993"}
    await edge.follow(EdgePlan(1))
    assert _announced() == set()
    with pytest.raises(OSError, match=r"unreachable|refused|timed out"):
        await ask(V4)


async def test_what_is_anothers_is_not_announced_whatever_fails(
    edge: RunningEdge, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    await edge.follow(plan_of([]))

    def fails(*_: object) -> dict[int, str]:
        raise OSError("no room")

    monkeypatch.setattr("infra.drivers.edge_networks.EdgeNetworks.ensure", fails)
    with pytest.raises(HostUnavailable):
        await edge.follow(EdgePlan(1))
    assert _announced() == set()


def _announced() -> set[str]:
    told = ""
    for family in ("-4", "-6"):
        told += subprocess.run(("ip", family, "route", "show", "proto", "210"), capture_output=True, text=True).stdout
    return {f"{line.split()[0]} metric {line.split(' metric ')[1].split()[0]}" for line in told.splitlines()}


async def test_long_streams_go_on_through_changes(edge: RunningEdge, backends: Backends) -> None:
    one = await backends.add("198.51.100.1")
    tcp = service("tcp", listen_port=80)
    await edge.follow(plan_of([one.address], tcp))
    await until(edge, "healthy", one.address)
    reader, writer = await asyncio.open_connection(V4, 80)
    for n in range(3):
        await edge.follow(plan_of([one.address], tcp, service(listen_port=8000 + n)))
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(one.address.encode())
    writer.close()


async def test_a_silent_stream_outlives_thirty_changes(edge: RunningEdge, backends: Backends) -> None:
    """Of its own load balancer, or of anybody's."""
    one = await backends.add("198.51.100.1")
    tcp = service("tcp", listen_port=80)
    await edge.follow(plan_of([one.address], tcp))
    await until(edge, "healthy", one.address)
    reader, writer = await asyncio.open_connection(V4, 80)
    for n in range(30):
        await edge.follow(plan_of([one.address], tcp, service(listen_port=8000 + n % 2)))
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert b"200 OK" in await reader.readuntil(one.address.encode())
    writer.close()


async def test_a_killed_master_is_followed_by_one_that_serves_the_same(edge: RunningEdge, backends: Backends) -> None:
    one = await backends.add("198.51.100.1")
    await edge.follow(plan_of([one.address]))
    await until(edge, "healthy", one.address)
    following = asyncio.create_task(edge.follow(plan_of([one.address], service(), service(listen_port=81))))
    os.kill(edge.master.pid, signal.SIGKILL)  # in the middle of a reload
    await asyncio.to_thread(edge.master.wait)
    with pytest.raises(HostUnavailable):
        await following
    edge.begin()
    await edge.until_up()
    await edge.follow(plan_of([one.address], service(), service(listen_port=81)))
    await until(edge, "healthy", one.address)
    assert [(await ask(V4, port))[0] for port in (80, 81)] == [200, 200]


async def test_a_worker_that_was_killed_before_its_reload_is_made_up_for(edge: RunningEdge, backends: Backends) -> None:
    """The file is there already, and nobody has told HAProxy: who comes next does not take that for done."""
    one = await backends.add("198.51.100.1")
    served, wanted = plan_of([one.address]), plan_of([one.address], service(), service(listen_port=81))
    await edge.follow(wanted)
    text = (edge.directory / "haproxy.cfg").read_text()
    await edge.follow(served)
    (edge.directory / "reload-due").touch()
    (edge.directory / "haproxy.cfg").write_text(text)
    await edge.follow(wanted)
    await until(edge, "healthy", one.address)
    assert (await ask(V4, 81))[0] == 200
