"""Images on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints
from typing_extensions import TypedDict

from api.documented import example, shown
from api.pagination import Meta
from api.schemas.actions import ActionWire
from api.schemas.fields import Labels, Name, ProtectionWire, Text, Wire
from api.schemas.money import DeprecationWire
from api.schemas.times import timestamp, timestamp_or_none
from infra.db.image_imports import Import
from infra.db.images import Architecture, CatalogueImage, ImageStatus, ImageType
from infra.domain.image_header import Format
from infra.domain.web_addresses import url_problem


def _no_id(value: str) -> str:
    if value.isdecimal():
        raise ValueError("must not be a number: clients would take it for an id")
    return value


def _hex(value: str) -> str:
    if not value.isascii() or len(value) != 64 or set(value.lower()) - set("0123456789abcdef"):
        raise ValueError("must be 64 hexadecimal digits")
    return value.lower()


def _source(value: str) -> str:
    if problem := url_problem(value):
        raise ValueError(problem)
    return value


ImageName = Annotated[Name, AfterValidator(_no_id)]
Sha256 = Annotated[str, AfterValidator(_hex)]
Source = Annotated[Text, AfterValidator(_source)]


class CreateImage(
    Wire, json_schema_extra=example(name="golden", format="qcow2", size=734003200, sha256="0123456789abcdef" * 4)
):
    """``sha256``, ``size`` (bytes) and ``format``: of the file that is uploaded or fetched; where they are given, any
    other file is refused. ``source_url``: an https address on the public web to fetch it from, instead of an upload."""

    name: ImageName | None = None
    description: Annotated[Text, StringConstraints(max_length=255)] = ""
    labels: Labels = Field(default_factory=dict)
    architecture: Architecture = "x86"
    sha256: Sha256 | None = None
    size: Annotated[int, Field(ge=1, lt=2**53)] | None = None
    format: Format | None = None
    source_url: Source | None = None


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
    name="debian-12",
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
    """``name`` is null for backups, and for snapshots that were given none. Sizes in GB: ``image_size`` in the store,
    null for system images; ``disk_size`` the least that a server's disk must have, 0 while the image is ``creating``.
    ``bound_to``: the server that a backup is of."""

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


@shown(url="/api/v1/images/7/upload", offset=33554432, size=734003200, limit=10737418240, complete=False)
class UploadWire(TypedDict):
    """``url``: where to PUT the bytes, on the same host; null when they are fetched. ``offset``: how many are there for
    good, so that of the next one. ``size``: of all, null if nobody said it. ``limit``: how many it may be at most."""

    url: str | None
    offset: int
    size: int | None
    limit: int
    complete: bool


class UploadAnswer(TypedDict):
    upload: UploadWire


class CreatedImage(TypedDict):
    """``upload`` is null when the image is fetched from its ``source_url``."""

    image: ImageWire
    action: ActionWire
    upload: UploadWire | None


def upload_wire(found: Import, limit: int) -> UploadWire:
    return {
        "url": None if found.source_url else f"/api/v1/images/{found.image_id}/upload",
        "offset": found.received,
        "size": found.size,
        "limit": limit,
        "complete": found.uploaded is not None,
    }


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
