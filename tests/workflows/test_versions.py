"""Two versions of the region worker at once: what is under way ends on the old one, what is new is the new one's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from infra.domain.errors import NotFound
from infra.domain.models import ServerOrder
from infra.drivers.simulated import Fault
from infra.temporal import versions
from infra.temporal.connect import connect
from infra.temporal.names import provision_id
from infra.temporal.versions import Version
from tests.fix_region import NewRegion, Region, eventually, working_host
from tests.workflows.next_story import NextProvisionServer
from workers.region import STORIES, region_worker
from workflows.delete_server import DeleteServer


@asynccontextmanager
async def version(region: Region, build_id: str, stories: Sequence[type] = STORIES) -> AsyncIterator[bool]:
    """A region worker of that version; whether it took over."""
    ours = region.settings.model_copy(update={"build_id": build_id})
    client = await connect(ours)  # of its own: one client takes no second worker of a version
    async with region_worker(client, region.pool, ours, stories):
        yield await versions.take_over(client, ours)


async def test_the_next_version_takes_over_while_an_old_create_finishes(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region:
        (host_id,) = region.hosts
        async with working_host(region, host_id), version(region, "1") as took_over:
            assert took_over
            region.host.inject(Fault("guests.host_key", when="hang", count=None))
            old = await region.order()
            await region.admit(old)
            await eventually(lambda: _called(region, "guests.host_key"))
            async with version(region, "2", [NextProvisionServer, DeleteServer]) as took_over:
                assert took_over
                assert await versions.versions(region.client, region.location) == [
                    Version("2", "current"),
                    Version("1", "draining"),
                ]
                async with version(region, "1") as took_back:  # as after a restart
                    assert not took_back
                new = await region.order()
                await region.admit(new)
                region.host.clear()

                assert await region.ended(new) is None
                assert await region.ended(old) is None

                assert await _version_of(region, old) == "1"
                assert await _version_of(region, new) == "2"
                await region.assert_balanced()
                region.orders.remove(new)  # its story is not this version's, which replays them all


async def test_an_operator_goes_back_to_the_version_before(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region:
        (host_id,) = region.hosts
        async with working_host(region, host_id), version(region, "1"), version(region, "2"):
            await versions.promote(region.client, region.location, "1")

            order = await region.create()

            assert await _version_of(region, order) == "1"


async def test_a_version_that_never_was_cannot_be_current(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region:
        with pytest.raises(NotFound, match="version '7'"):
            await versions.promote(region.client, region.location, "7")


async def _version_of(region: Region, order: ServerOrder) -> str:
    """Of the worker that did the story's last task."""
    history = await region.client.get_workflow_handle(provision_id(order.server_id)).fetch_history()
    done = [event.workflow_task_completed_event_attributes for event in history.events]
    return [task.deployment_version.build_id for task in done if task.HasField("deployment_version")][-1]


async def _called(region: Region, call: str) -> bool:
    return any(made.call == call for made in region.host.calls())
