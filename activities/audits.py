"""Audits: compare what is held with what live servers own, heal what stays wrong, and write down what was found."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

import psycopg
from temporalio import activity

from activities.dns import Names
from infra.db import audits, ledger
from infra.db.healing import Leak, heal
from infra.db.ledger import Finding, Limits
from infra.db.pool import Pool
from infra.domain.errors import Unavailable
from infra.domain.models import Audited, AuditRequest

log = logging.getLogger(__name__)

ZONES = 20
"""Zones that an audit compares with their name servers: a big one takes a second."""


class Audits:
    def __init__(self, pool: Pool, grace: float, names: Names | None = None) -> None:
        """``grace``: seconds that something may be wrong before it is a leak, and healed."""
        self._pool = pool
        self._grace = grace
        self._names = names

    @activity.defn
    async def audit_region(self, request: AuditRequest) -> Audited:
        """One look at everything. What is new is noted, and left to the next audit."""
        limits = Limits(request.create_within, request.delete_within)
        await self._check_names()
        async with self._pool.connection() as connection:
            found = await ledger.examine(connection, request.location, limits)
            await audits.note(connection, request.location, found)
        leaks = [finding for finding in found if not finding.is_new and finding.is_leak(self._grace)]
        healed = [finding for finding in leaks if await self._heal(Leak(finding, limits, self._grace))]
        told = by_kind(leaks), by_kind(finding for finding in found if finding.pending), by_kind(healed)
        async with self._pool.connection() as connection:
            await audits.store(connection, request.location, *told)
        return Audited(*map(dict, told))

    async def _check_names(self) -> None:
        """While name servers are away, what was found before stands."""
        if self._names is None:
            return
        try:
            await self._names.check(ZONES)
        except Unavailable as away:
            log.warning("zones are not compared with what is answered: %s", away.message)

    async def _heal(self, leak: Leak) -> bool:
        """One that cannot be healed stands in no other's way: next time is in a minute."""
        finding = leak.finding
        try:
            async with self._pool.connection() as connection:
                healed = await heal(connection, leak)
        except psycopg.Error:
            log.exception("a leak cannot be healed: %s", finding.text)
            return False
        log.warning("a leak of %.0f s, %s: %s", finding.age, "healed" if healed else "not healed", finding.text)
        return healed


def by_kind(findings: Iterable[Finding]) -> Counter[str]:
    return Counter(finding.kind for finding in findings)
