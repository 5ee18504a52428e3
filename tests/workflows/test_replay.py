"""Replay: the stories as they are now tell every recorded history again, and a story that differs is caught."""

from __future__ import annotations

import inspect
import json
import re
import sys
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from infra.domain.changes import Change
from infra.domain.models import Admission, DeleteOrder, ServerOrder
from infra.temporal.connect import plugin
from tests.workflows.record_histories import HISTORIES, SCENES
from workers.region import STORIES
from workflows.options import STEPS

with workflow.unsafe.imports_passed_through():
    from activities.addresses import AddressBook
    from activities.changes import Changes
    from activities.image_files import ImageFiles
    from activities.records import Records
    from workflows.saga import run


def recorded(scene: str) -> WorkflowHistory:
    return WorkflowHistory.from_json(scene, (HISTORIES / f"{scene}.json").read_text())


def test_every_scene_is_recorded_and_nothing_else() -> None:
    assert {path.stem for path in HISTORIES.glob("*.json")} == set(SCENES)


@pytest.mark.parametrize("scene", SCENES)
async def test_a_recorded_history_replays(scene: str) -> None:
    await Replayer(workflows=list(STORIES), plugins=[plugin()]).replay_workflow(recorded(scene))


@workflow.defn(name="ProvisionServer", sandboxed=False)
class OtherStory:
    """Takes the addresses before it has asked the quota."""

    @workflow.update
    async def admit(self) -> Admission:
        return Admission()

    @workflow.signal
    def abandon(self) -> None: ...

    @workflow.run
    async def run(self, order: ServerOrder) -> None:
        await run(AddressBook.assign_addresses, order)


@workflow.defn(name="DeleteServer", sandboxed=False)
class OtherDelete:
    """Is done before anything was given back."""

    @workflow.run
    async def run(self, order: DeleteOrder) -> None:
        await run(Records.finish_delete, order)


@workflow.defn(name="PowerServer", sandboxed=False)
class OtherPower:
    """Does it without asking which machine it is."""

    @workflow.run
    async def run(self, change: Change) -> None:
        await run(Changes.finish_change, change)


@workflow.defn(name="ImportImage", sandboxed=False)
class OtherImport:
    """Gathers what it has not asked for."""

    @workflow.signal
    def uploaded(self) -> None: ...

    @workflow.signal
    def abandon(self) -> None: ...

    @workflow.run
    async def run(self, change: Change) -> None:
        await run(ImageFiles.gather_image, change)


@workflow.defn(name="ChangeResource", sandboxed=False)
class OtherChange:
    """Is done before anything has followed."""

    @workflow.run
    async def run(self, change: Change, after: int = 0) -> None:
        await run(Changes.finish_change, change)


OTHERS = {
    "ProvisionServer": OtherStory,
    "DeleteServer": OtherDelete,
    "PowerServer": OtherPower,
    "ChangeResource": OtherChange,
    "ImportImage": OtherImport,
}


@pytest.mark.parametrize("scene", SCENES)
async def test_a_story_that_differs_does_not_replay(scene: str) -> None:
    history = recorded(scene)
    began = history.events[0].workflow_execution_started_event_attributes
    with pytest.raises(NondeterminismError):
        await Replayer(workflows=[OTHERS[began.workflow_type.name]], plugins=[plugin()]).replay_workflow(history)


@pytest.mark.parametrize("story", STORIES)
def test_no_story_with_local_steps_asks_for_the_time(story: type) -> None:
    """A local step that outlasts a workflow task makes Temporal begin another, which a replay may leave out: it tells a
    later time there than the story was told, and a decision by it would be another one."""
    text = inspect.getsource(sys.modules[story.__module__])
    local = [name for name, step in STEPS.items() if step.place == "local" and f".{name}," in text]
    assert not local or not re.search(r"workflow\.(time|now)\(", text)


def test_steps_of_edges_and_whole_pages_are_among_what_is_recorded() -> None:
    """A scene that no longer comes to what it is there for replays as well."""
    assert "follow_plan" in {event["activityType"]["name"] for event in _scheduled("success_with_an_edge")}
    first, last = (recorded(scene).events for scene in ("rules_of_the_first_page", "rules_page_by_page"))
    assert first[-1].HasField("workflow_execution_continued_as_new_event_attributes")
    assert last[0].workflow_execution_started_event_attributes.continued_execution_run_id


def test_the_recorded_steps_ran_where_and_as_the_table_says() -> None:
    """Replay does not look at queues and timeouts."""
    for event in _scheduled("success"):
        step = STEPS[event["activityType"]["name"]]
        assert event["taskQueue"]["name"].startswith(f"{step.place}.")
        beats = event.get("heartbeatTimeout", "0s") != "0s"
        assert beats == (step.place == "host" or step.beat is not None)


def _scheduled(scene: str) -> list[dict[str, Any]]:
    events = json.loads((HISTORIES / f"{scene}.json").read_text())["events"]
    key = "activityTaskScheduledEventAttributes"
    return [event[key] for event in events if key in event]
