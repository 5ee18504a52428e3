"""``Prefer: wait=N`` (RFC 7240): how long a client is ready to wait for the end of what it asked for."""

from __future__ import annotations

import re

LONGEST_WAIT = 60  # seconds; what is asked for beyond it is cut
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?", re.ASCII | re.IGNORECASE)


def seconds_to_wait(prefer: str | None) -> int:
    """A preference that is not understood is ignored."""
    found = WAIT.search(prefer or "")
    return min(int(found[1]), LONGEST_WAIT) if found else 0
