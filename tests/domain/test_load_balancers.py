"""Load balancers: what is not said of a service is filled in, what is not sent stays, and no port is used twice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.load_balancers import (
    HealthCheck,
    Http,
    HttpCheck,
    Service,
    bare_ipv6,
    changed_service,
    clashing_port,
    exceeded,
    new_service,
    sent_problems,
    service_problems,
)

PORTS = st.integers(1, 65535)
CHECKS = st.fixed_dictionaries(
    {},
    optional={
        "protocol": st.sampled_from(["tcp", "http", "https"]),
        "port": PORTS,
        "interval": st.integers(3, 60),
        "retries": st.integers(1, 5),
        "http": st.fixed_dictionaries({}, optional={"path": st.just("/up"), "status_codes": st.just(["200"])}),
    },
)
SENT = st.fixed_dictionaries(
    {"protocol": st.sampled_from(["tcp", "http", "https"]), "listen_port": PORTS},
    optional={
        "destination_port": PORTS,
        "proxyprotocol": st.booleans(),
        "http": st.fixed_dictionaries(
            {}, optional={"cookie_name": st.just("C"), "redirect_http": st.booleans(), "certificates": st.just([7])}
        ),
        "health_check": CHECKS,
    },
)


@dataclass(frozen=True)
class Type:
    max_services: int = 2
    max_targets: int = 3
    max_assigned_certificates: int = 1


def test_a_service_of_http_needs_no_more_words() -> None:
    assert new_service({"protocol": "http"}) == Service(
        "http",
        80,
        80,
        False,
        Http("HCLBSTICKY", 300, 50, (), False, False),
        HealthCheck("http", 80, 15, 10, 3, HttpCheck(None, "/", None, ("2??", "3??"), False)),
    )
    assert new_service({"protocol": "https"}).listen_port == 443


def test_a_service_of_tcp_says_where_it_listens() -> None:
    assert [field for field, _ in sent_problems({"protocol": "tcp"})] == ["listen_port"]
    service = new_service({"protocol": "tcp", "listen_port": 5432, "destination_port": 5433})
    assert (service.http, service.health_check) == (None, HealthCheck("tcp", 5433))


@given(SENT, SENT)
def test_a_service_has_the_blocks_that_its_protocols_have(first: dict[str, Any], then: dict[str, Any]) -> None:
    for service in (new_service(first), changed_service(new_service(first), then)):
        assert (service.http is None) == (service.protocol == "tcp")
        assert (service.health_check.http is None) == (service.health_check.protocol == "tcp")


@given(SENT, SENT)
def test_what_is_sent_is_so_and_what_is_not_stays(first: dict[str, Any], then: dict[str, Any]) -> None:
    before = new_service(first)
    after = changed_service(before, then)

    assert after.listen_port == before.listen_port
    for name in ("protocol", "destination_port", "proxyprotocol"):
        assert getattr(after, name) == then.get(name, getattr(before, name))
    for name in ("protocol", "port", "interval", "timeout", "retries"):
        assert getattr(after.health_check, name) == then.get("health_check", {}).get(
            name, getattr(before.health_check, name)
        )
    if after.http:
        named = before.http.cookie_name if before.http else Http().cookie_name
        assert after.http.cookie_name == then.get("http", {}).get("cookie_name", named)
    assert changed_service(after, {}) == after
    assert changed_service(after, then) == after


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({"protocol": "https"}, ["http.certificates"]),
        ({"protocol": "https", "http": {"certificates": [7, 8]}}, ["http.certificates"]),
        ({"protocol": "https", "http": {"certificates": [7], "redirect_http": True}}, []),
        ({"protocol": "http", "http": {"redirect_http": True}}, ["http.redirect_http"]),
        ({"protocol": "tcp", "listen_port": 1, "http": {"redirect_http": True}}, []),
    ],
)
def test_what_a_service_cannot_be_is_named(sent: dict[str, Any], fields: list[str]) -> None:
    assert [field for field, _ in service_problems(new_service(sent), known_certificates=[7])] == fields


def test_a_redirect_listens_on_the_port_it_redirects_from() -> None:
    plain = new_service({"protocol": "http"})
    safe = new_service({"protocol": "https", "http": {"certificates": [7]}})
    redirecting = changed_service(safe, {"http": {"redirect_http": True}})

    assert clashing_port([plain], safe) is None
    assert clashing_port([plain], redirecting) == 80
    assert clashing_port([redirecting], plain) == 80
    assert clashing_port([redirecting], replace(plain, listen_port=8080)) is None


def test_a_type_takes_so_much_and_no_more() -> None:
    one = new_service({"protocol": "https", "http": {"certificates": [7]}})
    other = new_service({"protocol": "https", "listen_port": 444, "http": {"certificates": [8]}})

    assert exceeded(Type(), [one, replace(one, listen_port=445)], 3) is None
    assert exceeded(Type(), [one, one, one], 0) == "max_services"
    assert exceeded(Type(), [], 4) == "max_targets"
    assert exceeded(Type(), [one, other], 0) == "max_assigned_certificates"


def test_a_load_balancer_has_the_first_address_of_its_network() -> None:
    assert bare_ipv6("2001:db8:100:1::/64") == "2001:db8:100:1::1"
