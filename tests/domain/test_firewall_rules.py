"""The firewall's text, word for word, and the names it is bound to.

``PUCHIFY_GOLDEN=write pytest`` writes the golden files anew.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.firewall_rules import (
    STANDING,
    base_removal,
    base_tables,
    guarded,
    network_removal,
    network_rules,
    server_filters,
    server_removal,
    server_rules,
    taps_in,
)
from infra.domain.firewalls import Rule
from infra.domain.port_names import LONGEST, private_tap_name, server_of, tap_name
from infra.domain.port_plan import PortPlan, PrivatePort, PublicPort

GOLDEN = Path(__file__).parent / "golden"
PUBLIC = PublicPort("02:00:00:00:12:67", "203.0.113.7", "2001:db8:100:7::/64")
MEMBER = PrivatePort(35, 1, 4096, "02:01:00:00:00:23", "10.0.0.2", "10.0.0.0/16", ("10.0.0.9",))
GATEWAY = replace(MEMBER, aliases=(), carries=("0.0.0.0/0", "10.0.200.0/24", "192.168.0.0/24", "192.168.1.0/24"))
PLAN = PortPlan(4711, 3, PUBLIC)
RULES = (
    Rule("in", "tcp", "80", ("0.0.0.0/0", "::/0")),
    Rule("in", "tcp", "443", ("0.0.0.0/0", "::/0")),
    Rule("in", "udp", "1024-5000", ("198.51.100.0/25", "198.51.100.128/25", "2001:db8:1::/48")),
    Rule("in", "icmp", None, ("198.51.100.0/24",)),
    Rule("out", "tcp", "any", (), ("0.0.0.0/0",)),
    Rule("out", "gre", None, (), ("192.0.2.1/32",)),
    Rule("out", "esp", None, (), ("2001:db8:2::1/128",)),
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("base", base_tables(["eth1", "eth0"], ["10.0.0.0/8", "2001:db8:fff::/48"], ["10.255.0.0/16"])),
        ("base-without-uplinks", base_tables()),
        ("base-removal", base_removal()),
        ("server", server_rules(PLAN)),
        ("server-ipv4-only", server_rules(replace(PLAN, public=replace(PUBLIC, ipv6_network=None)))),
        ("server-ipv6-only", server_rules(replace(PLAN, public=replace(PUBLIC, ipv4=None)))),
        ("server-without-addresses", server_rules(replace(PLAN, public=PublicPort(PUBLIC.mac)))),
        ("server-in-a-network", server_rules(replace(PLAN, private=(MEMBER,)))),
        ("server-as-a-gateway", server_rules(replace(PLAN, private=(GATEWAY,)))),
        ("filters", server_filters(replace(PLAN, private=(MEMBER,), firewalls=(1, 2), rules=RULES, accepts=True))),
        ("filters-of-who-accepts", server_filters(replace(PLAN, accepts=True))),
        ("removal", server_removal(["pt-3mv", "pn-z"])),
        ("network", network_rules(4096, 7)),
        ("network-removal", network_removal(4096)),
    ],
)
def test_is_word_for_word(name: str, text: str) -> None:
    golden = GOLDEN / f"firewall-{name}.nft"
    if os.environ.get("PUCHIFY_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


@given(st.integers(min_value=1, max_value=2**53))
def test_a_tap_tells_its_server(server_id: int) -> None:
    name = tap_name(server_id)
    assert len(name) <= LONGEST
    assert server_of(name) == server_id


@pytest.mark.parametrize("name", ["", "pt-", "pt-0", "pt-01", "pt-A", "ptp0", "eth0", "pt-1 ", "pt-zzzzzzzzzzzzz"])
def test_a_foreign_interface_is_nobodys(name: str) -> None:
    assert server_of(name) is None


@pytest.mark.parametrize("server_id", [0, -1, 36**12])
def test_an_id_that_cannot_be_told_is_refused(server_id: int) -> None:
    with pytest.raises(ValueError, match="id"):
        tap_name(server_id)


def test_chains_tell_their_taps_and_foreign_ones_nobodys() -> None:
    found = taps_in(["forward", "to_guest", "pt-1", "in-pt-1", "out-pn-z", "in-pb-4096", "pb-4096"])
    assert found == {"pt-1", "pn-z"}


TAP, NETWORK = tap_name(4711), ("inet", "pb-4096")
OF_PUBLIC = {("netdev", TAP), ("inet", f"in-{TAP}"), ("inet", f"out-{TAP}")}
OF_PRIVATE = {("netdev", "pn-z"), ("bridge", "in-pn-z"), ("bridge", "out-pn-z"), NETWORK}


@pytest.mark.parametrize("missing", sorted({*OF_PUBLIC, *OF_PRIVATE, *STANDING}))
def test_a_server_is_guarded_by_all_of_its_chains_only(missing: tuple[str, str]) -> None:
    assert private_tap_name(35) == "pn-z"
    plan = replace(PLAN, private=(MEMBER,))
    chains = OF_PUBLIC | OF_PRIVATE | STANDING
    assert guarded(plan, chains)
    assert not guarded(plan, chains - {missing})


def test_who_is_in_no_network_needs_none_of_its_chains() -> None:
    assert guarded(PLAN, OF_PUBLIC | STANDING)


@pytest.mark.parametrize("name", ["", "eth 0", 'a"b', "pt*", "sixteen-letters-"])
def test_an_uplink_that_would_break_the_text_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="interface"):
        base_tables([name])


@pytest.mark.parametrize("zone", [0, -1, 2**16])
def test_a_zone_that_the_kernel_does_not_have_is_refused(zone: int) -> None:
    with pytest.raises(ValueError, match="zone"):
        network_rules(4096, zone)


@pytest.mark.parametrize("tap", ["eth0", "pb-4096", ""])
def test_rules_of_foreign_interfaces_are_not_removed(tap: str) -> None:
    with pytest.raises(ValueError, match="tap"):
        server_removal([tap])
