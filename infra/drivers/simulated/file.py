"""The file in which a simulated host lives: SQLite, shared by its worker and by everyone who looks at it.

WAL, so that looking never waits for work; synchronous off, since a simulated host has to outlive its worker but not
its machine. A statement takes microseconds, so the hands run them on the event loop.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

PATIENCE = 10.0
"""Seconds to wait for another process's write."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS images (
    digest TEXT PRIMARY KEY, fetched INTEGER NOT NULL, done INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS disks (
    server_id INTEGER PRIMARY KEY, size_gib INTEGER NOT NULL, has_agent INTEGER NOT NULL, done INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS seeds (server_id INTEGER PRIMARY KEY, documents TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ports (server_id INTEGER PRIMARY KEY, done INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS plans (server_id INTEGER PRIMARY KEY, plan TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS nics (server_id INTEGER, member_id INTEGER, PRIMARY KEY (server_id, member_id));
CREATE TABLE IF NOT EXISTS addresses (address TEXT PRIMARY KEY, server_id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS machines (
    server_id INTEGER PRIMARY KEY, memory_mib INTEGER NOT NULL,
    started REAL,                                       -- seconds since the epoch; NULL: it does not run
    instance TEXT                                       -- the instance-id of the seed that it booted with
);
CREATE TABLE IF NOT EXISTS faults (
    id INTEGER PRIMARY KEY AUTOINCREMENT, call TEXT NOT NULL, "when" TEXT NOT NULL, error TEXT,
    remaining INTEGER, server_id INTEGER, delay_s REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT, call TEXT NOT NULL, server_id INTEGER, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS addresses_server ON addresses (server_id);
"""


def open_file(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode; a file that is not there is made, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    _use_wal(db)
    db.execute("PRAGMA synchronous = OFF")
    db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
    return db


def _use_wal(db: sqlite3.Connection) -> None:
    """SQLite does not wait for its lock on the change to WAL, so when several open a new file at once, we do."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
