"""The fence: a host obeys a server's newest claim only, and nothing of one claim meets anything of another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.fence import Fence
from infra.domain.errors import StaleClaim
from infra.drivers.epochs import Epochs

SERVER = 7


@pytest.fixture
def epochs(tmp_path: Path) -> Iterator[Epochs]:
    with Epochs(tmp_path / "epochs.sqlite") as epochs:
        yield epochs


@pytest.fixture
def fence(epochs: Epochs) -> Fence:
    return Fence(epochs)


async def enters(fence: Fence, epoch: int) -> bool:
    try:
        async with fence.forward(SERVER, epoch):
            return True
    except StaleClaim:
        return False


async def undoes(fence: Fence, epoch: int) -> bool:
    try:
        async with fence.undo(SERVER, epoch):
            return True
    except StaleClaim:
        return False


async def _works(fence: Fence, epoch: int) -> None:
    async with fence.forward(SERVER, epoch):
        await asyncio.Event().wait()


async def test_a_step_of_an_older_claim_is_refused(fence: Fence) -> None:
    assert await enters(fence, 2)

    assert not await enters(fence, 1)
    assert await enters(fence, 2)


async def test_what_was_seen_outlives_the_worker(epochs: Epochs, tmp_path: Path) -> None:
    assert await enters(Fence(epochs), 2)

    with Epochs(tmp_path / "epochs.sqlite") as reopened:
        assert not await enters(Fence(reopened), 1)


async def test_after_an_undo_no_step_of_its_claim_begins_and_one_of_a_newer_does(fence: Fence) -> None:
    assert await undoes(fence, 1)

    assert not await enters(fence, 1)
    assert await enters(fence, 2)


async def test_an_undo_of_an_older_claim_touches_nothing_of_a_newer(fence: Fence) -> None:
    assert await enters(fence, 2)

    assert not await undoes(fence, 1)


async def test_an_undo_may_come_twice(fence: Fence) -> None:
    assert await undoes(fence, 1)
    assert await undoes(fence, 1)


async def test_an_undo_waits_for_the_step_that_is_still_at_work(fence: Fence) -> None:
    async with fence.forward(SERVER, 1):
        undoing = asyncio.create_task(undoes(fence, 1))
        await asyncio.sleep(0)
        assert not await enters(fence, 1)  # the door is closed already
        assert not undoing.done()

    assert await undoing


async def test_a_newer_claim_waits_for_what_an_older_one_still_does(fence: Fence) -> None:
    async with fence.undo(SERVER, 1):
        entering = asyncio.create_task(enters(fence, 2))
        await asyncio.sleep(0)
        assert not entering.done()

    assert await entering


async def test_a_purge_waits_for_nobody_and_stops_what_is_at_work(fence: Fence) -> None:
    stale = asyncio.create_task(_works(fence, 1))
    await asyncio.sleep(0)
    async with fence.purge(SERVER, 1) as may:
        assert not may

    with pytest.raises(asyncio.CancelledError):  # the books do not know it any more
        await stale
    async with fence.purge(SERVER, 1) as may:
        assert may


async def test_an_undo_that_waited_too_long_leaves_a_newer_claim_alone(fence: Fence) -> None:
    async with fence.forward(SERVER, 1):
        undoing = asyncio.create_task(undoes(fence, 1))
        newer = asyncio.create_task(_works(fence, 2))
        await asyncio.sleep(0)

    assert not await undoing
    newer.cancel()


async def test_a_purge_shuts_the_door_behind_it(fence: Fence) -> None:
    assert await enters(fence, 3)
    async with fence.purge(SERVER, 3) as may:
        assert may

    assert not await enters(fence, 3)


async def test_a_tombstone_of_an_older_claim_purges_nothing_of_a_newer(fence: Fence) -> None:
    assert await enters(fence, 3)

    async with fence.purge(SERVER, epoch=2) as may:
        assert not may


async def test_what_is_long_gone_is_forgotten(epochs: Epochs, monkeypatch: pytest.MonkeyPatch) -> None:
    assert epochs.see(SERVER, 5)
    epochs.forget(set())
    assert epochs.highest(SERVER) == 5  # not long gone yet

    monkeypatch.setattr("infra.drivers.epochs.KEEP", -1.0)
    epochs.forget({SERVER})
    assert epochs.highest(SERVER) == 5  # claimed
    epochs.forget(set())
    assert epochs.highest(SERVER) == 0
