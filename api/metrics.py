"""GET /metrics: what the last audits and the care for images found, in the Prometheus text format.

Of the region as a whole, never of a tenant.
Every API serves the same figures, because they are read from the books: scrape one, or take the maximum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from api.services import Use
from infra.db import audits, image_care
from infra.db.audits import Tally
from infra.db.image_care import ImageHealth


class Stored(Collector):
    """Images, as the care for them found them."""

    def __init__(self, health: ImageHealth) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "puchify_images_quarantined", "Images of which the store has no good copy.", value=self._health.quarantined
        )
        yield GaugeMetricFamily(
            "puchify_images_doubted", "Images that a host found damaged, not read back yet.", value=self._health.doubted
        )
        yield GaugeMetricFamily(
            "puchify_images_unread_seconds", "The longest that an image was not read back.", value=self._health.unread
        )


class Audited(Collector):
    def __init__(self, tallies: Sequence[Tally]) -> None:
        self._tallies = tallies

    def collect(self) -> Iterator[Metric]:
        labels = ["location", "kind"]
        leaks = GaugeMetricFamily("puchify_leaks", "What leaked when the location was last audited.", labels=labels)
        pending = GaugeMetricFamily("puchify_leaks_pending", "What waits for hosts that are silent.", labels=labels)
        healed = CounterMetricFamily("puchify_leaks_healed", "Leaks that audits have healed.", labels=labels)
        for tally in self._tallies:
            where = [tally.location, tally.kind]
            leaks.add_metric(where, tally.leaks)
            pending.add_metric(where, tally.pending)
            healed.add_metric(where, tally.healed)
        age = GaugeMetricFamily("puchify_audit_age_seconds", "Time since the location's last audit.", labels=labels[:1])
        for location, seconds in {tally.location: tally.age for tally in self._tallies}.items():
            age.add_metric([location], seconds)
        yield from (leaks, pending, healed, age)


async def metrics(use: Use) -> Response:
    async with use.pool.connection() as connection:
        tallies = await audits.latest(connection)
        health = await image_care.health(connection)
    registry = CollectorRegistry()
    registry.register(Audited(tallies))
    registry.register(Stored(health))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
