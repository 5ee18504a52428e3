"""RRSets on the wire."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from api.documented import example
from api.pagination import Meta
from api.schemas.actions import ActionWire
from api.schemas.fields import Labels, Text, Wire
from infra.db.rrsets import RRSet
from infra.domain.rrsets import MOST, NewRRSet, Record, RRSetType
from infra.domain.zones import LONGEST_TTL, SHORTEST_TTL

RECORD = {"value": "203.0.113.10", "comment": "the first"}
"""Of the document's examples."""

Ttl = Annotated[int, Field(ge=SHORTEST_TTL, le=LONGEST_TTL)]


class RecordBody(Wire):
    """``value``: as in a zone file; a TXT value is one or more quoted strings. Kept as it is written."""

    value: Text
    comment: Annotated[Text, Field(max_length=255)] | None = None

    @property
    def record(self) -> Record:
        return Record(self.value, self.comment)


Records = Annotated[list[RecordBody], Field(min_length=1, max_length=MOST)]


class CreateRRSet(Wire, json_schema_extra=example(name="www", type="A", ttl=300, records=[RECORD])):
    """``name``: relative to the zone, in lower case; ``@`` is the zone itself. Without ``ttl``: the zone's."""

    name: Text
    type: RRSetType
    ttl: Ttl | None = None
    records: Records
    labels: Labels = Field(default_factory=dict)

    @property
    def rrset(self) -> NewRRSet:
        return NewRRSet(self.name, self.type, records_of(self.records), self.ttl, dict(self.labels))


class UpdateLabels(Wire, json_schema_extra=example(labels={"env": "prod"})):
    """They replace the whole map; what is not sent stays."""

    labels: Labels | None = None


class ChangeRRSetTtl(Wire, json_schema_extra=example(ttl=300)):
    """``null``: the zone's."""

    ttl: Ttl | None

    @model_validator(mode="before")
    @classmethod
    def _null_is_omitted(cls, body: Any) -> Any:
        return body  # here it is not: it must be said


class ChangeRecords(Wire, json_schema_extra=example(records=[RECORD])):
    records: Records


class AddRecords(Wire, json_schema_extra=example(records=[RECORD], ttl=300)):
    """``ttl``: of an RRSet that is made by this; of one that exists it has to be the same."""

    records: Records
    ttl: Ttl | None = None


class ChangeRRSetProtection(Wire, json_schema_extra=example(change=True)):
    """What is not sent stays."""

    change: bool | None = None


class RecordWire(TypedDict):
    value: str
    comment: str | None


class RRSetProtectionWire(TypedDict):
    """Whether the RRSet is kept from being changed and deleted."""

    change: bool


class RRSetWire(TypedDict):
    """``id``: name and type, ``www/A``. ``zone``: the zone's id. ``ttl`` null: the zone's."""

    id: str
    name: str
    type: RRSetType
    ttl: int | None
    labels: dict[str, str]
    protection: RRSetProtectionWire
    records: list[RecordWire]
    zone: int


class RRSetAnswer(TypedDict):
    rrset: RRSetWire


class CreatedRRSet(TypedDict):
    rrset: RRSetWire
    action: ActionWire


class RRSetsAnswer(TypedDict):
    rrsets: list[RRSetWire]
    meta: Meta


def records_of(bodies: list[RecordBody]) -> tuple[Record, ...]:
    return tuple(one.record for one in bodies)


def rrset_wire(rrset: RRSet) -> RRSetWire:
    return {
        "id": f"{rrset.name}/{rrset.type}",
        "name": rrset.name,
        "type": rrset.type,
        "ttl": rrset.ttl,
        "labels": rrset.labels,
        "protection": {"change": rrset.protected},
        "records": [{"value": one.value, "comment": one.comment} for one in rrset.records],
        "zone": rrset.zone_id,
    }
