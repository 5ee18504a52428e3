"""Epochs: the highest claim that a host has seen of each server, and whether it is closed; kept in the host's own file.

It outlives the worker, so that one which comes back does not obey what an older claim had ordered.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from types import TracebackType

SCHEMA = """
CREATE TABLE IF NOT EXISTS epochs (
    server_id   INTEGER PRIMARY KEY,
    highest     INTEGER NOT NULL,
    closed      INTEGER NOT NULL DEFAULT 0,     -- no step of this epoch or an older one may begin
    seen        REAL NOT NULL DEFAULT (unixepoch())
)"""

KEEP = 24 * 3600.0
"""Seconds that a server which is gone is remembered: no command waits in a queue for longer than a minute."""


class Epochs:
    """``with Epochs(path) as epochs``. A write is a page in the log, without fsync: after a power cut nothing of a
    server runs here, and whatever is left is compared with the books before the first command."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(SCHEMA)

    def __enter__(self) -> Epochs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def see(self, server_id: int, epoch: int) -> bool:
        """Remember the epoch. False: it is older than one that was seen, or closed."""
        highest, closed = self._of(server_id)
        if epoch > highest:
            self._db.execute(
                "INSERT INTO epochs (server_id, highest) VALUES (?, ?)"
                " ON CONFLICT (server_id) DO UPDATE SET highest = excluded.highest, seen = unixepoch()",
                (server_id, epoch),
            )
        return epoch >= highest and epoch > closed

    def close(self, server_id: int, epoch: int) -> bool:
        """No step of this epoch may begin any more. False, and nothing is closed: a newer one was seen."""
        highest, _ = self._of(server_id)
        if epoch < highest:
            return False
        self._db.execute(
            "INSERT INTO epochs (server_id, highest, closed) VALUES (?, ?, ?)"
            " ON CONFLICT (server_id) DO UPDATE SET highest = excluded.highest, closed = excluded.closed,"
            " seen = unixepoch()",
            (server_id, epoch, epoch),
        )
        return True

    def highest(self, server_id: int) -> int:
        """0: the server was never seen."""
        return self._of(server_id)[0]

    def forget(self, here: Collection[int]) -> None:
        """Drop what is long gone; ``here``: the servers that are claimed."""
        with closing(self._db.execute("SELECT server_id FROM epochs WHERE seen < unixepoch() - ?", (KEEP,))) as old:
            gone = [(server_id,) for (server_id,) in old if server_id not in here]
        self._db.executemany("DELETE FROM epochs WHERE server_id = ?", gone)

    def _of(self, server_id: int) -> tuple[int, int]:
        row = self._db.execute("SELECT highest, closed FROM epochs WHERE server_id = ?", (server_id,)).fetchone()
        return row or (0, 0)
