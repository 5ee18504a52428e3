"""/zones/{id_or_name}/rrsets/{rr_name}/{rr_type}/actions/...: what is changed about an RRSet."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.routes.paths import RRSetName, RRSetTypeName, ZoneKey
from api.schemas.actions import ActionAnswer
from api.schemas.rrsets import AddRecords, ChangeRecords, ChangeRRSetProtection, ChangeRRSetTtl, records_of
from api.zone_changes import change_contents, change_zone
from api.zone_contents import added_rrset, check_records
from infra.db import rrsets
from infra.db.pool import Connection
from infra.db.rrsets import RRSet
from infra.db.zones import Zone
from infra.domain.errors import NotFound, QuotaExceeded
from infra.domain.refusals import IncorrectZoneMode, Protected, ServiceError
from infra.domain.rrsets import Record

router = APIRouter(tags=["rrsets"])

ACTIONS = "/zones/{id_or_name}/rrsets/{rr_name}/{rr_type}/actions"
CHANGING = (NotFound, IncorrectZoneMode, Protected)


@router.post(f"{ACTIONS}/change_ttl", status_code=201, response_model=ActionAnswer, responses=failing(*CHANGING))
async def change_rrset_ttl(
    changing: Changing, id_or_name: ZoneKey, rr_name: RRSetName, rr_type: RRSetTypeName, body: ChangeRRSetTtl
) -> Response:
    async def change(connection: Connection, zone: Zone) -> None:
        await rrsets.change_ttl(connection, zone, rr_name, rr_type, body.ttl)

    return await change_contents(changing, id_or_name, "change_rrset_ttl", change, body)


@router.post(
    f"{ACTIONS}/set_records",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(*CHANGING, QuotaExceeded),
)
async def set_rrset_records(
    changing: Changing, id_or_name: ZoneKey, rr_name: RRSetName, rr_type: RRSetTypeName, body: ChangeRecords
) -> Response:
    """In place of those that there are. The serial of an SOA record is not taken over unless it is a later one."""

    async def change(connection: Connection, zone: Zone) -> None:
        rrset, records = await _of_type(connection, zone, rr_name, rr_type, body)
        await rrsets.set_records(connection, zone, rrset, records)

    return await change_contents(changing, id_or_name, "set_rrset_records", change, body)


@router.post(
    f"{ACTIONS}/add_records",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(*CHANGING, QuotaExceeded),
)
async def add_rrset_records(
    changing: Changing, id_or_name: ZoneKey, rr_name: RRSetName, rr_type: RRSetTypeName, body: AddRecords
) -> Response:
    """To an RRSet that is made if there is none. Records that are there already are refused."""

    async def change(connection: Connection, zone: Zone) -> None:
        more = added_rrset(zone.name, rr_name, rr_type, records_of(body.records), body.ttl)
        await rrsets.add_records(connection, zone, more)

    return await change_contents(changing, id_or_name, "add_rrset_records", change, body)


@router.post(
    f"{ACTIONS}/remove_records",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(*CHANGING, ServiceError),
)
async def remove_rrset_records(
    changing: Changing, id_or_name: ZoneKey, rr_name: RRSetName, rr_type: RRSetTypeName, body: ChangeRecords
) -> Response:
    """By their values. The RRSet goes with its last record."""

    async def change(connection: Connection, zone: Zone) -> None:
        rrset, records = await _of_type(connection, zone, rr_name, rr_type, body)
        await rrsets.remove_records(connection, zone, rrset, records)

    return await change_contents(changing, id_or_name, "remove_rrset_records", change, body)


@router.post(f"{ACTIONS}/update_records", status_code=200, response_model=ActionAnswer, responses=failing(*CHANGING))
async def update_rrset_records(
    changing: Changing, id_or_name: ZoneKey, rr_name: RRSetName, rr_type: RRSetTypeName, body: ChangeRecords
) -> Response:
    """Their comments, which are no part of what is answered: the serial stays."""

    async def change(connection: Connection, zone: Zone) -> None:
        rrset, records = await _of_type(connection, zone, rr_name, rr_type, body)
        await rrsets.comment_records(connection, zone, rrset, records)

    return await change_zone(changing, id_or_name, "update_rrset_records", change, body, mode="primary", status=200)


@router.post(
    f"{ACTIONS}/change_protection",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound, IncorrectZoneMode),
)
async def change_rrset_protection(
    changing: Changing,
    id_or_name: ZoneKey,
    rr_name: RRSetName,
    rr_type: RRSetTypeName,
    body: ChangeRRSetProtection,
) -> Response:
    """A protected RRSet is neither changed nor deleted, nor is its zone deleted or filled from a file."""

    async def change(connection: Connection, zone: Zone) -> None:
        await rrsets.protect(connection, zone, rr_name, rr_type, body.change)

    return await change_zone(changing, id_or_name, "change_rrset_protection", change, body, mode="primary")


async def _of_type(
    connection: Connection, zone: Zone, name: str, type: str, body: ChangeRecords
) -> tuple[RRSet, tuple[Record, ...]]:
    """The RRSet, and the records that are sent, which have to be of its type. NotFound, InvalidInput."""
    rrset = await rrsets.get(connection, zone, name, type)
    records = records_of(body.records)
    check_records(zone.name, rrset.type, records)
    return rrset, records
