"""A catalog in the books: applied as a whole or not at all, again at will, by several at once, and read back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from infra.catalog.default import default_catalog, ensure_catalogue
from infra.catalog.file import read
from infra.catalog.source import Source
from infra.catalog.text import document
from infra.db import images
from infra.db.built_images import NewImage, register_image
from infra.db.catalog.applying import apply, plan_of
from infra.db.catalog.books import present
from infra.db.locations import locations
from infra.db.pool import Pool
from infra.db.server_types import server_types
from infra.domain.catalog import Asked, Plan, Unfit
from infra.domain.errors import Conflict
from tests.db.conftest import Project

EVERYTHING = """
network_zones: [north, south]
locations:
- {name: hel1, id: 1001, description: Helsinki, country: FI, city: Helsinki, latitude: 60.17, longitude: 24.94,
   network_zone: north, density_target: 0.5}
datacenters:
- {name: hel1-dc2, id: 1002, location: hel1}
server_types:
- name: big
  id: 1011
  cores: 8
  memory: 16 GiB
  disk: 160 GiB
  cpu_type: dedicated
  category: Dedicated vCPU
  price: {hourly: 0.05, monthly: 29.9, included_traffic: 20 TiB, per_tb_traffic: 1.19}
  deprecation: {announced: 2026-01-01, unavailable_after: 2099-01-01}
  locations:
  - {name: hel1, recommended: true, price: {hourly: 0.06, monthly: 31}}
load_balancer_types:
- {name: lb9, id: 1021, max_connections: 7, max_services: 1, max_targets: 2, price: {hourly: 1, monthly: 2}}
images:
- {name: linux, id: 1031, os_flavor: debian, os_version: '12', deprecation: {announced: 2026-01-01,
   unavailable_after: 2026-06-01}}
isos:
- {name: rescue.iso, id: 1041, architecture: x86}
- {name: any.iso}
address_pools:
- {location: hel1, cidr: 198.51.100.0/24}
- {location: hel1, cidr: '2001:db8:100::/48'}
dns: {name_servers: [ns1.example.com], ptr_template: 'host-{ip}.example.com'}
pricing: {currency: USD, vat_rate: 19, primary_ipv4_hourly: 0.001}
default_location: hel1
"""


def asked(text: str) -> list[Asked]:
    return read(Source(text, "catalog.yaml"))


async def applied(pool: Pool, text: str) -> Plan:
    async with pool.connection() as connection:
        return await apply(connection, asked(text))


async def told(pool: Pool) -> str:
    async with pool.connection() as connection:
        return document(await present(connection))


async def test_two_lines_make_a_network_zone(pool: Pool) -> None:
    plan = await applied(pool, "network_zones:\n- north\n")

    assert [(change.section, change.name, change.new) for change in plan.changes] == [("network_zones", "north", True)]
    assert "network_zones:\n- north\n" in await told(pool)


async def test_the_second_time_there_is_nothing_to_change(pool: Pool) -> None:
    first, second = await applied(pool, EVERYTHING), await applied(pool, EVERYTHING)

    assert len(first.changes) == second.alike == 14
    assert second.changes == ()


async def test_the_default_can_be_applied_again(pool: Pool) -> None:
    async with pool.connection() as connection:
        await ensure_catalogue(connection, "local")
        again = await apply(connection, default_catalog())

    assert again.changes == ()


async def test_what_an_operator_made_of_the_default_stays(pool: Pool) -> None:
    async with pool.connection() as connection:
        await ensure_catalogue(connection, "local")
        await apply(connection, asked("server_types: [{name: px1, description: mine}]"))
        await ensure_catalogue(connection, "local")
        found = {one.name: one.description for one in await server_types(connection)}

    assert found["px1"] == "mine"
    assert len(found) == 5


async def test_what_is_shown_can_be_applied_and_changes_nothing(pool: Pool) -> None:
    await applied(pool, EVERYTHING)

    shown = await told(pool)
    again = await applied(pool, shown)

    assert again.changes == ()
    assert again.left_alone == ()
    assert await told(pool) == shown


async def test_a_catalog_moves_to_other_books_with_its_ids(pool: Pool) -> None:
    await applied(pool, EVERYTHING)
    shown = await told(pool)
    async with pool.connection() as connection:
        await connection.execute(
            "TRUNCATE network_zones, server_types, load_balancer_types, images, isos, catalog_settings CASCADE"
        )
    await applied(pool, shown)

    assert await told(pool) == shown


async def test_ids_are_as_they_were_asked_for_and_counting_goes_on_above_them(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("ALTER SEQUENCE isos_id_seq RESTART")
        await apply(connection, asked("isos: [{name: counted}, {name: one, id: 1}]"))
        await apply(connection, asked("isos: [{name: next}, {name: far, id: 4000}]"))
        await apply(connection, asked("isos: [{name: last}]"))
        rows = await (await connection.execute("SELECT name, id FROM isos ORDER BY id")).fetchall()

    assert [tuple(row.values()) for row in rows] == [
        ("one", 1),
        ("counted", 2),
        ("far", 4000),
        ("next", 4001),
        ("last", 4002),
    ]


async def test_an_id_that_a_projects_image_has_is_taken(project: Project) -> None:
    (row,) = await project.all(
        "INSERT INTO images (project_id, type, description, disk_gib, digest)"
        " VALUES (%s, 'snapshot', '', 1, repeat('b', 64)) RETURNING id",
        project.id,
    )

    with pytest.raises(Conflict, match=f"image linux .x86. cannot have id {row['id']}: it is taken"):
        await applied(project.pool, f"images: [{{name: linux, id: {row['id']}}}]")


async def test_a_field_that_is_not_mentioned_stays_and_null_takes_back(pool: Pool) -> None:
    await applied(pool, EVERYTHING)
    plan = await applied(pool, "server_types: [{name: big, deprecation: null, locations: null}]")

    assert [one.field for change in plan.changes for one in change.differences] == ["deprecation", "locations"]
    async with pool.connection() as connection:
        (big,) = await server_types(connection)
    assert (big.cores, big.terms.price.included_traffic) == (8, 20 << 40)
    assert (big.terms.deprecation, big.terms.everywhere, big.terms.local) == (None, True, {})


async def test_nothing_is_kept_of_a_catalog_that_cannot_be_applied_as_a_whole(project: Project) -> None:
    """Its last entry fails in the books, when the others are written."""
    await project.all("ALTER TABLE isos ADD CONSTRAINT refused CHECK (name <> 'bad')")
    before = await told(project.pool)
    try:
        with pytest.raises(Exception, match="refused"):
            await applied(project.pool, "network_zones: [north]\nisos: [{name: good}, {name: bad}]")
    finally:
        await project.all("ALTER TABLE isos DROP CONSTRAINT refused")

    assert await told(project.pool) == before


async def test_a_reference_to_what_is_not_there_changes_nothing(pool: Pool) -> None:
    before = await told(pool)

    with pytest.raises(Unfit) as wrong:
        await applied(pool, "network_zones: [north]\ndefault_location: atlantis")

    assert wrong.value.problems == [(("default_location",), "there is no location 'atlantis'")]
    assert await told(pool) == before


async def test_two_at_once_make_every_entry_once(pool: Pool) -> None:
    plans = await asyncio.gather(*(applied(pool, EVERYTHING) for _ in range(4)))

    assert sorted(len(plan.changes) for plan in plans) == [0, 0, 0, 14]


async def test_a_plan_that_was_shown_is_not_applied_to_other_books(pool: Pool) -> None:
    entries = asked("isos: [{name: a}]")
    async with pool.connection() as connection:
        shown = await plan_of(connection, entries)
        await applied(pool, "isos: [{name: a}, {name: b}]")
        with pytest.raises(Conflict, match="since the plan was shown"):
            await apply(connection, entries, shown)


async def test_a_size_that_servers_count_on_does_not_change_even_if_they_were_ordered_meanwhile(
    project: Project,
) -> None:
    text = "server_types: [{name: px1, cores: 64}]"
    async with project.pool.connection() as connection:
        shown = await plan_of(connection, asked(text))
        await project.accept()
        with pytest.raises(Unfit) as wrong:
            await apply(connection, asked(text), shown)

    ((place, problem),) = wrong.value.problems
    assert place == ("server_types", 0, "cores")
    assert problem.startswith("cannot change: 1 server is of this type")


async def test_a_build_keeps_what_the_catalog_says_of_its_name(pool: Pool) -> None:
    await applied(pool, "images: [{name: linux, id: 77, description: Ours, os_flavor: debian, os_version: '12'}]")
    async with pool.connection() as connection:
        described = await images.get(connection, 1, 77)
        built = await register_image(connection, NewImage("linux", "c" * 64, 3, "as built"))
        rebuilt = await register_image(connection, NewImage("linux", "d" * 64, 3, "as built"))
        found = await images.get(connection, 1, rebuilt)

    assert (described.status, built) == ("unavailable", 77)
    assert rebuilt != built
    assert (found.status, found.description, found.os_version) == ("available", "Ours", "12")


async def test_an_image_may_be_another_name_of_a_built_one(pool: Pool) -> None:
    async with pool.connection() as connection:
        await register_image(connection, NewImage("tiny", "c" * 64, 3, "as built"))
        await apply(connection, asked("images: [{name: ubuntu-24.04, id: 161547269, source: tiny}]"))
        found = await images.get(connection, 1, 161547269)

    assert (found.status, found.digest, found.disk_gib) == ("available", "c" * 64, 3)


@pytest.mark.parametrize("cidr", ["198.51.100.128/25", "198.51.0.0/16", "198.51.100.0/24"])
async def test_pools_of_two_locations_never_overlap(pool: Pool, cidr: str) -> None:
    await applied(pool, EVERYTHING)
    more = f"locations: [{{name: fsn1, network_zone: south}}]\naddress_pools: [{{location: fsn1, cidr: {cidr}}}]"

    with pytest.raises(Unfit) as wrong:
        await applied(pool, more)

    assert wrong.value.problems == [(("address_pools", 0), "overlaps address pool 198.51.100.0/24 in hel1")]


async def test_a_location_tells_what_was_said_of_it(pool: Pool) -> None:
    await applied(pool, EVERYTHING)
    async with pool.connection() as connection:
        (hel1,) = await locations(connection)

    own: dict[str, Any] = {name: getattr(hel1, name) for name in ("id", "city", "density_target", "is_default")}
    assert own == {"id": 1001, "city": "Helsinki", "density_target": 0.5, "is_default": True}
    assert [one.name for one in hel1.datacenters] == ["hel1-dc2"]
    assert hel1.ptr_template == "host-{ip}.example.com"
