"""A saga: steps forward, each with its undo beside it; a failure unwinds what was begun, newest first.

An undo is registered before its step runs, because a step may have taken effect although its answer was lost. Undo
finds its thing already gone and goes on; in the region it is retried for ever, and on a host that does not answer a
tombstone takes its place. Sagas nest: an inner one unwinds alone and hands its failure on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, TimeoutType

with workflow.unsafe.imports_passed_through():
    from activities.hosts import Hosts
    from activities.load_balancers import Edges, LoadBalancers
    from activities.records import Records
    from infra.domain.edge_plan import EdgeOrder
    from infra.domain.errors import HOST_FAILURES
    from infra.domain.models import Failure, HostQuestion, ServerOrder, Tombstone
    from infra.temporal.names import edge_queue, host_queue
    from workflows.failures import CANCELLED, LATE, failure_of, is_away, timeout_of
    from workflows.options import ASK, QUEUE, STEPS

A = TypeVar("A")
R = TypeVar("R")

Activity = Callable[[Any, A], Awaitable[R]]
"""An activity method, unbound: it names the activity and is never called."""

Undo = tuple[Callable[..., Awaitable[Any]], Any]
"""An undo and the value of the step that it undoes: an activity, or a story of several, none of them on a host."""


class Unwound(Exception):
    """A saga that failed and has given everything back. ``failure`` is fit for the user."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure

    @property
    def left_host(self) -> bool:
        """True when the host is to blame and another one may do."""
        return self.failure.code in HOST_FAILURES


class Saga:
    """``async with Saga() as saga``: run the steps inside; leaving by a failure unwinds them and raises Unwound."""

    def __init__(self) -> None:
        self._undo: list[Undo] = []

    async def step(
        self, do: Activity[A, R], value: A, undo: Activity[A, Any] | Callable[[A], Awaitable[None]] | None
    ) -> R:
        """Run one step. ``undo`` takes the step's own value; None only where the step leaves nothing behind."""
        if undo is not None and (undo, value) not in self._undo:
            self._undo.append((undo, value))
        return await run(do, value)

    async def __aenter__(self) -> Saga:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        failure = error.failure if isinstance(error, Unwound) else failure_of(error)
        await unwind(self._undo, is_away(error))
        raise Unwound(failure) from error


async def run(do: Activity[A, R], value: A) -> R:
    """Run one activity as the table of options says. A cancellation that the activity outran is raised after it."""
    step = STEPS[do.__name__]
    times: dict[str, Any] = {
        "start_to_close_timeout": timedelta(seconds=step.run * step.factor),
        "schedule_to_close_timeout": timedelta(seconds=step.within * step.factor) if step.within else None,
        "retry_policy": step.retry,
        "cancellation_type": workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    }
    if step.place == "local":
        result = await workflow.execute_local_activity_method(do, value, **times)
    elif step.place == "region":
        result = await workflow.execute_activity_method(do, value, heartbeat_timeout=step.silence, **times)
    elif step.place == "edge":
        result = await workflow.execute_activity_method(
            do,
            value,
            task_queue=edge_queue(value.edge_id),  # type: ignore[attr-defined]
            schedule_to_start_timeout=timedelta(seconds=QUEUE),
            **times,
        )
    else:
        result = await _on_host(do, value, times)
    heed_cancellation()
    return result  # type: ignore[no-any-return]


def heed_cancellation() -> None:
    """Raise the cancellation that came while something outran it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _on_host(do: Activity[Any, R], machine: Any, times: dict[str, Any]) -> R:
    """A step in the host's own queue. One left waiting there, or a worker that ended in the middle of it, is no sign
    of death: the host is asked for one of life, and then to begin anew."""
    waits: Counter[TimeoutType] = Counter()
    while True:
        try:
            return await workflow.execute_activity_method(
                do,
                machine,
                task_queue=host_queue(machine.host_id),
                schedule_to_start_timeout=timedelta(seconds=QUEUE),
                heartbeat_timeout=STEPS[do.__name__].silence,
                **times,
            )
        except ActivityError as error:
            waited = timeout_of(error)
            if waited not in ASK:
                raise
            waits[waited] += 1
            if not await run(Hosts.hear_host, HostQuestion(machine.host_id, waits[waited] > ASK[waited])):
                raise


async def surely(work: Coroutine[Any, Any, R]) -> R:
    """Do the work whatever else happens to the story: in a task of its own, which no cancellation reaches."""
    task = asyncio.create_task(work)
    await _ended(task)
    return task.result()


async def unwind(undo: list[Undo], away: bool = False) -> None:
    """Undo, newest first. ``away``: the host is known to be silent already."""
    await surely(_unwind(list(undo), away))


async def _unwind(undo: list[Undo], away: bool) -> None:
    buried = False
    for do, value in reversed(undo):
        if do.__name__ not in STEPS:
            await do(value)
            continue
        if STEPS[do.__name__].place != "host":
            await run(do, value)
            continue
        if not away:
            try:
                await run(do, value)
                continue
            except Exception as error:
                failure_of(error)  # our own bugs are raised again and wait for a fix
                away = is_away(error)
        if not buried:  # what the host did not do it makes up for when it finds the tombstone; the rest goes on
            await run(Records.bury, Tombstone(value.server_id, value.host_id, value.epoch))
            buried = True


async def withdraw_targets(order: ServerOrder) -> None:
    """From the books first, then at the edges that they name."""
    await tell_edges(await run(LoadBalancers.deregister_targets, order))


async def tell_edges(edges: Sequence[int]) -> None:
    """The edges follow their plans. One that is silent, or cannot, is not waited for: the books say what it is to
    serve, and it does when it is back."""
    if edges:
        await together(*(_tell_edge(EdgeOrder(edge_id)) for edge_id in edges))


async def _tell_edge(order: EdgeOrder) -> None:
    try:
        await run(Edges.follow_plan, order)
    except ActivityError as error:
        if failure_of(error) == CANCELLED:  # our own bugs are raised again and wait for a fix
            raise
        workflow.logger.warning("edge %s does not follow its plan now: %s", order.edge_id, error.cause)


class Beside:
    """``async with Beside() as late``: work that is begun once and goes on beside the rest. Who needs its end waits for
    it; where the rest fails it is stopped."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Unless it was begun before."""
        self._task = self._task or asyncio.create_task(work())

    async def end(self) -> None:
        """Wait for it. What it failed with is raised."""
        assert self._task is not None, "begun before"
        await workflow.wait_condition(self._task.done)
        self._task.result()

    async def __aenter__(self) -> Beside:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not GeneratorExit:  # of an evicted story, which is collected outside of any
            await _stop([self._task] if self._task else [])


async def together(*branches: Coroutine[Any, Any, Any]) -> None:
    """Run the branches side by side. When one fails the others are cancelled and waited for; its failure is raised."""
    tasks = [asyncio.create_task(branch) for branch in branches]
    try:
        await workflow.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    except asyncio.CancelledError:
        await _stop(tasks)
        raise
    # Before the others are stopped: an activity that is, fails as well, and says no more than that it was.
    failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception()]
    await _stop(tasks)
    for task in (*failed, *tasks):
        task.result()


async def _stop(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:  # a list, not asyncio's set: the order of cancellation is part of the history
        task.cancel()  # does nothing to one that is done
    for task in tasks:
        await _ended(task)
        if not task.cancelled():
            task.exception()  # looked at: asyncio would report it as lost


async def unless(told: Callable[[], Failure | None], work: Coroutine[Any, Any, R], deadline: float) -> R:
    """Do the work unless told why not, or cancelled by the operator, or late: then cancel it, and wait for its end."""
    reason: Failure | None = None
    task = asyncio.create_task(work)
    try:
        await workflow.wait_condition(lambda: task.done() or bool(told()), timeout=deadline, timeout_summary="deadline")
    except TimeoutError:
        reason = LATE
    except asyncio.CancelledError:
        reason = CANCELLED
    task.cancel()  # does nothing to one that is done
    await _ended(task)
    if task.cancelled():  # before its first step
        raise Unwound(reason or told() or CANCELLED)
    if isinstance(error := task.exception(), Unwound) and error.failure == CANCELLED:
        raise Unwound(reason or told() or CANCELLED) from error
    return task.result()


async def _ended(task: asyncio.Task[Any]) -> None:
    """Wait for a task that no cancellation of its waiter may cut short. (An evicted story ends at the next wait.)"""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await workflow.wait_condition(task.done)
