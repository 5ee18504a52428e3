"""Serving: one zone at a time is brought to its name servers, as the books want it by then.

Of those who want the same zone at once, one does it for all who came before it began. A lock in the books is held from
the look at them until it is done, so that whoever applies last, on whichever machine, has read last.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from infra.db import names_due, names_refused, served_names
from infra.db.image_care import installation
from infra.db.pool import Connection, Pool
from infra.db.served_names import WantedZone
from infra.domain.served_names import Key, beyond, difference, serial_after, told, without
from infra.drivers.powerdns import SECONDARY, NamesRefused, PowerDns, ServedZone

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Zones that a process works at: each holds a connection to the books meanwhile."""


@dataclass(slots=True)
class _Turn:
    """What everybody who waits for it wants of one zone. ``names`` None: all of it."""

    names: set[str] | None = field(default_factory=set)
    done: bool = False

    def add(self, names: Collection[str] | None) -> None:
        self.names = None if names is None or self.names is None else self.names | set(names)


class Serving:
    def __init__(self, pool: Pool, server: PowerDns) -> None:
        self._pool = pool
        self._server = server
        self._turns: dict[str, _Turn] = {}
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._account = ""

    async def serve(self, zone: str, names: Collection[str] | None = None) -> None:
        """Returns when the zone answers as the books said at some moment after this was called.

        Unavailable: the name servers do not answer. What they do not take stands in the books (names_refused), and
        the rest is served.
        """
        turn = self._turns.setdefault(zone, _Turn())
        turn.add(names)
        async with self._busy[zone]:
            if turn.done:
                return
            if self._turns.get(zone) is turn:  # who comes from now on wants to be looked for anew
                del self._turns[zone]
            async with self._room:
                await self._converge(zone, turn.names)
            turn.done = True

    async def zones(self) -> set[str]:
        """The names of our zones that are served. Unavailable."""
        async with self._pool.connection() as connection:
            account = await self.account(connection)
        return await self._server.zones(account)

    async def compare(self, zone: str) -> str | None:
        """What the zone does that it should not, in words; it stays as it is. Unavailable.

        Names that are about to be followed are not wrong: who follows them waits for the lock, and their notes stand.
        """
        async with self._pool.connection() as connection, connection.transaction():
            await served_names.lock(connection, zone)
            served = await self._server.read(zone)
            wanted = await served_names.wanted(connection, zone, None)
            account = await self.account(connection)
            refused = await names_refused.known(connection, zone)
            due = await names_due.names_due(connection, zone)  # after what is wanted: its notes are there
        if wanted is None or served is None:
            wrong = "is not to be served" if served else "is not served" if wanted else None
            return wrong if due == set() else None
        if served.account != account:
            return "is there already, and is not ours"
        if wanted.primaries:
            return None if served.kind == SECONDARY or due is None else "is not transferred"
        return told(beyond(without(difference(served.answers, wanted.answers), refused), due))

    async def account(self, connection: Connection) -> str:
        """The mark of our zones on name servers that others may use, too."""
        if not self._account:
            self._account = f"puchify-{(await installation(connection)).replace('-', '')}"
        return self._account

    async def _converge(self, zone: str, names: Collection[str] | None) -> None:
        async with self._pool.connection() as connection, connection.transaction():
            account = await self.account(connection)
            await served_names.lock(connection, zone)
            served = await self._server.read(zone, names)
            if served is None:
                names = None
            wanted = await served_names.wanted(connection, zone, names)
            try:
                refused = await self._bring(connection, zone, account, served, wanted)
            except NamesRefused as refusal:
                refused = {(zone, "SOA"): refusal.message}
            for key, why in refused.items():
                log.warning("%s is not taken by the name servers: %s", " ".join(key), why)
            await names_refused.note(connection, zone, names, refused, wanted.answers if wanted else {})

    async def _bring(
        self, connection: Connection, zone: str, account: str, served: ServedZone | None, wanted: WantedZone | None
    ) -> dict[Key, str]:
        """What is not taken. NamesRefused: the zone is not."""
        if served is not None and served.account != account:
            if wanted is not None:
                raise NamesRefused("the zone is on the name servers already, and is not ours")
        elif wanted is None:
            await self._server.delete(zone)
        elif wanted.primaries:
            await self._transfer(wanted, account, served)
        else:
            serial, refused = await self._answer(wanted, account, served)
            await served_names.settle(connection, wanted, serial)
            return refused
        return {}

    async def _transfer(self, wanted: WantedZone, account: str, served: ServedZone | None) -> None:
        if served is not None and served.kind != SECONDARY:  # it was deleted, and made anew as another
            await self._server.delete(wanted.name)
            served = None
        await self._server.follow(wanted.name, account, wanted.primaries, served)

    async def _answer(self, wanted: WantedZone, account: str, served: ServedZone | None) -> tuple[int, dict[Key, str]]:
        """The serial that is served from now on, and what is not taken."""
        if served is None or served.kind == SECONDARY:
            return await self._begin(wanted, account, served)
        change = difference(served.answers, wanted.answers)
        other_soa = served.soa is not None and served.soa != wanted.soa_with(served.serial)
        today = datetime.now(UTC).date()
        serial = serial_after(served.serial, wanted.serial, bool(change) or other_soa, today)
        if change or other_soa or serial != served.serial:
            return serial, await self._server.apply(wanted.name, change, wanted.soa_with(serial))
        return serial, {}

    async def _begin(self, wanted: WantedZone, account: str, served: ServedZone | None) -> tuple[int, dict[Key, str]]:
        if served is not None:  # it was deleted, and made anew as another
            await self._server.delete(wanted.name)
        soa = wanted.soa_with(wanted.serial)
        await self._server.create(wanted.name, account, soa)
        return wanted.serial, await self._server.apply(wanted.name, difference({}, wanted.answers), soa)
