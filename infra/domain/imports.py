"""Imports: what is told of an image on its way in, how far it is, and how large it may be. Sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from infra.domain.changes import Change
from infra.domain.models import Failure

CREATE_IMAGE = "create_image"
"""The command of the action, and of the change, that brings an image in."""

GIB = 2**30
OVERHEAD = 64
"""A format's own tables take less than a 64th of the disk that is in it, however full that is."""
SLACK = 16 * 2**20
"""And of a small disk no more than this."""

Phase = Literal["receive", "gather", "convert", "publish"]
PHASES: dict[Phase, tuple[int, int]] = {
    "receive": (0, 50),
    "gather": (50, 65),
    "convert": (65, 80),
    "publish": (80, 99),
}
"""From where to where, in percent of the whole, each phase takes an import: shares of the time it takes as a rule."""

IMAGE_DELETED = Failure("image_deleted", "the image was deleted before it was ready", 409)
"""How an import ends whose image is deleted meanwhile."""
NOTHING_CAME = Failure("upload_abandoned", "nothing was uploaded for a long time, so the image was given up", 408)


@dataclass(frozen=True, slots=True)
class ImportState:
    """``receiving``: by an upload, ``fetching``: from its source; ``given_up``: by whoever was to upload it.

    ``look_again``: seconds until it may be given up, or is worth another look.
    """

    stage: Literal["receiving", "fetching", "received", "given_up", "gone"]
    look_again: float = 60


@dataclass(frozen=True, slots=True)
class StoredImage:
    """What came of it. ``size``: of the stored file. ``virtual_size``: of the disk in it."""

    digest: str
    size: int
    virtual_size: int


@dataclass(frozen=True, slots=True)
class FinishedImport:
    change: Change
    stored: StoredImage


@dataclass(frozen=True, slots=True)
class FailedImport:
    change: Change
    failure: Failure


def percent(phase: Phase, done: int, total: int | None) -> int:
    """How far an import is, of a hundred. ``total`` None: nobody knows, so the phase counts as just begun."""
    begin, end = PHASES[phase]
    share = min(done / total, 1.0) if total else 0.0
    return begin + int((end - begin) * share)


def largest_upload(disk_gib: int) -> int:
    """Bytes that a file may have whose disk fits the largest plan, which has ``disk_gib``."""
    disk = disk_gib * GIB
    return disk + max(disk // OVERHEAD, SLACK)


def in_gib(size: int) -> int:
    """The least whole number of GiB that holds so many bytes."""
    return -(-size // GIB)
