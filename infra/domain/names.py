"""Names: what a server may be called (its name is its host name, so it follows RFC 1123), what others may, and how a
reference that may be a name or an id is told apart."""

from __future__ import annotations

import re

LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
LONGEST = 253
LONGEST_TITLE = 255


def hostname_problem(name: str) -> str | None:
    """What keeps ``name`` from being a host name (one label or several with dots between), or None."""
    if not name:
        return "must not be empty"
    if len(name) > LONGEST:
        return f"must have at most {LONGEST} characters"
    if not all(LABEL.fullmatch(label) for label in name.split(".")):
        return "must be a host name: letters, digits and hyphens, parts of 1 to 63 characters with dots between"
    return None


def title_problem(name: str) -> str | None:
    """What keeps ``name`` from being what a user, a project or a key is called, or None."""
    if not name.strip():
        return "must not be empty"
    if len(name) > LONGEST_TITLE:
        return f"must have at most {LONGEST_TITLE} characters"
    return None if name.isprintable() else "must have printable characters only"


def as_id(asked: int | str) -> int | None:
    """The id that a reference means where no name reads so: a number, or its digits, as far as ids are counted."""
    if isinstance(asked, int):
        return asked
    return int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 19 else None
