"""What a file that somebody brought is: a qcow2, a VMDK or a raw disk, seen by our own eyes, or why it is refused.

No tool is asked to guess: a tool's guess follows what the bytes name, and they may name files of the machine it runs on
(CVE-2022-47951, CVE-2024-32498, CVE-2024-40767, CVE-2024-4467). The one format found here is the one that the tool is
told. Accepted is what is plainly one format, whole, and in need of no other file; memory and time are bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from infra.domain.errors import ImageRefused
from infra.domain.image_signatures import refuse_foreign, refuse_second_format
from infra.domain.image_source import Source, checked_size
from infra.domain.partition_table import partition_table
from infra.domain.qcow2_header import MAGIC as QCOW2
from infra.domain.qcow2_header import inspect_qcow2
from infra.domain.vmdk_header import MAGIC as VMDK
from infra.domain.vmdk_header import inspect_vmdk

Format = Literal["qcow2", "raw", "vmdk"]

__all__ = ["Format", "Identified", "Source", "identify"]


@dataclass(frozen=True, slots=True)
class Identified:
    """``variant``: qcow2 "v2" or "v3", vmdk "monolithicSparse" or "streamOptimized", raw "gpt" or "mbr".
    ``virtual_size``: bytes of the disk inside."""

    format: Format
    variant: str
    virtual_size: int


def identify(source: Source, limit: int, claimed: Format | None = None) -> Identified:
    """What ``source`` is; ``limit``: the largest disk, in bytes. ImageRefused: nothing that is accepted, or not what
    was ``claimed``. Errors of the source's own pass through."""
    found = _identify(source, limit, claimed)
    if claimed not in (None, found.format):
        raise ImageRefused(f"the image is a {found.format} image, not {claimed} as was said")
    return found


def _identify(source: Source, limit: int, claimed: Format | None) -> Identified:
    start = source.read(0, len(QCOW2))
    if start == QCOW2:
        _refuse_claim("qcow2", claimed)
        refuse_second_format(source, "qcow2")
        return Identified("qcow2", *inspect_qcow2(source, limit))
    if start == VMDK:
        _refuse_claim("vmdk", claimed)
        refuse_second_format(source, "VMDK")
        return Identified("vmdk", *inspect_vmdk(source, limit))
    if source.size == 0:
        raise ImageRefused("the file is empty")
    refuse_foreign(source)
    return Identified("raw", partition_table(source), checked_size(source.size, limit))


def _refuse_claim(found: Format, claimed: Format | None) -> None:
    """Before its inside is looked at: a wrong claim is what the user can mend first."""
    if claimed not in (None, found):
        raise ImageRefused(f"the file begins like a {found} image; it was said to be {claimed}")
