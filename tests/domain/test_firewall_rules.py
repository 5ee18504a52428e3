"""The firewall's text, word for word, and the names it is bound to.

``PUCHIFY_GOLDEN=write pytest`` writes the golden files anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.firewall_rules import base_tables, port_removal, port_rules, servers_in
from infra.domain.port_names import LONGEST, server_of, tap_name

GOLDEN = Path(__file__).parent / "golden"
MAC, IPV4, IPV6 = "02:00:00:00:12:67", "203.0.113.7", "2001:db8:100:7::/64"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("base", base_tables(["eth1", "eth0"])),
        ("base-without-uplinks", base_tables()),
        ("port", port_rules("pt-3mv", MAC, IPV4, IPV6)),
        ("port-ipv4-only", port_rules("pt-3mv", MAC, IPV4, None)),
        ("port-ipv6-only", port_rules("pt-3mv", MAC, None, IPV6)),
        ("removal", port_removal("pt-3mv")),
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


def test_foreign_chains_are_nobodys() -> None:
    assert servers_in(["forward", "to_guest", "pt-1", "pt-z"]) == {1, 35}


@pytest.mark.parametrize("name", ["", "eth 0", 'a"b', "pt*", "sixteen-letters-"])
def test_an_uplink_that_would_break_the_text_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="interface"):
        base_tables([name])
