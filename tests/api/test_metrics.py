"""What Prometheus scrapes, read as Prometheus reads it."""

from __future__ import annotations

from collections import Counter

import httpx
from prometheus_client.parser import text_string_to_metric_families

from infra.db import audits, image_care
from infra.db.ledger import KINDS
from tests.fix_api import Api
from tests.furnished import DIGEST


async def scrape(api: Api) -> dict[tuple[str, str, str], float]:
    """(metric, location, kind) -> value, without a token: there is nothing of a tenant in it."""
    async with httpx.AsyncClient() as http:
        reply = await http.get(f"{api.url}/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    samples = [sample for family in text_string_to_metric_families(reply.text) for sample in family.samples]
    assert all(sample.labels.keys() <= {"location", "kind"} for sample in samples)
    where = [(sample.labels.get("location", ""), sample.labels.get("kind", "")) for sample in samples]
    return {(sample.name, *place): sample.value for sample, place in zip(samples, where, strict=True)}


async def test_a_region_that_was_never_audited_has_no_figures(api: Api) -> None:
    assert api.region.location not in {location for _, location, _ in await scrape(api)}


async def test_the_newest_audit_is_told_kind_by_kind(api: Api) -> None:
    where = api.region.location
    async with api.region.pool.connection() as connection:
        await audits.store(connection, where, Counter(stray=5), Counter(), Counter(stray=5))
        await audits.store(connection, where, Counter(lock=2), Counter(tombstone=3), Counter(stray=1, lock=2))
        await connection.execute("UPDATE audits SET at = now() - interval '1 hour'")

    found = await scrape(api)

    def of(metric: str) -> dict[str, float]:
        return {kind: value for (name, location, kind), value in found.items() if (name, location) == (metric, where)}

    zeros = dict.fromkeys(KINDS, 0.0)
    assert of("puchify_leaks") == {**zeros, "lock": 2}
    assert of("puchify_leaks_pending") == {**zeros, "tombstone": 3}
    assert of("puchify_leaks_healed_total") == {**zeros, "stray": 6, "lock": 2}
    assert 3600 <= of("puchify_audit_age_seconds")[""] < 3700


async def test_images_that_are_doubted_or_in_quarantine_are_counted(api: Api) -> None:
    before = await scrape(api)
    await api.region.execute("UPDATE images SET doubted = now() WHERE id = %s", api.region.image_id)
    doubted = await scrape(api)
    async with api.region.pool.connection() as connection:
        await image_care.found_bad(connection, DIGEST)
    bad = await scrape(api)
    await api.region.execute(
        "UPDATE images SET quarantined = NULL, status = 'available' WHERE id = %s", api.region.image_id
    )

    def more(found: dict[tuple[str, str, str], float]) -> tuple[float, float]:
        kinds = ("puchify_images_doubted", "puchify_images_quarantined")
        doubted, quarantined = (found[kind, "", ""] - before[kind, "", ""] for kind in kinds)
        return doubted, quarantined

    assert more(doubted) == (1, 0)
    assert more(bad) == (0, 1)
    assert before["puchify_images_unread_seconds", "", ""] > 0
