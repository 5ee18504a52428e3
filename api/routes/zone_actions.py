"""/zones/{id_or_name}/actions/...: what is changed about a zone as a whole, and answered when the action has ended."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.routes.paths import ZoneKey
from api.schemas.actions import ActionAnswer
from api.schemas.fields import ChangeProtection
from api.schemas.zones import ChangePrimaryNameservers, ChangeZoneTtl, ImportZonefile
from api.zone_changes import change_contents, change_zone
from api.zone_contents import check_primaries, imported
from infra.db import rrsets, zones
from infra.db.pool import Connection
from infra.db.zones import KIND, Zone
from infra.domain.errors import NotFound, QuotaExceeded
from infra.domain.refusals import IncorrectZoneMode, Protected

router = APIRouter(tags=["zones"])


@router.post(
    "/zones/{id_or_name}/actions/change_ttl",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound),
)
async def change_ttl(changing: Changing, id_or_name: ZoneKey, body: ChangeZoneTtl) -> Response:
    """Of all RRSets that have none of their own. A secondary zone keeps it, and answers what its primaries say."""

    async def change(connection: Connection, zone: Zone) -> None:
        await zones.change_ttl(connection, zone, body.ttl)
        await zones.settle(connection, zone)

    return await change_zone(changing, id_or_name, "change_ttl", change, body)


@router.post(
    "/zones/{id_or_name}/actions/import_zonefile",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound, IncorrectZoneMode, Protected, QuotaExceeded),
)
async def import_zonefile(changing: Changing, id_or_name: ZoneKey, body: ImportZonefile) -> Response:
    """In place of all RRSets, their labels included: the file must hold the SOA record and the zone's name servers.

    Its `$TTL`, if any, becomes the zone's. `$INCLUDE` and `$GENERATE` are refused. Refused as well while an RRSet is
    protected.
    """

    async def change(connection: Connection, zone: Zone) -> None:
        found = await imported(zone, body.zonefile)
        await rrsets.fill(connection, zone, found.rrsets)
        await zones.change_ttl(connection, zone, found.ttl)

    return await change_contents(changing, id_or_name, "import_zonefile", change, body)


@router.post(
    "/zones/{id_or_name}/actions/change_primary_nameservers",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound, IncorrectZoneMode),
)
async def change_primary_nameservers(
    changing: Changing, id_or_name: ZoneKey, body: ChangePrimaryNameservers
) -> Response:
    """In place of those that a secondary zone has."""

    async def change(connection: Connection, zone: Zone) -> None:
        primaries = tuple(one.primary for one in body.primary_nameservers)
        check_primaries(primaries, changing.services.settings)
        await zones.change_primaries(connection, zone, primaries)

    return await change_zone(changing, id_or_name, "change_primary_nameservers", change, body, mode="secondary")


@router.post(
    "/zones/{id_or_name}/actions/change_protection",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound),
)
async def change_protection(changing: Changing, id_or_name: ZoneKey, body: ChangeProtection) -> Response:
    async def change(connection: Connection, zone: Zone) -> None:
        await KIND.protect(connection, changing.project_id, zone.id, body.delete)

    return await change_zone(changing, id_or_name, "change_protection", change, body)
