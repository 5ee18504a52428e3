"""What the metadata service answers, word for word, and as those read it who know no more than the format."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.metadata import METADATA, NETWORK, USER_DATA, answers, scalar
from tests.guest_examples import KEYS, PLANS, guest_of

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", PLANS)
def test_answers_are_as_agreed(name: str) -> None:
    told = answers(guest_of(PLANS[name]))
    written = "".join(f"GET {path}\n{body.decode()}\n" for path, body in told.items())
    golden = GOLDEN / f"metadata-{name}.txt"
    if os.environ.get("PUCHIFY_GOLDEN") == "write":
        golden.write_text(written)
    assert written == golden.read_text()


@pytest.mark.parametrize("name", PLANS)
def test_every_document_is_what_its_readers_parse(name: str) -> None:
    told = answers(guest_of(PLANS[name]))
    summary = yaml.safe_load(told[METADATA])
    assert (summary["instance-id"], summary["hostname"]) == (4711, "web.example.org")
    assert summary["public-keys"] == list(KEYS) == json.loads(told[f"{METADATA}/public-keys"])
    assert summary["network-config"]["config"][0]["mac_address"] == "02:00:00:00:12:67"
    assert summary["network-config"] == yaml.safe_load(told[f"{METADATA}/network-config"])
    assert summary["vendor_data"].encode() == told[f"{METADATA}/vendor_data"]
    networks = yaml.safe_load(told[f"{METADATA}/private-networks"])
    assert [one["network_id"] for one in networks] == sorted(port.network_id for port in PLANS[name].private)


def test_what_is_plain_can_be_found_with_grep() -> None:
    lines = answers(guest_of(PLANS["in-networks"]))[METADATA].decode().splitlines()
    assert {"hostname: web.example.org", "public-ipv4: 203.0.113.7", f"- {KEYS[0]}"} < set(lines)
    assert answers(guest_of(PLANS["in-networks"]))[f"{METADATA}/private-networks"].startswith(b"- ip: 10.8.0.71\n")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_any_text_survives_yaml(text: str) -> None:
    assert yaml.safe_load(f"- {scalar(text)}") == [text]


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_user_data_is_passed_on_byte_for_byte(text: str) -> None:
    assert answers(guest_of(PLANS["alone"], text))[USER_DATA] == text.encode()


def test_the_agent_is_told_nothing_of_the_public_port() -> None:
    assert answers(guest_of(PLANS["alone"]))[NETWORK] == b"network 1\nend\n"
