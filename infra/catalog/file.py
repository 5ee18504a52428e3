"""The shape of a catalog file: every key that it may have.

What a file leaves out stays as it is, so that an entry holds what was said and nothing else; null takes it back where
there may be none. Every new entry has a default for what it is not told, but for what infra.domain.catalog requires.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, Required

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from infra.catalog.scalars import (
    Amount,
    Architecture,
    Bytes,
    Cidr,
    Count,
    Country,
    Currency,
    Digest,
    Disk,
    Host,
    Id,
    Line,
    Memory,
    Moment,
    Name,
    Percent,
    Template,
)
from infra.catalog.source import Source
from infra.domain.catalog import Asked, Place
from infra.domain.terms import Deprecation, LocalTerms, Price

exact = with_config(ConfigDict(strict=True, extra="forbid"))


@exact
class PricePart(TypedDict):
    """Net. ``per_tb_traffic``: of what goes beyond ``included_traffic`` a month."""

    hourly: Amount
    monthly: Amount
    included_traffic: NotRequired[Bytes]
    per_tb_traffic: NotRequired[Amount]


@exact
class DeprecationPart(TypedDict):
    announced: Moment
    unavailable_after: Moment


def _price(said: Any) -> Any:
    traffic = said.pop("included_traffic", None)
    return Price(**said, included_traffic=traffic.bytes if traffic else 0)


def _deprecation(said: Any) -> Any:
    found = Deprecation(**said)
    if found.unavailable_after < found.announced:
        raise ValueError("unavailable_after must not be before announced")
    return found


PriceField = Annotated[PricePart, AfterValidator(_price)]
DeprecationField = Annotated[DeprecationPart, AfterValidator(_deprecation)]


@exact
class LocalPart(TypedDict, total=False):
    """Terms at one location. A price or deprecation that is left out is that of all locations."""

    name: Required[Name]
    price: PriceField | None
    deprecation: DeprecationField | None
    recommended: bool


def _local(said: Any) -> Any:
    """By location, as it is compared."""
    if said is None:
        return None
    found = {one["name"]: LocalTerms(**{key: value for key, value in one.items() if key != "name"}) for one in said}
    if len(found) < len(said):
        raise ValueError("names a location twice")
    return found


LocationsField = Annotated[list[LocalPart] | None, AfterValidator(_local)]
"""Where it is offered; null for everywhere."""


@exact
class LocationEntry(TypedDict, total=False):
    name: Required[Name]
    id: Id
    description: Line
    country: Country
    city: Line
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    network_zone: Name
    density_target: Annotated[float, Field(gt=0, le=1)]


@exact
class DatacenterEntry(TypedDict, total=False):
    name: Required[Name]
    id: Id
    description: Line
    location: Name


@exact
class ServerTypeEntry(TypedDict, total=False):
    name: Required[Name]
    id: Id
    description: Line
    cores: Count
    memory: Memory
    disk: Disk
    cpu_type: Literal["shared", "dedicated"]
    storage_type: Literal["local", "network"]
    category: Line
    architecture: Architecture
    price: PriceField
    deprecation: DeprecationField | None
    locations: LocationsField


@exact
class LoadBalancerTypeEntry(TypedDict, total=False):
    name: Required[Name]
    id: Id
    description: Line
    max_connections: Count
    max_services: Count
    max_targets: Count
    max_assigned_certificates: Annotated[int, Field(ge=0, le=2**31 - 1)]
    price: PriceField
    deprecation: DeprecationField | None
    locations: LocationsField


@exact
class ImageEntry(TypedDict, total=False):
    """``source`` (another image), or ``digest``, ``disk`` and ``agent``: of what a new one is made, if it is built."""

    name: Required[Name]
    architecture: Architecture
    id: Id
    description: Line
    os_flavor: Line
    os_version: Line | None
    rapid_deploy: bool
    deprecation: DeprecationField | None
    source: Name
    digest: Digest
    disk: Disk
    agent: bool


@exact
class IsoEntry(TypedDict, total=False):
    """``architecture`` null: not known."""

    name: Required[Annotated[Line, StringConstraints(min_length=1)]]
    id: Id
    description: Line
    type: Literal["public", "private"]
    architecture: Architecture | None
    deprecation: DeprecationField | None


@exact
class PoolEntry(TypedDict):
    location: Name
    cidr: Cidr


@exact
class DnsPart(TypedDict, total=False):
    """``ptr_template``: what an address is called until its owner says otherwise."""

    name_servers: Annotated[list[Host], Field(min_length=1, max_length=13), AfterValidator(tuple)]
    ptr_template: Template


@exact
class PricingPart(TypedDict, total=False):
    """Net, in ``currency``. ``vat_rate`` and ``server_backup_percentage`` in percent."""

    currency: Currency
    vat_rate: Percent
    primary_ipv4_hourly: Amount
    primary_ipv4_monthly: Amount
    primary_ipv6_hourly: Amount
    primary_ipv6_monthly: Amount
    floating_ipv4_monthly: Amount
    floating_ipv6_monthly: Amount
    image_per_gb_month: Amount
    volume_per_gb_month: Amount
    server_backup_percentage: Percent
    traffic_per_tb: Amount


@exact
class CatalogFile(TypedDict, total=False):
    network_zones: list[Name]
    locations: list[LocationEntry]
    datacenters: list[DatacenterEntry]
    server_types: list[ServerTypeEntry]
    load_balancer_types: list[LoadBalancerTypeEntry]
    images: list[ImageEntry]
    isos: list[IsoEntry]
    address_pools: list[PoolEntry]
    dns: DnsPart
    pricing: PricingPart
    default_location: Name | None


FILE: TypeAdapter[Any] = TypeAdapter(CatalogFile)


def read(source: Source) -> list[Asked]:
    """What the file asks for. BadCatalog names every place that is wrong."""
    try:
        said = FILE.validate_python({} if source.data is None else source.data)
    except ValidationError as cause:
        raise source.refuse([(_place(one), _reason(one)) for one in cause.errors()]) from cause
    return [one for section, entries in said.items() for one in _asked(section, entries)]


def _asked(section: str, said: Any) -> list[Asked]:
    if not isinstance(said, list):
        return [Asked(section, "", (section,), said if isinstance(said, dict) else {section: said})]
    if section == "network_zones":
        return [Asked(section, name, (section, index), {}) for index, name in enumerate(said)]
    return [_entry(section, (section, index), fields) for index, fields in enumerate(said)]


def _entry(section: str, place: Place, said: dict[str, Any]) -> Asked:
    fields = {key: value for key, value in said.items() if key not in ("id", "name")}
    match section:
        case "images":
            fields = {"name": said["name"], "architecture": "x86", **fields}
            name = f"{said['name']} ({fields['architecture']})"
        case "address_pools":
            name = f"{said['cidr']} in {said['location']}"
        case _:
            name = said["name"]
    return Asked(section, name, place, fields, said.get("id"))


def _place(problem: Any) -> Place:
    """Without what pydantic adds of its own: which branch of a union it took. A key nobody knows reads as it stands."""
    loc: Place = problem["loc"]
    unknown = loc[-1:] if problem["type"] == "extra_forbidden" else ()
    way = loc[: len(loc) - len(unknown)]
    known = (step for step in way if isinstance(step, int) or (step.isidentifier() and step not in BRANCHES))
    return (*known, *unknown)


BRANCHES = ("nullable", "PricePart", "DeprecationPart", "LocalPart")


def _reason(problem: Any) -> str:
    match problem["type"]:
        case "extra_forbidden":
            return "is no key that a catalog has here"
        case "invalid_key":
            return "is no key: keys are text"
        case "missing":
            return "is required"
        case "value_error":
            return str(problem["ctx"]["error"])
        case "string_type":
            return "must be text (in quotes, where YAML takes it for something else)"
        case "list_type" | "dict_type":
            return f"must be a {'list' if problem['type'] == 'list_type' else 'mapping'}"
        case "too_short":
            return "must not be empty"
    return str(problem["msg"]).replace("Input should", "must")
