"""/zones/{id_or_name}/rrsets: the records of a zone, by name and type. They are answered when their action ends."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.pagination import WidePage, meta
from api.routes.paths import RRSetName, RRSetTypeName, ZoneKey
from api.schemas.actions import ActionAnswer
from api.schemas.rrsets import CreatedRRSet, CreateRRSet, RRSetAnswer, RRSetsAnswer, UpdateLabels, rrset_wire
from api.services import Asking, Use
from api.zone_changes import change_contents
from api.zone_contents import check_rrset
from infra.db import rrsets, zones
from infra.db.pool import Connection
from infra.db.rrsets import RRSetFilter
from infra.db.zones import Zone
from infra.domain.errors import NotFound, QuotaExceeded, UniquenessError
from infra.domain.labels import parse_selector
from infra.domain.refusals import IncorrectZoneMode, Protected, ServiceError
from infra.domain.rrsets import RRSetType

router = APIRouter(tags=["rrsets"])


@router.post(
    "/zones/{id_or_name}/rrsets",
    status_code=201,
    response_model=CreatedRRSet,
    responses=failing(NotFound, UniquenessError, IncorrectZoneMode, QuotaExceeded),
)
async def create_rrset(changing: Changing, id_or_name: ZoneKey, body: CreateRRSet) -> Response:
    """Every value is checked against its type. A name that has a CNAME record has nothing else. Records at the name
    of a server win over what it would have there: of their type, a CNAME record over all."""

    async def change(connection: Connection, zone: Zone) -> dict[str, Any]:
        check_rrset(zone.name, body.rrset)
        await rrsets.create(connection, zone, body.rrset)
        return {"rrset": rrset_wire(await rrsets.get(connection, zone, body.name, body.type))}

    return await change_contents(changing, id_or_name, "create_rrset", change, body)


@router.get("/zones/{id_or_name}/rrsets", responses=failing(NotFound))
async def list_rrsets(
    use: Use,
    asking: Asking,
    page: WidePage,
    id_or_name: ZoneKey,
    name: str | None = None,
    type: Annotated[list[RRSetType] | None, Query()] = None,
    label_selector: str = "",
) -> RRSetsAnswer:
    """Up to 100 a page, in the order of their ids."""
    async with use.pool.connection() as connection:
        zone = await zones.find(connection, asking.project_id, id_or_name)
        wanted = RRSetFilter(zone.id, name, type or (), parse_selector(label_selector))
        found = await rrsets.find_all(connection, wanted, page)
    return {"rrsets": [rrset_wire(one) for one in found.items], "meta": meta(page, found.total)}


@router.get("/zones/{id_or_name}/rrsets/{rr_name}/{rr_type}", responses=failing(NotFound))
async def get_rrset(
    use: Use, asking: Asking, id_or_name: ZoneKey, rr_name: RRSetName, rr_type: RRSetTypeName
) -> RRSetAnswer:
    async with use.pool.connection() as connection:
        zone = await zones.find(connection, asking.project_id, id_or_name)
        return {"rrset": rrset_wire(await rrsets.get(connection, zone, rr_name, rr_type))}


@router.put("/zones/{id_or_name}/rrsets/{rr_name}/{rr_type}", responses=failing(NotFound))
async def update_rrset(
    use: Use, asking: Asking, id_or_name: ZoneKey, rr_name: RRSetName, rr_type: RRSetTypeName, body: UpdateLabels
) -> RRSetAnswer:
    """Labels are no part of what is answered: those of a protected RRSet can be changed."""
    async with use.pool.connection() as connection:
        zone = await zones.find(connection, asking.project_id, id_or_name)
        return {"rrset": rrset_wire(await rrsets.update(connection, zone, rr_name, rr_type, body.labels))}


@router.delete(
    "/zones/{id_or_name}/rrsets/{rr_name}/{rr_type}",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound, IncorrectZoneMode, Protected, ServiceError),
)
async def delete_rrset(changing: Changing, id_or_name: ZoneKey, rr_name: RRSetName, rr_type: RRSetTypeName) -> Response:
    """The SOA and NS records of the zone itself go with the zone."""

    async def change(connection: Connection, zone: Zone) -> None:
        await rrsets.delete(connection, zone, rr_name, rr_type)

    return await change_contents(changing, id_or_name, "delete_rrset", change)
