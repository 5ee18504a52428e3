"""Host names: what a server may be called. A server's name is its host name, so it follows RFC 1123."""

from __future__ import annotations

import re

LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
LONGEST = 253


def hostname_problem(name: str) -> str | None:
    """What keeps ``name`` from being a host name (one label or several with dots between), or None."""
    if not name:
        return "must not be empty"
    if len(name) > LONGEST:
        return f"must have at most {LONGEST} characters"
    if not all(LABEL.fullmatch(label) for label in name.split(".")):
        return "must be a host name: letters, digits and hyphens, parts of 1 to 63 characters with dots between"
    return None
