"""Images on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints
from typing_extensions import TypedDict

from api.documented import example, shown
from api.pagination import Meta
from api.schemas.fields import Labels, ProtectionWire, Text, Wire
from api.schemas.money import DeprecationWire
from api.schemas.times import timestamp, timestamp_or_none
from infra.db.images import Architecture, CatalogueImage, ImageStatus, ImageType


class UpdateImage(Wire, json_schema_extra=example(description="before the upgrade", labels={"env": "prod"})):
    """What is not sent stays; labels replace the whole map. ``type``: a backup becomes a snapshot."""

    description: Annotated[Text, StringConstraints(max_length=255)] | None = None
    type: Literal["snapshot"] | None = None
    labels: Labels | None = None


class CreatedFromWire(TypedDict):
    """The server that it was made of, which may be gone."""

    id: int
    name: str


@shown(
    id=1,
    type="system",
    status="available",
    name="debian",
    description="Debian 12",
    image_size=None,
    disk_size=2,
    created="2026-01-30T23:50:00+00:00",
    created_from=None,
    bound_to=None,
    os_flavor="debian",
    os_version="12",
    rapid_deploy=True,
    protection={"delete": False},
    deprecated=None,
    deprecation=None,
    deleted=None,
    labels={},
    architecture="x86",
)
class ImageWire(TypedDict):
    """``name`` is null for snapshots and backups. Sizes in GB: ``image_size`` in the store, null for system images;
    ``disk_size`` the least that a server's disk must have. ``bound_to``: the server that a backup is of."""

    id: int
    type: ImageType
    status: ImageStatus
    name: str | None
    description: str
    image_size: float | None
    disk_size: float
    created: str
    created_from: CreatedFromWire | None
    bound_to: int | None
    os_flavor: str
    os_version: str | None
    rapid_deploy: bool
    protection: ProtectionWire
    deprecated: str | None
    deprecation: DeprecationWire | None
    deleted: str | None
    labels: dict[str, str]
    architecture: Architecture


class ImageAnswer(TypedDict):
    image: ImageWire


class ImagesAnswer(TypedDict):
    images: list[ImageWire]
    meta: Meta


def image_wire(image: CatalogueImage) -> ImageWire:
    return {
        "id": image.id,
        "type": image.type,
        "status": image.status,
        "name": image.name,
        "description": image.description,
        "image_size": image.size_gb,
        "disk_size": image.disk_gib,
        "created": timestamp(image.created),
        "created_from": _created_from(image),
        "bound_to": image.bound_to,
        "os_flavor": image.os_flavor,
        "os_version": image.os_version,
        "rapid_deploy": image.rapid_deploy,
        "protection": {"delete": image.protected},
        "deprecated": timestamp_or_none(image.deprecated),
        "deprecation": _deprecation(image),
        "deleted": timestamp_or_none(image.deleted),
        "labels": image.labels,
        "architecture": image.architecture,
    }


def _created_from(image: CatalogueImage) -> CreatedFromWire | None:
    if image.created_from_id is None:
        return None
    return {"id": image.created_from_id, "name": image.created_from_name or ""}


def _deprecation(image: CatalogueImage) -> DeprecationWire | None:
    if image.deprecated is None or image.unavailable_after is None:
        return None
    return {"announced": timestamp(image.deprecated), "unavailable_after": timestamp(image.unavailable_after)}
