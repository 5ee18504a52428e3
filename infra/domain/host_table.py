"""The hosts of one location as placement sees them: a column a property, so that ten thousand are judged at once.

A table is a value. Its hosts stand in the order of their ids, whatever order they came in, and each change makes a new
table, which shares with the old one what did not change.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

UNKNOWN = -1
"""What is really free of a host that has not said so."""


@dataclass(frozen=True, slots=True)
class HostView:
    """One host. Memory in MiB, disk in GiB; ``used``: promised to servers; ``free``: really, UNKNOWN where not said.

    ``cores``: what placement may hand out, so with the host's overcommit. Loads in [0, 1], over the time before the
    report: processors busy, processors waiting for disks, the busiest uplink. ``reported``: when, in seconds of the
    books' clock since 1970; 0: never, or a create waited for it in vain since.
    """

    id: int
    state: str
    architecture: str
    availability_zone: str
    rack: str
    switch: str
    cores: int
    memory_mib: int
    disk_gib: int
    used_cores: int = 0
    used_memory_mib: int = 0
    used_disk_gib: int = 0
    free_memory_mib: int = UNKNOWN
    free_disk_gib: int = UNKNOWN
    cpu_busy: float = 0.0
    io_wait: float = 0.0
    net_saturation: float = 0.0
    reported: float = 0.0


WORDS = tuple(field.name for field in fields(HostView) if field.type == "str")
NUMBERS = tuple(field.name for field in fields(HostView) if field.type != "str" and field.name != "id")
WHOLE = frozenset(field.name for field in fields(HostView) if field.type == "int")


@dataclass(frozen=True, slots=True)
class Words:
    """One word a host, as a number into ``known``, which is sorted."""

    codes: Codes
    known: tuple[str, ...]

    @classmethod
    def of(cls, words: Sequence[str]) -> Words:
        known = tuple(sorted(set(words)))
        number = {word: code for code, word in enumerate(known)}
        return cls(np.array([number[word] for word in words], dtype=np.int64), known)

    def are(self, word: str) -> Flags:
        are: Flags = self.codes == (self.known.index(word) if word in self.known else UNKNOWN)
        return are

    def at(self, row: int) -> str:
        return self.known[int(self.codes[row])]


@dataclass(frozen=True, eq=False)
class HostTable:
    """``numbers``: a row a property, as NUMBERS names them, and a column a host. Whole numbers are exact up to 2^53."""

    ids: Codes
    words: Mapping[str, Words]
    numbers: Numbers

    @classmethod
    def of(cls, hosts: Iterable[HostView]) -> HostTable:
        """ValueError: an id is there twice."""
        ordered = sorted(hosts, key=lambda host: host.id)
        ids = np.array([host.id for host in ordered], dtype=np.int64)
        if len(np.unique(ids)) < len(ids):
            raise ValueError("a host is there twice")
        numbers = np.array([_numbers(host) for host in ordered], dtype=np.float64).reshape(len(ordered), len(NUMBERS))
        words = {name: Words.of([getattr(host, name) for host in ordered]) for name in WORDS}
        return cls(ids, words, np.ascontiguousarray(numbers.T))

    def with_hosts(self, hosts: Sequence[HostView]) -> HostTable:
        """The table with these hosts as they are now; those that it did not have come in."""
        if not hosts:
            return self
        rows = self.rows([host.id for host in hosts])
        known = all(
            row >= 0 and all(self.words[name].at(row) == getattr(host, name) for name in WORDS)
            for row, host in zip(rows, hosts, strict=True)
        )
        if not known:  # a host is new, or stands elsewhere, or changed its state: that is rare
            return HostTable.of(({view.id: view for view in self} | {host.id: host for host in hosts}).values())
        numbers = self.numbers.copy()
        numbers[:, rows] = np.array([_numbers(host) for host in hosts]).T
        changed = HostTable(self.ids, self.words, numbers)
        changed.__dict__["_places"] = self._places
        return changed

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[HostView]:
        return (self.at(row) for row in range(len(self)))

    def column(self, name: str) -> Numbers:
        column: Numbers = self.numbers[NUMBERS.index(name)]
        return column

    def rows(self, ids: Iterable[int]) -> Codes:
        """Where the hosts stand; UNKNOWN for one that is not here."""
        wanted = np.fromiter(ids, dtype=np.int64)
        if not len(self):
            return np.full(len(wanted), UNKNOWN)
        rows = np.minimum(np.searchsorted(self.ids, wanted), len(self) - 1)
        return np.where(self.ids[rows] == wanted, rows, UNKNOWN)

    def at(self, row: int) -> HostView:
        numbers = zip(NUMBERS, self.numbers[:, row].tolist(), strict=True)
        told: dict[str, Any] = {name: int(value) if name in WHOLE else value for name, value in numbers}
        told |= {name: self.words[name].at(row) for name in WORDS}
        return HostView(id=int(self.ids[row]), **told)

    @cached_property
    def _places(self) -> bytes:
        """Ids and words, hashed; they seldom change, so this is done once for many tables."""
        told = hashlib.sha256(self.ids.tobytes())
        for name in WORDS:
            words = self.words[name]
            told.update("\0".join([words.known[code] for code in words.codes.tolist()]).encode() + b"\1")
        return told.digest()

    def digest(self) -> bytes:
        """SHA-256 over all that is here: the same for the same hosts, in whichever order they came."""
        told = hashlib.sha256(self._places)
        told.update(self.numbers.tobytes())
        return told.digest()

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(view) for view in self]

    @classmethod
    def from_json(cls, told: Iterable[Mapping[str, Any]]) -> HostTable:
        """TypeError: not a host as ``as_json`` tells it. ValueError: an id is there twice."""
        return cls.of(_checked(host) for host in told)


def _checked(told: Mapping[str, Any]) -> HostView:
    host = HostView(**told)
    for field in fields(HostView):
        value: Any = getattr(host, field.name)
        kinds = {"str": (str,), "int": (int,), "float": (float, int)}[str(field.type)]
        if type(value) not in kinds or (kinds != (str,) and not math.isfinite(value)):
            raise TypeError(f"{field.name} of a host is {value!r}")
    return host


def _numbers(host: HostView) -> list[float]:
    return [getattr(host, name) for name in NUMBERS]
