"""The headers of a stored image: the subset of POSIX tar (pax, and GNU's sparse format 1.0) that we write, to the byte.

Everything that could differ between two tars of the same files (times, owners, padding) is fixed here, so that equal
files have equal headers, and reading is writing again and comparing.
Sources: POSIX.1-2017 "pax Interchange Format"; GNU tar manual, "Storing Sparse Files", "PAX Format, Version 1.0".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

BLOCK = 512
END = bytes(2 * BLOCK)
EXTENDED = b"x"
REGULAR = b"0"
SPARSE = "GNUSparseFile.0/"  # what a reader without the sparse format would unpack it to
LIMIT = 8**11  # bytes that the octal field holds; what is longer has its size in a record

_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")
_MODE, _NOBODY, _NEVER = b"0000644\0", b"0000000\0", b"00000000000\0"


def header(name: str, size: int, kind: bytes = REGULAR) -> bytes:
    """One block. A ``size`` past LIMIT is written as zero: the record before the header has it."""
    length = b"%011o\0" % (size if size < LIMIT else 0)
    fields = [name.encode(), _MODE, _NOBODY, _NOBODY, length, _NEVER, b" " * 8, kind]
    fields += [b"", b"ustar\0", b"00", b"", b"", _NOBODY, _NOBODY, b""]
    total = sum(_FIELDS.pack(*fields))
    fields[6] = b"%06o\0 " % total
    return _FIELDS.pack(*fields)


def name_and_size(block: bytes, kind: bytes = REGULAR) -> tuple[str, int]:
    """Of a header of that kind that we wrote. ValueError: it is another's."""
    fields = _FIELDS.unpack(block)
    name, size = fields[0].rstrip(b"\0").decode("ascii"), int(fields[4].rstrip(b"\0"), 8)
    if block != header(name, size, kind):
        raise ValueError("a header is not as we write it")
    return name, size


def sparse_member(name: str, size: int, stored: int) -> bytes:
    """The headers of a file of ``size`` bytes of which ``stored``, its map included, are kept."""
    told = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name, "GNU.sparse.realsize": str(size)}
    if stored >= LIMIT:
        told["size"] = str(stored)
    said = records(told)
    return header(f"PaxHeaders/{name}", len(said), EXTENDED) + padded(said) + header(SPARSE + name, stored)


def records(told: Mapping[str, str]) -> bytes:
    """``<length> <key>=<value>\\n`` each, where the length counts itself."""
    return b"".join(_record(f" {key}={value}\n".encode()) for key, value in told.items())


def _record(rest: bytes) -> bytes:
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def parsed(said: bytes) -> dict[str, str]:
    """The records back. ValueError: they are not such."""
    told: dict[str, str] = {}
    while said:
        length = int(said[: said.index(b" ")])
        key, _, value = said[said.index(b" ") + 1 : length - 1].decode("ascii").partition("=")
        told[key], said = value, said[length:] if length > 0 else b""
    return told


def sparse_map(runs: Sequence[tuple[int, int]], size: int) -> bytes:
    """Where the data lies: (offset, length) each, in decimal lines; a hole at the end is an empty run."""
    runs = runs if runs and sum(runs[-1]) == size else [*runs, (size, 0)]
    lines = [len(runs), *(number for run in runs for number in run)]
    return padded(b"".join(b"%d\n" % line for line in lines))


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)
