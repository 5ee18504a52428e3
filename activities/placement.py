"""Placement: one host for a server, chosen by a pure decision and held by a guarded claim."""

from __future__ import annotations

from temporalio import activity

from infra.db import claims
from infra.db.pool import Pool
from infra.domain.errors import ResourceUnavailable
from infra.domain.models import Claim, PlacementRequest
from infra.domain.placement import Ask, explain_refusal, rank


class Placements:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @activity.defn
    async def place_server(self, request: PlacementRequest) -> Claim:
        """Claim the best host; a lost race takes the next of the ranking. ResourceUnavailable: counts per filter."""
        order = request.order
        async with self._pool.connection() as connection:
            region = await claims.region(connection, order)
            if region.claim is not None and region.claim.epoch == request.epoch:
                return region.claim  # an earlier try took effect and its answer was lost
            ask = Ask(
                location=order.location,
                architecture=order.image.architecture,
                resources=order.resources,
                excluded=request.excluded_hosts,
                density_target=region.density_target,
            )
            decision = rank(ask, region.hosts)
            for candidate in decision.candidates:
                claim = await claims.take(connection, order, candidate.host_id, decision.as_json(), request.epoch)
                if claim is not None:
                    return claim
        raise ResourceUnavailable(*explain_refusal(ask, decision))

    @activity.defn
    async def release_claim(self, request: PlacementRequest) -> None:
        async with self._pool.connection() as connection:
            await claims.release(connection, request.order.server_id, request.epoch)
