"""/internal/v1/hosts: a host's report, the claims that the books confirm to it, the seeds of what it holds, and images.

A host acts for itself only, and reads a server's secrets only while it holds that server's newest claim.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from pydantic import Field

from api.routes.paths import PathId
from api.schemas.fields import LARGEST_ID, Wire
from api.services import Use
from infra.config import Settings
from infra.db import guests, hosts, image_care, port_plans, reports, wanted_images
from infra.domain.errors import Forbidden, NotFound
from infra.domain.models import PARTS, HostReport, Link, MachineState, Part, Tombstone, Turned
from infra.domain.seed import Surroundings, seed_of

LARGEST = 2**31 - 1
MOST_SERVERS = 10_000  # that one host holds
MOST_NAMED = 1_000  # of anything else that a host has names for
LONGEST = 256  # characters of such a name

ServerId = Annotated[int, Field(strict=False, ge=1, le=LARGEST_ID)]  # a key of JSON is text
Parts = Annotated[list[Part], Field(max_length=len(PARTS))]
Size = Annotated[int, Field(ge=0, le=LARGEST)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=LARGEST)]
Name = Annotated[str, Field(max_length=LONGEST, pattern=r"^[^\x00]*$")]
Fact = bool | int | Annotated[float, Field(allow_inf_nan=False)] | Name
OfServers = Field(max_length=MOST_SERVERS)
Named = Field(max_length=MOST_NAMED)


class UplinkReport(Wire):
    """infra.domain.models.Link."""

    speed_mbit: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    received: Share | None = None
    sent: Share | None = None


class TurnedReport(Wire):
    """infra.domain.models.Turned."""

    state: MachineState
    epoch: Size


class Report(Wire):
    """infra.domain.models.HostReport without its id: memory in MiB, disk in GiB, loads in [0, 1]."""

    cores: Size
    memory_mib: Size
    disk_gib: Size
    free_memory_mib: Size | None = None
    free_disk_gib: Size | None = None
    cpu_busy: Share = 0.0
    io_wait: Share = 0.0
    net_saturation: Share = 0.0
    driver: Name = ""
    facts: Annotated[dict[Name, Fact | Annotated[dict[Name, Fact], Named]], Named] = Field(default_factory=dict)
    images: Annotated[list[Name], Named] = Field(default_factory=list)
    links: Annotated[dict[Name, UplinkReport], Named] = Field(default_factory=dict)
    holds: Annotated[dict[ServerId, Parts], OfServers] | None = None
    states: Annotated[dict[ServerId, MachineState], OfServers] | None = None
    heard: Annotated[dict[ServerId, Seconds], OfServers] | None = None
    turned: Annotated[dict[ServerId, TurnedReport], OfServers] = Field(default_factory=dict)
    problems: Annotated[list[Name], Named] = Field(default_factory=list)
    hindrances: Annotated[list[Name], Named] = Field(default_factory=list)

    def of(self, host_id: int) -> HostReport:
        told = {name: getattr(self, name) for name in Report.model_fields}
        told["links"] = {name: Link(**link.model_dump()) for name, link in self.links.items()}
        told["turned"] = {server_id: Turned(**turned.model_dump()) for server_id, turned in self.turned.items()}
        return HostReport(host_id=host_id, **told)


async def itself(use: Use, id: PathId, authorization: Annotated[str | None, Header()] = None) -> int:
    """Unauthorized: no host key. Forbidden: another host's."""
    if await use.authenticator.host(authorization) != id:
        raise Forbidden("the host key is another host's")
    return id


Host = Annotated[int, Depends(itself)]
router = APIRouter(prefix="/internal/v1/hosts/{id}", tags=["internal"])


@router.post("/report")
async def report(use: Use, host: Host, body: Report) -> dict[str, Any]:
    async with use.pool.connection() as connection:
        await reports.record_report(connection, body.of(host))
    return {}


@router.get("/images")
async def images(use: Use, host: Host) -> dict[str, Any]:
    """What is worth having in its cache before anybody orders it, the most wanted first."""
    async with use.pool.connection() as connection:
        return {"images": [asdict(image) for image in await wanted_images.of_host(connection, host)]}


class Doubt(Wire):
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@router.post("/doubts")
async def doubt(use: Use, host: Host, body: Doubt) -> dict[str, Any]:
    """The host did not find an image, or read it twice and it was something else. The region looks and decides."""
    async with use.pool.connection() as connection:
        await image_care.doubt(connection, body.digest)
    return {}


@router.get("/claims")
async def claims(use: Use, host: Host) -> dict[str, Any]:
    """The machines that should be here, and what is to be forgotten. Everything else on the host is to be purged."""
    async with use.pool.connection() as connection:
        return asdict(await hosts.claims_of(connection, host))


@router.delete("/tombstones/{server_id}")
async def forgotten(use: Use, host: Host, server_id: int, epoch: int) -> dict[str, Any]:
    """The host holds nothing of the server any more."""
    async with use.pool.connection() as connection:
        await hosts.forgotten(connection, Tombstone(server_id, host, epoch))
    return {}


@router.get("/seeds/{server_id}")
async def seed(use: Use, host: Host, server_id: int, epoch: int) -> dict[str, Any]:
    """The four documents of the volume. 404: the claim does not stand (any more)."""
    async with use.pool.connection() as connection:
        claimed = await hosts.seed_of_claim(connection, host, server_id, epoch)
        plan = await port_plans.plan_of(connection, host, server_id, epoch)
    if claimed is None or plan is None:
        raise NotFound(f"this host holds no claim on server {server_id} with epoch {epoch}")
    vendor_data, around = _vendor_data(claimed.machine.image.has_agent), _surroundings(use.settings)
    return asdict(seed_of(claimed.machine, plan, claimed.ssh_keys, claimed.user_data, vendor_data, around))


@router.get("/guests/{server_id}")
async def guest(use: Use, host: Host, server_id: int) -> dict[str, Any]:
    """What its guest may know of itself (infra/domain/metadata.py). 404: the host holds no claim on the server."""
    async with use.pool.connection() as connection:
        found = await guests.guest_of(connection, host, server_id)
    if found is None:
        raise NotFound(f"this host holds no claim on server {server_id}")
    return asdict(replace(found, vendor_data=_vendor_data(found.has_agent), around=_surroundings(use.settings)))


def _surroundings(settings: Settings) -> Surroundings:
    return Surroundings(tuple(settings.nameservers), settings.private_mtu)


def _vendor_data(has_agent: bool) -> str:
    """What brings the agent into an image that lacks it."""
    if has_agent:
        return ""
    from infra.guests.agent import vendor_data

    return vendor_data()
