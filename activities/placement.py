"""Placement: one host for a server, chosen by a pure decision and held by a guarded claim."""

from __future__ import annotations

from itertools import islice

from temporalio import activity

from infra.db import claims, situations
from infra.db.placement_inputs import Note, Notes
from infra.db.pool import Connection, Pool
from infra.db.warm_hosts import WarmHosts
from infra.domain.errors import OrderWithdrawn, ResourceUnavailable
from infra.domain.models import Claim, PlacementRequest
from infra.domain.placement import Ranking, rank
from infra.domain.placement_refusal import explain_refusal

RACES = 8
"""Claims that one ranking may lose before the hosts are looked at anew: those who won them have changed the picture."""


class Placements:
    def __init__(self, pool: Pool, warm: WarmHosts, notes: Notes) -> None:
        self._pool = pool
        self._warm = warm
        self._notes = notes

    @activity.defn
    async def place_server(self, request: PlacementRequest) -> Claim:
        """Claim the best host; a lost race takes the next of the ranking. ResourceUnavailable: counts per filter."""
        async with self._pool.connection() as connection:
            while True:
                situation = await situations.look(connection, self._warm, request)
                if situation.claim is not None:
                    return situation.claim
                if situation.late:
                    raise OrderWithdrawn("the order was taken back")
                ranking = rank(situation.hosts, situation.ask)
                if not len(ranking):
                    self._notes.keep(Note(request, ranking, None))
                    raise ResourceUnavailable(*explain_refusal(ranking, request.order.location))
                if claim := await self._claim(connection, request, ranking):
                    return claim

    async def _claim(self, connection: Connection, request: PlacementRequest, ranking: Ranking) -> Claim | None:
        """The best host that is still as the ranking saw it; None: too many are not."""
        for host_id in islice(ranking, RACES):
            claim = await claims.take(connection, request.order, host_id, ranking.as_json(), request.epoch)
            if claim is not None:
                self._notes.keep(Note(request, ranking, host_id))
                return claim
        return None

    @activity.defn
    async def release_claim(self, request: PlacementRequest) -> None:
        async with self._pool.connection() as connection:
            await claims.release(connection, request.order.server_id, request.epoch)
