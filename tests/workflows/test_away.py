"""A part that is away while a step asks it is Unavailable to whoever reads of it, and no bug of the step."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from infra.db.pool import Pool, open_pool
from infra.domain.errors import Unavailable
from infra.temporal.failures import PASSING, plainly
from infra.temporal.names import region_queue
from tests.fix_region import NewRegion, Region
from workers.region import region_worker
from workflows.sweep_orders import SweepOrders

NOWHERE = "postgresql:///nowhere?host=/nonexistent"


@pytest_asyncio.fixture
async def idle(new_region: NewRegion) -> AsyncIterator[Region]:
    async with new_region(workers=False) as region:
        yield region


@pytest_asyncio.fixture
async def no_books() -> AsyncIterator[Pool]:
    async with open_pool(NOWHERE) as pool:
        pool.timeout = 0.5
        yield pool


async def test_the_books(idle: Region, no_books: Pool) -> None:
    async with region_worker(idle.client, no_books, idle.settings):
        assert (await _failure_of_a_sweep(idle)).type == "unavailable"


@pytest.mark.parametrize("status", PASSING)
async def test_temporal(status: RPCStatusCode) -> None:
    with pytest.raises(Unavailable):
        await plainly(_broken(status))


async def test_what_temporal_refuses_is_a_bug() -> None:
    with pytest.raises(RPCError):
        await plainly(_broken(RPCStatusCode.INVALID_ARGUMENT))


async def _broken(status: RPCStatusCode) -> None:
    raise RPCError("the connection broke", status, b"")


async def _failure_of_a_sweep(region: Region) -> ApplicationError:
    """A sweep is told by one step that is tried once."""
    sweeping = region.client.execute_workflow(
        SweepOrders.run, region.location, id=f"sweep-{uuid.uuid4()}", task_queue=region_queue(region.location)
    )
    with pytest.raises(WorkflowFailureError) as failed:
        async with asyncio.timeout(60):
            await sweeping
    assert isinstance(failed.value.cause, ActivityError)
    assert isinstance(failed.value.cause.cause, ApplicationError)
    return failed.value.cause.cause
