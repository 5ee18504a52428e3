"""A tap's name, made from its server's id and read back: the kernel's devices and rules tell whose they are.

The prefix is what the firewall matches guests by (``pt-*``), so it is one that no other interface has. Base 36 keeps
an id of 53 bits within the kernel's 15 characters.
"""

from __future__ import annotations

import re
import string

PREFIX = "pt-"
DIGITS = string.digits + string.ascii_lowercase
LONGEST = 15  # IFNAMSIZ - 1


def tap_name(server_id: int) -> str:
    if server_id <= 0:
        raise ValueError(f"a server's id is positive, not {server_id}")
    digits = ""
    while server_id:
        server_id, digit = divmod(server_id, 36)
        digits = DIGITS[digit] + digits
    if len(PREFIX + digits) > LONGEST:
        raise ValueError("this id does not fit into the name of an interface")
    return PREFIX + digits


def server_of(name: str) -> int | None:
    """The server whose tap it is; None for any other name."""
    if len(name) > LONGEST or not re.fullmatch(rf"{PREFIX}[1-9a-z][0-9a-z]*", name):
        return None
    return int(name.removeprefix(PREFIX), 36)
