"""HAProxy's configuration, word for word, and the names in it.

``PUCHIFY_GOLDEN=write pytest`` writes the golden files anew.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.edge_plan import Backend, Balancer, EdgePlan, PrivateSide
from infra.domain.edge_shares import Share
from infra.domain.haproxy_config import (
    Ground,
    Unservable,
    backend_name,
    backend_of,
    certificate_list,
    config,
    pause,
    service_name,
    service_of,
    service_text,
    status_ranges,
)
from infra.domain.load_balancers import Service, new_service

GOLDEN = Path(__file__).parent / "golden" / "haproxy"
GROUND = Ground("/run/edge", lambda member: f"pe-{member}", certificates={9: "/run/edge/certificates/9.pem"})
SHARE = Share(10_000, 100_000)
PUBLIC = Backend("203.0.113.20")
INSIDE = PrivateSide(17, 5001, "06:00:00:00:00:11", "10.0.0.5", "10.0.0.0/16")


def balancer(*services: Service, **given: object) -> Balancer:
    values: dict[str, object] = {"ipv4": "203.0.113.9", "ipv6": "2001:db8:100:9::1", "backends": (PUBLIC,), **given}
    return Balancer(4, 1, values.pop("algorithm", "round_robin"), 10_000, services=services, **values)  # type: ignore[arg-type]


def service(**sent: object) -> Service:
    return new_service(sent)


CHECK = {
    "protocol": "http",
    "port": 8081,
    "interval": 5,
    "timeout": 2,
    "retries": 2,
    "http": {
        "domain": "app.example.com",
        "path": "/health check?a='b'",
        "response": 'status: "ok" #1 $HOME \\',
        "status_codes": ["2??", "301", "40*"],
        "tls": True,
    },
}
LARGE = replace(balancer(service(protocol="http")), max_connections=40_000)
PLANS = {
    "empty": (),
    "tcp": (balancer(service(protocol="tcp", listen_port=5432, destination_port=5432)),),
    "http": (balancer(service(protocol="http", destination_port=8080)),),
    "proxy-protocol": (balancer(service(protocol="tcp", listen_port=25, proxyprotocol=True)),),
    "least-connections": (balancer(service(protocol="http"), algorithm="least_connections"),),
    "health-check": (balancer(service(protocol="http", health_check=CHECK)),),
    "sticky": (balancer(service(protocol="http", http={"sticky_sessions": True, "cookie_name": "WHO's"})),),
    "ipv6-target": (balancer(service(protocol="http"), backends=(Backend("2001:db8:100:20::1"), PUBLIC)),),
    "private": (
        balancer(
            service(protocol="tcp", listen_port=22),
            ipv4=None,
            ipv6=None,
            private=INSIDE,
            backends=(Backend("10.0.0.7", True), PUBLIC),
        ),
    ),
    "shared": (
        replace(LARGE, project_id=7),
        replace(LARGE, project_id=7, id=5, ipv4="203.0.113.10", ipv6=None),
        replace(LARGE, project_id=8, id=6, ipv4="203.0.113.11", ipv6=None),
    ),
    "https": (
        balancer(
            service(protocol="https", http={"certificates": [9], "redirect_http": True}),
            service(protocol="https", listen_port=8443, http={"certificates": [9, 10]}),
        ),
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_is_word_for_word(name: str) -> None:
    text, golden = config(EdgePlan(1, PLANS[name]), GROUND), GOLDEN / f"{name}.cfg"
    if os.environ.get("PUCHIFY_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("name", PLANS)
def test_haproxy_takes_it(name: str, tmp_path: Path) -> None:
    """Without its private sides, whose namespaces are not there."""
    pem = tmp_path / "own.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=app.example.com", "-keyout", tmp_path / "key", "-out", tmp_path / "crt"),
        ],
        check=True,
        capture_output=True,
    )
    pem.write_text((tmp_path / "crt").read_text() + (tmp_path / "key").read_text())
    ground = Ground(str(tmp_path), GROUND.namespace, certificates={9: str(pem), 10: str(pem)})
    for service in (service for balancer in PLANS[name] for service in balancer.services if service.certificates):
        listed, text = certificate_list(service, ground)
        Path(listed).write_text(text)
    lines = config(EdgePlan(1, PLANS[name]), ground).splitlines()
    file = tmp_path / "haproxy.cfg"
    file.write_text("\n".join(line.partition(" namespace ")[0] for line in lines) + "\n")
    done = subprocess.run(("haproxy", "-c", "-f", file), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_service_that_nobody_can_serve_says_why_and_leaves_the_others() -> None:
    broken = service(protocol="https", listen_port=444, http={"certificates": [11]})
    plan = EdgePlan(1, (balancer(broken, service(protocol="http")),))
    with pytest.raises(Unservable, match="it has no certificate that can be used"):
        service_text(plan.balancers[0], broken, GROUND, SHARE)
    text = config(plan, GROUND, {service_name(4, 444)})
    assert "lb4-80" in text
    assert "lb4-444" not in text


@pytest.mark.parametrize("wrong", ["a\nbind :22", "a\x00", "a\x7f"])
def test_what_would_be_another_line_is_not_written(wrong: str) -> None:
    sent = service(protocol="http", health_check={"http": {"domain": wrong}})
    with pytest.raises(Unservable):
        service_text(balancer(sent), sent, GROUND, SHARE)


@pytest.mark.parametrize(
    ("patterns", "ranges"),
    [
        (["2??", "3??"], "200-399"),
        (["200"], "200"),
        (["20?", "404"], "200-209,404"),
        (["*"], "100-599"),
        (["2*"], "200-299"),
        (["?00"], "100,200,300,400,500"),
    ],
)
def test_status_codes_are_ranges(patterns: list[str], ranges: str) -> None:
    assert status_ranges(tuple(patterns)) == ranges


def test_status_codes_that_cannot_be_are_refused() -> None:
    with pytest.raises(Unservable):
        status_ranges(("999", "7*"))


@given(st.integers(min_value=1, max_value=2**53), st.integers(min_value=1, max_value=65535))
def test_a_name_tells_its_service(balancer_id: int, port: int) -> None:
    assert service_of(service_name(balancer_id, port)) == (balancer_id, port)


@given(st.ip_addresses(), st.booleans())
def test_a_name_tells_its_backend(address: object, by_network: bool) -> None:
    backend = Backend(str(address), by_network)
    assert backend_of(backend_name(backend)) == backend


@pytest.mark.parametrize("name", ["", "lb4", "lb4-80-redirect", "xlb4-80", "lb-80", "GLOBAL"])
def test_a_foreign_name_is_nobodys(name: str) -> None:
    assert service_of(name) is None


def test_the_more_old_workers_the_longer_it_rests() -> None:
    """One reload for all that is asked meanwhile; an order to follow has patience for it."""
    assert [pause(old) for old in (0, 1, 10, 99)] == [0.0, 0.2, 2.0, 10.0]
