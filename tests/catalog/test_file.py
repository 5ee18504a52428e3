"""A catalog file: what it may say, and that each thing it may not say is told with its place."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from infra.catalog.default import default_catalog
from infra.catalog.file import read
from infra.catalog.source import BadCatalog, Source
from infra.domain.catalog import Asked
from infra.domain.sizes import GIB, MIB, Size
from infra.domain.terms import Deprecation, LocalTerms, Price


def asked(text: str) -> list[Asked]:
    return read(Source(text, "catalog.yaml"))


def refused(text: str) -> list[str]:
    with pytest.raises(BadCatalog) as wrong:
        asked(text)
    return wrong.value.message.splitlines()


def test_two_lines_are_a_catalog() -> None:
    (zone,) = asked("network_zones:\n- eu-central\n")

    assert zone == Asked("network_zones", "eu-central", ("network_zones", 0), {})


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}", "null"])
def test_a_file_that_says_nothing_asks_for_nothing(text: str) -> None:
    assert asked(text) == []


def test_the_default_is_a_catalog() -> None:
    assert {one.section for one in default_catalog()} == {"server_types", "load_balancer_types"}


def test_an_entry_holds_what_was_said_and_nothing_else() -> None:
    (one,) = asked(
        "server_types:\n"
        "- {name: px1, id: 7, memory: 256 MiB, disk: 2 GiB, price: {hourly: 0.005, monthly: '3.29'},\n"
        "   deprecation: {announced: 2027-01-31, unavailable_after: 2027-04-30T12:00:00+02:00},\n"
        "   locations: [{name: fsn1, recommended: true}]}\n"
    )

    assert (one.name, one.id) == ("px1", 7)
    assert one.fields == {
        "memory": Size(256 * MIB),
        "disk": Size(2 * GIB),
        "price": Price(Decimal("0.005"), Decimal("3.29")),
        "deprecation": Deprecation(datetime(2027, 1, 31, tzinfo=UTC), datetime(2027, 4, 30, 10, tzinfo=UTC)),
        "locations": {"fsn1": LocalTerms(recommended=True)},
    }


def test_every_wrong_place_is_told_from_top_to_bottom() -> None:
    assert refused(
        "server_types:\n- name: px1\n  cores: two\n  disk: 3 GB\n- {name: px 2}\nisos:\n- {architecture: mips}\n"
    ) == [
        "catalog.yaml:3: server_types[0].cores: must be a valid integer",
        "catalog.yaml:4: server_types[0].disk: must be in whole GiB, from 1 to 2147483647",
        "catalog.yaml:5: server_types[1].name: must be letters, digits, and any of . _ - between them",
        "catalog.yaml:7: isos[0].architecture: must be 'x86' or 'arm'",
        "catalog.yaml:7: isos[0].name: is required",
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("regions: []", "regions"),
        ("vat-rate: 3", "vat-rate"),
        ("server_types:\n- name: a\n  disk-size: 3", "server_types[0].disk-size"),
        ("server_types:\n- name: a\n  price: {hourly: 1, monthly: 1, weekly: 1}", "server_types[0].price.weekly"),
        ('"\\0": 3', "'\\x00'"),
    ],
)
def test_a_key_that_nobody_knows_is_named(text: str, place: str) -> None:
    (line,) = refused(text)

    assert line.endswith(f": {place}: is no key that a catalog has here")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("server_types: {}", "server_types"),
        ("server_types: null", "server_types"),
        ("server_types: [1]", "server_types[0]"),
        ("network_zones: [no]", "network_zones[0]"),
        ("1: 2", "[1]"),
        ("locations: [{name: a, latitude: .nan}]", "locations[0].latitude"),
        ("locations: [{name: a, country: DEU}]", "locations[0].country"),
        ("server_types: [{name: a, id: 0}]", "server_types[0].id"),
        ("server_types: [{name: a, id: true}]", "server_types[0].id"),
        ("server_types: [{name: a, id: 99999999999999999999}]", "server_types[0].id"),
        ("server_types: [{name: a, cores: 2.0}]", "server_types[0].cores"),
        ("server_types: [{name: a, memory: 5}]", "server_types[0].memory"),
        ("server_types: [{name: a, price: 5}]", "server_types[0].price"),
        ("server_types: [{name: a, price: {hourly: 5}}]", "server_types[0].price.monthly"),
        ("server_types: [{name: a, price: {hourly: .inf, monthly: 1}}]", "server_types[0].price.hourly"),
        ("server_types: [{name: a, price: {hourly: 1e-11, monthly: 1}}]", "server_types[0].price.hourly"),
        (
            "server_types: [{name: a, deprecation: {announced: 2026-02-01, unavailable_after: 2026-01-01}}]",
            "server_types[0].deprecation",
        ),
        (
            "server_types: [{name: a, deprecation: {announced: 2026-02-01, unavailable_after: soon}}]",
            "server_types[0].deprecation.unavailable_after",
        ),
        (
            "isos: [{name: a, deprecation: {announced: '0001-01-01T00:00+14:00', unavailable_after: 2026-01-01}}]",
            "isos[0].deprecation.announced",
        ),
        ("server_types: [{name: a, locations: [{name: x}, {name: x}]}]", "server_types[0].locations"),
        ("address_pools: [{location: a, cidr: 10.0.0.1/24}]", "address_pools[0].cidr"),
        ("address_pools: [{location: a, cidr: '2001:db8::/65'}]", "address_pools[0].cidr"),
        ("address_pools: [{location: a, cidr: '::/0'}]", "address_pools[0].cidr"),
        ("dns: {name_servers: []}", "dns.name_servers"),
        ("dns: {name_servers: [a b]}", "dns.name_servers[0]"),
        ("dns: {ptr_template: static.example.com}", "dns.ptr_template"),
        ("pricing: {currency: eur}", "pricing.currency"),
        ("pricing: {vat_rate: 101}", "pricing.vat_rate"),
        ("images: [{name: x, digest: abc}]", "images[0].digest"),
        ("default_location: 3", "default_location"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_its_place(text: str, place: str) -> None:
    (line,) = refused(text)

    assert line.startswith(f"catalog.yaml:1: {place}: ")


@pytest.mark.parametrize(
    "text",
    ["{", "a: b: c", "\tx: 1", "a: *nobody", "a: !!python/object:os.system x", "[" * 3000, "\x00", "? [a]\n: b"],
)
def test_what_is_no_yaml_is_told_in_one_line(text: str) -> None:
    (line,) = refused(text)

    assert line.startswith("catalog.yaml:")
    assert ": this is no YAML: " in line


def test_a_key_that_is_there_twice_is_an_error_because_one_would_be_lost() -> None:
    assert refused("isos:\n- name: a\n  name: b\n") == ["catalog.yaml:3: key 'name' is there twice"]


def test_the_file_in_the_readme_is_a_catalog() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", readme.partition("### The catalog")[2].partition("\n### ")[0], re.DOTALL)

    assert {one.section for one in asked(text)} == {"server_types", "images", "address_pools", "default_location"}
