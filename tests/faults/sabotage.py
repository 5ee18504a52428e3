"""The ways to strike: each takes one delivery of a step and lets it go wrong in one particular manner."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import Any

import psycopg
from temporalio import activity

from infra.domain.errors import HostFull, HostUnavailable, ImageUnusable, QuotaExceeded, ResourceUnavailable
from tests.faults.saboteur import Delivery, Way, Work
from tests.faults.steps import UNDO_OF, is_undo
from workflows.options import STEPS

MARGIN = 1.0  # seconds after a try was given up: its next one is under way by then
MIDWAY = 0.15  # seconds into a step that starts a process of its own: that one is at work by then
HALFWAY = 0.003  # seconds into a step: a simulated host's disk is begun by then and not done


def passing(step: str) -> Exception:
    """What a retry gets over."""
    if STEPS[step].place in ("host", "edge"):
        return HostUnavailable("the host does not answer now")
    return psycopg.OperationalError("the server closed the connection unexpectedly")


def refusal(step: str) -> Exception:
    """What no retry gets over, as this step would say it."""
    if STEPS[step].place == "host":
        return HostFull("there is no room on the host") if is_undo(step) else ImageUnusable("the image is damaged")
    return QuotaExceeded("the quota is spent") if step == "reserve_quota" else ResourceUnavailable("nothing is free")


def failing(error: Exception, after: bool) -> Any:
    """Hands that fail, with or without having done it."""

    def hands(do: Work) -> Work:
        async def fail(*args: Any) -> Any:
            if after:
                await do(*args)
            raise error

        return fail

    return hands


async def error_before(delivery: Delivery) -> Any:
    return await delivery.work_with(failing(passing(delivery.step), after=False))


async def error_after(delivery: Delivery) -> Any:
    return await delivery.work_with(failing(passing(delivery.step), after=True))


async def refused_before(delivery: Delivery) -> Any:
    return await delivery.work_with(failing(refusal(delivery.step), after=False))


async def refused_after(delivery: Delivery) -> Any:
    return await delivery.work_with(failing(refusal(delivery.step), after=True))


async def host_full(delivery: Delivery) -> Any:
    return await delivery.work_with(failing(HostFull("there is no room on the host"), after=True))


async def bug_once(delivery: Delivery) -> Any:
    return await delivery.work_with(failing(RuntimeError("nobody thought of this"), after=False))


async def answer_lost(delivery: Delivery) -> Any:
    """Done; then silence until the try counts as dead."""
    done = await delivery.work()
    await asyncio.sleep(delivery.given_up_after + MARGIN)
    return done


async def late(delivery: Delivery) -> Any:
    """Taken, but not begun until the try was given up: a worker that was paused. Nothing stops it then."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(delivery.given_up_after + MARGIN)
    return await _whatever_comes(delivery.work())


async def slow(delivery: Delivery) -> Any:
    """Begun, but at work for longer than the try: a child process that nobody can stop."""

    def hands(do: Work) -> Work:
        async def work(*args: Any) -> Any:
            await asyncio.sleep(seconds)
            return await do(*args)

        async def take_long(*args: Any) -> Any:
            return await _whatever_comes(work(*args))

        return take_long

    limit = delivery.info.start_to_close_timeout
    assert limit is not None
    seconds = limit.total_seconds() + MARGIN
    return await delivery.work_with(hands)


async def _whatever_comes(work: Any) -> Any:
    """Finish the work; a cancellation is heard only after it."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
        except Exception:
            break
    if cancelled:
        raise asyncio.CancelledError
    return task.result()


async def twice(delivery: Delivery) -> Any:
    """Two at once; the story hears of one that succeeded."""
    both = await asyncio.gather(delivery.work(), delivery.work(), return_exceptions=True)
    done = [one for one in both if not isinstance(one, BaseException)]
    if not done:
        raise next(one for one in both if isinstance(one, BaseException))
    return done[0]


async def again(delivery: Delivery) -> Any:
    """Once more when the next step is done; what becomes of that nobody hears."""
    done = await delivery.work()
    before = len(delivery.victim.ended)
    _repeat(delivery, lambda: any(step != delivery.step for step in delivery.victim.ended[before:]))
    return done


async def after_undo(delivery: Delivery) -> Any:
    """Once more when its undo is done: a worker that wakes up long after."""
    done = await delivery.work()
    _repeat(delivery, lambda: UNDO_OF[delivery.step] in delivery.victim.ended)
    return done


def _repeat(delivery: Delivery, due: Any) -> None:
    async def repeat() -> None:
        await delivery.victim.until(due, seconds=3 if STEPS[delivery.step].within is None else 60)
        with suppress(Exception):
            await delivery.work()

    delivery.victim.aftermath.append(asyncio.create_task(repeat()))


async def delete_arrives(delivery: Delivery) -> Any:
    """The owner deletes the server now; the step goes on when the stories know."""
    assert delivery.victim.delete is not None
    deleting = asyncio.ensure_future(delivery.victim.delete())
    delivery.victim.aftermath.append(deleting)  # it is not the step's: it goes on when the step is given up
    await asyncio.shield(deleting)
    await asyncio.sleep(0.3)
    return await delivery.work()


async def killed_during(delivery: Delivery) -> Any:
    task = asyncio.create_task(delivery.work())
    await asyncio.wait([task], timeout=HALFWAY)
    os.kill(os.getpid(), signal.SIGKILL)


async def killed_midway(delivery: Delivery) -> Any:
    """In the middle of work that takes longer than most."""
    task = asyncio.create_task(delivery.work())
    await asyncio.wait([task], timeout=MIDWAY)
    os.kill(os.getpid(), signal.SIGKILL)


async def killed_after(delivery: Delivery) -> Any:
    await delivery.work()
    os.kill(os.getpid(), signal.SIGKILL)


async def stays(delivery: Delivery) -> Any:
    """At work, and saying so, until it is told to stop: a guest that does not come up."""

    def hands(do: Work) -> Work:
        async def stay(*args: Any) -> Any:
            while True:
                activity.heartbeat()
                await asyncio.sleep(0.2)

        return stay

    return await delivery.work_with(hands)


async def unheard(delivery: Delivery) -> Any:
    """A guest that does not obey its power button yet."""

    def hands(do: Work) -> Work:
        async def press(*args: Any) -> bool:
            return False

        return press

    return await delivery.work_with(hands)


WAYS: dict[str, Way] = {
    way.__name__: way
    for way in (
        *(error_before, error_after, refused_before, refused_after, host_full, bug_once),
        *(answer_lost, late, slow, twice, again, after_undo, delete_arrives),
        *(killed_during, killed_midway, killed_after, stays, unheard),
    )
}
