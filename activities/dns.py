"""Names: name servers answer for a server while it lives, and follow whatever else changes in the books.

Publishing is a row in the books; the row leaves a note, and the note is followed. So is every other change: a zone, a
record, an address that moves. Whoever needs the name servers to have followed waits for the notes of its project here;
all others are followed soon after, by the region's worker (workers/names.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence

from temporalio import activity

from infra.db import names_due, zone_checks
from infra.db.names_due import Due, followed, together, unfollowed
from infra.db.pool import Pool
from infra.dns.serving import Serving
from infra.domain.changes import Change
from infra.domain.errors import PuchifyError, Unavailable
from infra.domain.models import ServerOrder

log = logging.getLogger(__name__)

OF_NAMES = frozenset({"change_dns_ptr", "assign_primary_ip", "unassign_primary_ip"})
"""Commands of servers, primary IPs and load balancers that change what a name or an address is called."""


class Names:
    def __init__(self, pool: Pool, serving: Serving | None) -> None:
        """``serving`` None: there are no name servers here, and names are book-keeping."""
        self._pool = pool
        self._serving = serving

    @activity.defn
    async def publish_dns(self, order: ServerOrder) -> None:
        """The server's name and its addresses' are answered. Unavailable: the name servers do not answer (yet).

        A server whose name lies in no zone does not wait for them: it only gets the default names of its addresses.
        """
        async with self._pool.connection() as connection:
            await names_due.publish(connection, order)
            own = await names_due.zones_of_server(connection, order)
        await self._follow(order.project_id, own)

    @activity.defn
    async def withdraw_dns(self, order: ServerOrder) -> None:
        """Nothing leads to the server any more. One whose name lies in no zone does not wait for the name servers."""
        async with self._pool.connection() as connection:
            own = await names_due.zones_of_server(connection, order)
            await names_due.withdraw(connection, order)
        await self._follow(order.project_id, own)

    async def follow(self, change: Change) -> None:
        """The data plane of everything that has a name: what the change made of names is answered. What the name
        servers do not take stands in the books by then (infra/db/names_refused.py).

        A change that is about no names waits for none."""
        if change.resource.type != "zone" and change.command not in OF_NAMES:
            return
        async with self._pool.connection() as connection:
            own = await names_due.zones_of_change(connection, change)
        await self._follow(change.project_id, own)

    async def follow_all(self, age: float) -> int:
        """What was noted ``age`` seconds ago and nobody followed yet; how many notes are done with. Unavailable: none
        was, since the name servers do not answer."""
        async with self._pool.connection() as connection:
            if self._serving is None:
                return await names_due.forget(connection)
            await names_due.look(connection)
        return await self._follow(None, None, age)

    async def check(self, most: int) -> None:
        """Compare some zones with what is answered, those that were wrong first. What is found stands in the books."""
        if self._serving is None:
            return
        served = await self._serving.zones()
        async with self._pool.connection() as connection:
            due = await zone_checks.due(connection, served | await names_due.served_zones(connection), most)
        for zone in due:
            try:
                wrong = await self._serving.compare(zone)
            except Unavailable:
                raise
            except Exception:  # all others are compared
                log.exception("zone %s cannot be compared with what is answered", zone)
                wrong = "cannot be compared with the books"
            async with self._pool.connection() as connection:
                await zone_checks.note(connection, zone, wrong)

    async def _follow(self, project_id: int | None, own: Collection[str] | None, age: float = 0) -> int:
        """``own``: the zones without which whoever asks is not served; None: any will do.

        Raises why one of them was not reached. All others were, and their notes are done with.
        """
        if self._serving is None:
            return 0
        async with self._pool.connection() as connection:
            dues = await names_due.due(connection, project_id, age)
        if not dues:
            return 0
        failures = await self._serve(self._serving, dues)
        gone = followed(dues, failures.keys())
        async with self._pool.connection() as connection:
            await names_due.done(connection, gone)
            await names_due.put_off(connection, unfollowed(dues, failures.keys()))
        for zone, failure in failures.items():
            if zone in own if own is not None else not gone:
                raise failure
        return len(gone)

    async def _serve(self, serving: Serving, dues: Sequence[Due]) -> dict[str, BaseException]:
        """By zone, why it was not reached."""
        zones = together(due.zones for due in dues)
        serves = (serving.serve(zone, names) for zone, names in zones.items())
        failures: dict[str, BaseException] = {}
        for zone, end in zip(zones, await asyncio.gather(*serves, return_exceptions=True), strict=True):
            if end is None:
                continue
            if isinstance(end, PuchifyError):
                log.warning("zone %s is not followed: %s", zone, end.message)
            else:  # all others are followed
                log.error("zone %s is not followed", zone, exc_info=end)
            failures[zone] = end
        return failures
