"""What the hands of one simulated host share: its file, its faults, its pace and its room.

Work that a real host does in several parts (a clone that is grown, a tap that gets rules) is marked begun, takes its
time and is then marked done: a worker that dies in between leaves the half, as it would on a real host. What a host
cannot refuse politely, since no honest caller asks for it, is a ``CallerBug``.
"""

from __future__ import annotations

import hashlib
import sqlite3
from base64 import b64encode
from dataclasses import dataclass, field

from infra.domain.errors import HostUnavailable
from infra.drivers.protocols import PartsMissing
from infra.drivers.simulated.faults import Faults
from infra.drivers.simulated.latencies import Latencies
from infra.drivers.simulated.settings import Settings

POLL = 0.01
"""Seconds between two looks at what somebody else has to finish: a fetch, a boot, a shutdown."""


class CallerBug(Exception):
    """The host was asked for what cannot be, whatever its state: a step was left out, or two were mixed up."""


@dataclass(slots=True)
class Body:
    """What the hands of one host share."""

    db: sqlite3.Connection
    faults: Faults
    latencies: Latencies
    settings: Settings
    fetching: set[str] = field(default_factory=set)

    def held(self, table: str) -> set[int]:
        return {row[0] for row in self.db.execute(f"SELECT server_id FROM {table}")}

    def finish(self, table: str, server_id: int) -> None:
        """Mark begun work done. Raises HostUnavailable (so it is tried again) when it was removed in the meantime."""
        if self.db.execute(f"UPDATE {table} SET done = 1 WHERE server_id = ?", (server_id,)).rowcount == 0:
            raise HostUnavailable("the server's parts were removed while they were made")

    def holds(self, table: str, server_id: int) -> bool:
        return self.db.execute(f"SELECT 1 FROM {table} WHERE server_id = ?", (server_id,)).fetchone() is not None

    def is_done(self, table: str, server_id: int) -> bool:
        row = self.db.execute(f"SELECT done FROM {table} WHERE server_id = ?", (server_id,)).fetchone()
        return bool(row and row[0])

    def require_parts(self, server_id: int) -> None:
        parts = {
            "disk": self.is_done("disks", server_id),
            "seed": self.holds("seeds", server_id),
            "port": self.is_done("ports", server_id),
        }
        missing = [part for part, there in parts.items() if not there]
        if missing:
            raise PartsMissing(f"server {server_id} has no {' and no '.join(missing)}")

    def host_key(self, server_id: int) -> str:
        """The key that the guest made at its first boot: an ed25519 public key's wire format around a digest."""
        kind = b"ssh-ed25519"
        point = hashlib.sha256(f"{self.settings.key_seed()}:{server_id}".encode()).digest()
        blob = b"".join(len(part).to_bytes(4, "big") + part for part in (kind, point))
        return f"{kind.decode()} {b64encode(blob).decode()}"
