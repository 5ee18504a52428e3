"""The steps of an action: as stored when it is finished, as they are so far when it is not."""

from __future__ import annotations

from api.schemas.timelines import StepWire, step_wire
from api.services import Services
from infra.db.actions import Action


async def steps_of(use: Services, action: Action) -> list[StepWire]:
    """Unavailable: it is under way, and Temporal does not answer."""
    told = action.timeline
    if not (told or action.finished) and action.workflow_id:
        told = await use.stories.timeline(action.workflow_id)
    return [step_wire(step) for step in told]
