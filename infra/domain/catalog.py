"""The catalog as values: what a file asks for, what the books have, and the plan that leads from one to the other.

What a file does not mention stays as it is: a field that it leaves out, and an entry that it leaves out. An entry is
known by its section and its key; its id is given when it is made, and never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

Key = tuple[str, str]
"""(section, name): ("server_types", "px1"). An image's name says its architecture: "tiny (x86)"."""
Place = tuple[str | int, ...]
"""Where in a file: ("server_types", 0, "cores")."""
Fields = Mapping[str, Any]

NOUNS = {
    "network_zones": "network zone",
    "locations": "location",
    "datacenters": "datacenter",
    "server_types": "server type",
    "load_balancer_types": "load balancer type",
    "images": "image",
    "isos": "ISO",
    "address_pools": "address pool",
    "dns": "DNS",
    "pricing": "pricing",
    "default_location": "default location",
}
"""By section, in the order in which they are written: what is referred to comes first."""

REQUIRED = {
    "locations": ("network_zone",),
    "datacenters": ("location",),
    "server_types": ("cores", "memory", "disk"),
    "load_balancer_types": ("max_connections", "max_services", "max_targets"),
}
"""What a new entry must say; the rest has defaults."""

REFERENCES = {"network_zone": "network_zones", "location": "locations", "default_location": "locations"}
SIZES = ("cores", "memory", "disk", "architecture")
"""Of a server type: fixed while there are servers of it, whose owners count on them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One entry of a file: only the fields that it says."""

    section: str
    name: str
    place: Place
    fields: Fields
    id: int | None = None

    @property
    def key(self) -> Key:
        return self.section, self.name


@dataclass(frozen=True, slots=True)
class Known:
    """One entry of the books: all its fields. ``once``: what a file may say of a new entry only.

    ``former_ids``: of an image, those of its older builds.
    """

    fields: Fields
    id: int | None = None
    once: Fields = field(default_factory=dict)
    used_by: int = 0
    former_ids: tuple[int, ...] = ()


Books = Mapping[Key, Known]


@dataclass(frozen=True, slots=True)
class Difference:
    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """``id`` None: a new entry, which takes ``new_id`` when the file gives one."""

    section: str
    name: str
    differences: tuple[Difference, ...]
    id: int | None = None
    new: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        return {one.field: one.after for one in self.differences}


@dataclass(frozen=True, slots=True)
class Plan:
    """``alike``: entries that are as the file says. ``left_alone``: of its sections, but not in the file."""

    changes: tuple[Change, ...] = ()
    alike: int = 0
    left_alone: tuple[Key, ...] = ()


@dataclass
class Unfit(Exception):
    """What keeps a catalog from being applied, each with its place in the file."""

    problems: list[tuple[Place, str]] = field(default_factory=list)


def plan(books: Books, asked: Sequence[Asked]) -> Plan:
    """What has to be written, in the order in which it may be. Unfit names everything that is wrong at once."""
    problems = [*_twice(asked), *_dangling(books, asked), *_id_problems(books, asked), *_overlaps(books, asked)]
    asked, changes = [*asked, *_datacenters(books, asked)], []
    for one in sorted(asked, key=_turn):
        known = books.get(one.key)
        problems += _missing(one) if known is None else _fixed(one, known)
        if (change := _change(one, known)) is not None:
            changes.append(change)
    if problems:
        raise Unfit(problems)
    mentioned, sections = {one.key for one in asked}, {one.section for one in asked}
    left = tuple(key for key in books if key[0] in sections and key not in mentioned)
    return Plan(tuple(changes), len(asked) - len(changes), left)


def _turn(one: Asked) -> tuple[int, bool]:
    """What is referred to comes first; an id that is asked for comes before ids that are counted."""
    return list(NOUNS).index(one.section), one.id is None


def _change(one: Asked, known: Known | None) -> Change | None:
    if known is None:
        fields = {**_defaults(one), **one.fields}
        differences = tuple(Difference(name, None, value) for name, value in fields.items())
        return Change(one.section, one.name, differences, one.id, new=True)
    differing = tuple(
        Difference(name, known.fields[name], value)
        for name, value in one.fields.items()
        if name in known.fields and known.fields[name] != value
    )
    return Change(one.section, one.name, differing, known.id) if differing else None


def _defaults(one: Asked) -> Fields:
    """Descriptions, where the file has none; every other default is the books'."""
    if one.section == "server_types":
        cores, memory, disk = (one.fields.get(name) for name in ("cores", "memory", "disk"))
        return {"description": f"{cores} vCPU, {memory} memory, {disk} disk"}
    described = ("locations", "datacenters", "load_balancer_types", "images", "isos")
    return {"description": one.fields.get("name", one.name)} if one.section in described else {}


def _datacenters(books: Books, asked: Sequence[Asked]) -> Iterable[Asked]:
    """One for each new location of which the file names none: older clients count on it."""
    with_one = {one.fields.get("location") for one in asked if one.section == "datacenters"}
    for one in asked:
        key = ("datacenters", f"{one.name}-dc1")
        if one.section == "locations" and one.key not in books and one.name not in with_one and key not in books:
            description = f"{one.fields.get('description', one.name)} DC 1"
            yield Asked(*key, one.place, {"location": one.name, "description": description})


def _missing(one: Asked) -> Iterable[tuple[Place, str]]:
    if absent := [name for name in REQUIRED.get(one.section, ()) if name not in one.fields]:
        yield one.place, f"there is no {NOUNS[one.section]} {one.name!r} yet: a new one needs {', '.join(absent)}"


def _fixed(one: Asked, known: Known) -> Iterable[tuple[Place, str]]:
    if one.section != "server_types" or not known.used_by:
        return
    for name in SIZES:
        if name in one.fields and one.fields[name] != known.fields[name]:
            servers = f"{known.used_by} server{'s are' if known.used_by > 1 else ' is'} of this type"
            yield (*one.place, name), f"cannot change: {servers}; make a new type and deprecate this one"


def _twice(asked: Sequence[Asked]) -> Iterable[tuple[Place, str]]:
    names: dict[Key, Place] = {}
    ids: dict[tuple[str, int], Place] = {}
    for one in asked:
        if names.setdefault(one.key, one.place) != one.place:
            yield one.place, f"{NOUNS[one.section]} {one.name!r} is in the file twice"
        elif one.id is not None and ids.setdefault((one.section, one.id), one.place) != one.place:
            yield (*one.place, "id"), f"id {one.id} is in this section twice"


def _id_problems(books: Books, asked: Sequence[Asked]) -> Iterable[tuple[Place, str]]:
    taken = {(key[0], id): key[1] for key, known in books.items() for id in (known.id, *known.former_ids)}
    for one in asked:
        if one.id is None:
            continue
        known = books.get(one.key)
        if known and one.id not in (known.id, *known.former_ids):
            yield (*one.place, "id"), f"{NOUNS[one.section]} {one.name!r} has id {known.id}, and an id cannot change"
        elif not known and (holder := taken.get((one.section, one.id))):
            yield (*one.place, "id"), f"id {one.id} is that of {NOUNS[one.section]} {holder!r}"


def _dangling(books: Books, asked: Sequence[Asked]) -> Iterable[tuple[Place, str]]:
    """Names of what is neither in the books nor in the file."""
    there = {*books, *(one.key for one in asked)}
    for one in asked:
        for name, section in REFERENCES.items():
            target = one.fields.get(name)
            if target is not None and (section, target) not in there:
                place = one.place if name == one.section else (*one.place, name)
                yield place, f"there is no {NOUNS[section]} {target!r}"
        for target in one.fields.get("locations") or ():
            if ("locations", target) not in there:
                yield (*one.place, "locations"), f"there is no location {target!r}"
        if (source := one.fields.get("source")) and one.key not in books:
            built = books.get(("images", f"{source} ({one.fields['architecture']})"))
            if built is None or built.once.get("digest") is None:
                yield (*one.place, "source"), f"there is no built image {source!r} for {one.fields['architecture']}"


def _overlaps(books: Books, asked: Sequence[Asked]) -> Iterable[tuple[Place, str]]:
    """An address is handed out by one pool, of one location."""
    there = {key: known.fields["cidr"] for key, known in books.items() if key[0] == "address_pools"}
    for one in asked:
        if one.section != "address_pools" or one.key in there:
            continue
        mine = ip_network(one.fields["cidr"])
        for (_, name), cidr in there.items():
            other = ip_network(cidr)
            if mine.version == other.version and mine.overlaps(other):
                yield one.place, f"overlaps address pool {name}"
        there[one.key] = one.fields["cidr"]
