"""/zones: the domains that a project has, and that name servers answer for.

One set of name servers answers for all projects, so a name is taken once over all of them, with all names below
it. Unlike with hcloud, a zone may be a part of a domain: which domains there are is its operator's business here.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.pagination import Page, meta
from api.routes.paths import ZoneKey
from api.schemas.actions import ActionAnswer, action_wire
from api.schemas.rrsets import UpdateLabels
from api.schemas.zones import CreatedZone, CreateZone, ZoneAnswer, ZonefileAnswer, ZonesAnswer, zone_wire
from api.services import Asking, Use
from api.zone_changes import change_zone
from api.zone_contents import check_primaries, first_contents
from infra.db import rrsets, zones
from infra.db.catalog_settings import catalog_settings
from infra.db.named import Wanted
from infra.db.pool import Connection
from infra.db.zones import KIND, NewZone, Zone
from infra.dns import zonefiles
from infra.domain.changes import Resource
from infra.domain.errors import NotFound, QuotaExceeded, UniquenessError
from infra.domain.labels import parse_selector
from infra.domain.refusals import IncorrectZoneMode, Protected
from infra.domain.zones import absolute

router = APIRouter(tags=["zones"])


async def zone_id(use: Use, asking: Asking, id_or_name: ZoneKey) -> int:
    """A dependency: the id that a path means, which may be that of no zone."""
    async with use.pool.connection() as connection:
        return await zones.find_id(connection, asking.project_id, id_or_name)


@router.post("/zones", status_code=201, response_model=CreatedZone, responses=failing(UniquenessError, QuotaExceeded))
async def create_zone(changing: Changing, body: CreateZone) -> Response:
    """With the SOA and NS records that every primary zone has, beside those that are given.

    Parts of domains are fine, unless another project has a zone above or below; `ttl` wins over that of a zone file.
    Servers of the project whose names lie in a primary zone are found by them: their A and AAAA records are answered
    beside its own, and are not listed. A secondary zone is transferred from its primary name servers as soon as they
    let us.
    """

    async def make(connection: Connection) -> dict[str, Any]:
        await KIND.keep_room(connection, changing.project_id, changing.services.settings.zones_per_project)
        name_servers = tuple(map(absolute, (await catalog_settings(connection)).name_servers))
        first = await first_contents(body, name_servers)
        primaries = tuple(one.primary for one in body.primary_nameservers)
        check_primaries(primaries, changing.services.settings)
        new = NewZone(changing.project_id, body.name, body.mode, first.ttl, name_servers, primaries, dict(body.labels))
        id = await zones.create(connection, new)
        zone = await KIND.get(connection, changing.project_id, id)
        await rrsets.fill(connection, zone, first.rrsets)
        await zones.settle(connection, zone)
        told = zone_wire(await KIND.get(connection, changing.project_id, id))
        return {
            "zone": told,
            "action": action_wire(await changing.begin(connection, "create_zone", Resource("zone", id))),
        }

    return await changing.once(make, body)


@router.get("/zones")
async def list_zones(
    use: Use,
    asking: Asking,
    page: Page,
    name: str | None = None,
    mode: Literal["primary", "secondary"] | None = None,
    label_selector: str = "",
) -> ZonesAnswer:
    wanted = Wanted(asking.project_id, name, parse_selector(label_selector), {"mode": [mode] if mode else None})
    async with use.pool.connection() as connection:
        found = await KIND.find_all(connection, wanted, page)
    return {"zones": [zone_wire(one) for one in found.items], "meta": meta(page, found.total)}


@router.get("/zones/{id_or_name:one}", responses=failing(NotFound))
async def get_zone(use: Use, asking: Asking, id_or_name: ZoneKey) -> ZoneAnswer:
    async with use.pool.connection() as connection:
        return {"zone": zone_wire(await zones.find(connection, asking.project_id, id_or_name))}


@router.put("/zones/{id_or_name:one}", responses=failing(NotFound))
async def update_zone(use: Use, asking: Asking, id_or_name: ZoneKey, body: UpdateLabels) -> ZoneAnswer:
    """A zone keeps its name."""
    async with use.pool.connection() as connection:
        id = await zones.find_id(connection, asking.project_id, id_or_name)
        return {"zone": zone_wire(await KIND.update(connection, asking.project_id, id, None, body.labels))}


@router.delete(
    "/zones/{id_or_name:one}", status_code=201, response_model=ActionAnswer, responses=failing(NotFound, Protected)
)
async def delete_zone(changing: Changing, id_or_name: ZoneKey) -> Response:
    """With its RRSets; refused while one of them is protected."""

    async def change(connection: Connection, zone: Zone) -> None:
        await zones.delete(connection, changing.project_id, zone)

    return await change_zone(changing, id_or_name, "delete_zone", change)


@router.get("/zones/{id_or_name}/zonefile", responses=failing(NotFound, IncorrectZoneMode))
async def export_zonefile(use: Use, asking: Asking, id_or_name: ZoneKey) -> ZonefileAnswer:
    """In the format of RFC 1035; comments stand behind their records."""
    async with use.pool.connection() as connection:
        zone = await zones.find(connection, asking.project_id, id_or_name, "primary")
        held = await rrsets.all_of(connection, zone)
    return {"zonefile": await asyncio.to_thread(zonefiles.write, zone.name, zone.ttl, held)}
