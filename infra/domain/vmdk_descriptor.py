"""The text in a VMDK that says of which parts the disk consists: one part, this file itself, or a refusal.

Every line has to be understood. What names a file, a device or a parent is refused wherever it stands, comments too:
QEMU looks for some of these words in the text as a whole.
"""

from __future__ import annotations

import re

from infra.domain.errors import ImageRefused

SPARSE, STREAM = "monolithicSparse", "streamOptimized"
NO_PARENT = "ffffffff"
FIELD = re.compile(r'([a-z]+) *= *(?:"([^"]*)"|([^" ][^"]*)?)', re.I)  # nothing here can match in two ways
DATABASE = re.compile(r'ddb\.[a-z0-9_.]+ *= *"[^"]*"', re.I)
EXTENT = re.compile(r'(RW|RDONLY|NOACCESS) +([0-9]{1,20}) +([A-Z0-9]+)(?: +"([^"]*)")?(.*)', re.I)
FIELDS = {"version", "encoding", "cid", "parentcid", "isnativesnapshot", "createtype"}
NAMING = {
    "parentfilenamehint": "is only the difference to another image",
    "changetrackpath": "names another file",
    "keysafe": "is encrypted",
}
ELSEWHERE = "keeps its data in other files or on a device; convert it to a streamOptimized VMDK or to qcow2"


def check_descriptor(content: bytes, capacity: int) -> str:
    """The kind of the VMDK, of ``capacity`` sectors by its header. ImageRefused: it is more than this one file."""
    fields, extents = _parse(_text(content))
    kind = fields.get("createtype", "")
    known = {SPARSE.lower(): SPARSE, STREAM.lower(): STREAM}.get(kind.lower())
    if known is None:
        raise ImageRefused(f"the VMDK is of the kind {kind[:40]!r}, which {ELSEWHERE}")
    if fields.get("parentcid", NO_PARENT).lower() != NO_PARENT or fields.get("isnativesnapshot", "no").lower() != "no":
        raise ImageRefused("the VMDK is only the difference to another image; merge the two and bring the result")
    if len(extents) != 1:
        raise ImageRefused(f"the VMDK consists of {len(extents)} parts; convert it to one file")
    _check_extent(*extents[0], capacity)
    return known


def _text(content: bytes) -> str:
    """The text up to the first zero, after which nothing may stand: no reader shall see more than was looked at."""
    text, zero, rest = content.partition(b"\0")
    if not zero or any(rest):
        raise ImageRefused("the VMDK is damaged: its descriptor does not end where it should")
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        raise ImageRefused("the VMDK is damaged: its descriptor is not text") from None
    lowered = decoded.lower()
    for word, what in NAMING.items():
        if word in lowered:
            raise ImageRefused(f"the VMDK {what}; bring one that holds its data itself")
    return decoded


def _parse(text: str) -> tuple[dict[str, str], list[tuple[str, int, str, str]]]:
    fields: dict[str, str] = {}
    extents: list[tuple[str, int, str, str]] = []
    for line in (line.replace("\t", " ").strip(" \r") for line in text.split("\n")):
        if not line or DATABASE.fullmatch(line):
            continue
        if not line.isprintable():
            raise ImageRefused("the VMDK is damaged: its descriptor is not text")
        if line.startswith("#"):
            continue
        if extent := EXTENT.fullmatch(line):
            extents.append((extent[1].upper(), int(extent[2]), extent[3].upper(), f"{extent[4] or ''}{extent[5]}"))
        elif (field := FIELD.fullmatch(line)) and field[1].lower() in FIELDS - fields.keys():
            fields[field[1].lower()] = field[2] or field[3] or ""
        else:
            raise ImageRefused(f"the descriptor of the VMDK holds a line that is not accepted: {line[:80]!r}")
    return fields, extents


def _check_extent(access: str, sectors: int, kind: str, name: str, capacity: int) -> None:
    if kind != "SPARSE":
        raise ImageRefused(f"the VMDK has a part of the kind {kind[:20]}: it {ELSEWHERE}")
    if access == "NOACCESS" or not name or any(sign in name for sign in '/\\:"'):
        raise ImageRefused("the VMDK names a file as its part that is not this one")
    if sectors != capacity:
        raise ImageRefused("the VMDK is damaged: its descriptor and its header tell different sizes")
