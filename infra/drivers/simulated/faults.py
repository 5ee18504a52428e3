"""Faults to order: which call of a simulated host fails, when, how often and how, and the journal of all calls.

Both live in the host's file, so that a test can inject a fault into, and read the calls of, a worker in another
process. A call asks twice: before its effect and after it. "after" is the fault that no retry may stumble over: the
effect is done, then the answer is lost.
"""

from __future__ import annotations

import asyncio
import builtins
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, fields
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple, get_type_hints

from infra.domain.errors import BY_NAME
from infra.drivers.protocols import Host

CALLS: tuple[str, ...] = tuple(
    f"{hand.name}.{name}"
    for hand in fields(Host)
    for name, promise in vars(get_type_hints(Host)[hand.name]).items()
    if callable(promise) and not name.startswith("_")
)
"""Every call of every hand, "<hand>.<call>", read off the protocols so that none can be forgotten."""

HANG_POLL = 0.02
"""Seconds until a hanging call sees that its fault was cleared."""
JOURNAL = 20_000
"""Calls that are remembered, at least."""


class Call(NamedTuple):
    """One line of the journal. ``at``: seconds since the epoch, when the call came in."""

    call: str
    server_id: int | None
    at: float


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong.

    ``call`` is a name in CALLS or a pattern over them ("disks.*", "*"). before: no effect, then the error; after: the
    effect, then the error; hang: no answer until the call is cancelled or the fault is cleared, then it goes on as if
    nothing had been. ``error`` names a class of ``infra.domain.errors`` or a builtin exception; None makes the call
    only slow. ``count``: so many calls are hit, None for all. ``server_id``: only calls for that server. ``delay_s``
    passes before the error (for "after": between effect and error, time enough to kill a worker there).
    """

    call: str
    when: Literal["before", "after", "hang"] = "before"
    error: str | None = "HostUnavailable"
    count: int | None = 1
    server_id: int | None = None
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        if not any(fnmatchcase(call, self.call) for call in CALLS):
            raise ValueError(f"no call of a host is named {self.call!r}: {', '.join(CALLS)}")
        if self.when not in ("before", "after", "hang"):
            raise ValueError(f"a fault strikes before, after or makes the call hang, not {self.when!r}")
        if self.error is not None:
            exception_of(self.error, "")


def exception_of(name: str, message: str) -> Exception:
    """The exception that a fault names. Raises ValueError for a name of none."""
    kind = BY_NAME.get(name) or getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        raise ValueError(f"no error is named {name!r}")
    return kind(message)


class Faults:
    """The faults and the journal of one host file."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def inject(self, fault: Fault) -> None:
        self.db.execute(
            'INSERT INTO faults (call, "when", error, remaining, server_id, delay_s) VALUES (?, ?, ?, ?, ?, ?)',
            astuple(fault),
        )

    def clear(self) -> None:
        self.db.execute("DELETE FROM faults")

    def calls(self) -> list[Call]:
        return [Call(*row) for row in self.db.execute("SELECT call, server_id, at FROM calls ORDER BY id")]

    @asynccontextmanager
    async def around(self, call: str, server_id: int | None = None) -> AsyncIterator[None]:
        """Put a call's effect between the faults that come before it and those that come after it."""
        self._note(call, server_id)
        await self._strike(call, server_id, after=False)
        yield
        await self._strike(call, server_id, after=True)

    def _note(self, call: str, server_id: int | None) -> None:
        row = self.db.execute(
            "INSERT INTO calls (call, server_id, at) VALUES (?, ?, ?)", (call, server_id, time.time())
        ).lastrowid
        if row and row % JOURNAL == 0:
            self.db.execute("DELETE FROM calls WHERE id <= ?", (row - JOURNAL,))

    async def _strike(self, call: str, server_id: int | None, after: bool) -> None:
        struck = self._take(call, server_id, after)
        if struck is None:
            return
        fault_id, when, error, delay_s = struck
        await asyncio.sleep(delay_s)
        while when == "hang" and self._stands(fault_id):  # noqa: ASYNC110 - another process may clear it
            await asyncio.sleep(HANG_POLL)
        if when != "hang" and error is not None:
            raise exception_of(error, f"a fault was injected into {call}")

    def _take(self, call: str, server_id: int | None, after: bool) -> tuple[int, str, str | None, float] | None:
        """Use up one strike of the oldest fault that fits: looked for first, since there is none nearly always."""
        fits = """
            SELECT id FROM faults WHERE ("when" = 'after') = ? AND ? GLOB call
            AND (server_id IS NULL OR server_id = ?) AND (remaining IS NULL OR remaining > 0) ORDER BY id LIMIT 1
        """
        asked = (after, call, server_id)
        if self.db.execute(fits, asked).fetchone() is None:
            return None
        take = f'UPDATE faults SET remaining = remaining - 1 WHERE id = ({fits}) RETURNING id, "when", error, delay_s'
        taken: tuple[int, str, str | None, float] | None = self.db.execute(take, asked).fetchone()
        return taken

    def _stands(self, fault_id: int) -> bool:
        return self.db.execute("SELECT 1 FROM faults WHERE id = ?", (fault_id,)).fetchone() is not None
