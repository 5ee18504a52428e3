"""Which addresses images may be fetched from: nothing that only we can reach, however it is written."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.web_addresses import is_elsewhere, is_public, url_problem

REFUSED = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.8.8", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808"),
    *("64:ff9b:1::1", "100::1", "2001::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1", "5f00::1"),
    *("fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1"),
)
PUBLIC = ("1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "2606:4700:4700::1111")


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_taken(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.ip_addresses())
def test_whatever_python_takes_for_private_is_refused(address: object) -> None:
    found = ip_address(str(address))
    assert not (is_public(found) and (found.is_private or found.is_multicast or found.is_reserved))


@given(st.ip_addresses(v=4))
def test_no_address_of_ipv4_gets_through_as_ipv6(address: object) -> None:
    for written in (f"::ffff:{address}", f"::{address}", f"64:ff9b::{address}"):
        assert not is_public(ip_address(written))


def test_an_installation_keeps_its_own_networks_to_itself() -> None:
    own = [ip_network("198.41.0.0/24"), ip_network("2606:4700::/32")]

    assert not is_public(ip_address("198.41.0.4"), own)
    assert not is_public(ip_address("2606:4700::1"), own)
    assert is_public(ip_address("198.41.1.4"), own)


@pytest.mark.parametrize(
    "url",
    [
        *("", "x", "http://example.com/a", "ftp://example.com/a", "file:///etc/passwd", "https://", "https:///a"),
        *("https://user@example.com/a", "https://user:key@example.com/a", "https://example.com:0/a"),
        *("https://example.com:99999/a", "https://[::1]/a", "https://127.0.0.1/a", "https://169.254.169.254/"),
        *("https://[::ffff:10.0.0.1]/a", "https://exa mple.com/a", "https://example.com/\u00e4", "https://[::1"),
        "https://example.com/" + "a" * 2048,
    ],
)
def test_what_is_no_source_is_told(url: str) -> None:
    assert url_problem(url)


@pytest.mark.parametrize("url", ["https://example.com/a.qcow2", "https://example.com:8443/a?b=c#d", "https://1.1.1.1/"])
def test_a_source_is_taken(url: str) -> None:
    assert url_problem(url) is None


INSIDE = ("127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "169.254.169.254", "fe80::1", "fd00::1", "::ffff:10.0.0.1")


@pytest.mark.parametrize("address", [*INSIDE, "198.41.0.4"])
def test_nobody_has_us_talk_to_what_only_we_can_reach(address: str) -> None:
    own = [ip_network("198.41.0.0/24")]
    assert not is_elsewhere(ip_address(address), own)
    assert is_elsewhere(ip_address(address), own, [ip_network(address)])


@pytest.mark.parametrize("address", ["198.41.1.4", "2600::1", "192.0.2.1", "2001:db8::1"])
def test_an_owners_address_elsewhere_is_his_to_name(address: str) -> None:
    assert is_elsewhere(ip_address(address))
