"""ISO images on the wire."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from api.documented import shown
from api.pagination import Meta
from api.schemas.money import DeprecationWire, deprecation_wire
from infra.db.isos import Iso


@shown(
    id=26,
    name="rescue.iso",
    description="Rescue system",
    type="public",
    architecture="x86",
    deprecated=None,
    deprecation=None,
)
class IsoWire(TypedDict):
    """``architecture`` null: not known, so it may fit any. ``deprecated``: when it can no longer be attached."""

    id: int
    name: str
    description: str
    type: Literal["public", "private"]
    architecture: Literal["x86", "arm"] | None
    deprecated: str | None
    deprecation: DeprecationWire | None


class IsoAnswer(TypedDict):
    iso: IsoWire


class IsosAnswer(TypedDict):
    isos: list[IsoWire]
    meta: Meta


def iso_wire(iso: Iso) -> IsoWire:
    deprecation = deprecation_wire(iso.deprecation)
    return {
        "id": iso.id,
        "name": iso.name,
        "description": iso.description,
        "type": iso.type,
        "architecture": iso.architecture,
        "deprecated": deprecation["unavailable_after"] if deprecation else None,
        "deprecation": deprecation,
    }
