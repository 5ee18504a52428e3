"""Placement groups on the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict

from api.documented import example, shown
from api.pagination import Meta
from api.schemas.actions import ActionWire
from api.schemas.fields import Labels, Name, Wire
from api.schemas.times import timestamp
from infra.db.placement_groups import PlacementGroup


class CreatePlacementGroup(Wire, json_schema_extra=example(name="web", type="spread")):
    name: Name
    type: Literal["spread"]
    labels: Labels = Field(default_factory=dict)


@shown(id=7, name="web", labels={}, type="spread", created="2026-01-30T23:50:00+00:00", servers=[42, 43])
class PlacementGroupWire(TypedDict):
    """``servers``: the ids of those that are in it."""

    id: int
    name: str
    labels: dict[str, str]
    type: str
    created: str
    servers: list[int]


class PlacementGroupAnswer(TypedDict):
    placement_group: PlacementGroupWire


class CreatedPlacementGroup(TypedDict):
    placement_group: PlacementGroupWire
    action: ActionWire | None


class PlacementGroupsAnswer(TypedDict):
    placement_groups: list[PlacementGroupWire]
    meta: Meta


def placement_group_wire(group: PlacementGroup) -> PlacementGroupWire:
    return {
        "id": group.id,
        "name": group.name,
        "labels": group.labels,
        "type": group.type,
        "created": timestamp(group.created),
        "servers": group.servers,
    }
