"""Blocking work beside the event loop, in an order that a cancelled caller cannot upset.

A thread cannot be stopped. If its caller went on at once when cancelled, the undo of a step could overtake the step
itself and leave behind what it had just made. So `run` hands the cancellation on only when the work has ended, and
`KeyedLocks` keeps everything that concerns one server one after the other. `SingleFlight` is for what all share.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


async def run(executor: ThreadPoolExecutor | None, work: Callable[[], T]) -> T:
    """Do ``work`` in a thread (of the loop's own pool when ``executor`` is None), to its end in any case."""
    future = asyncio.get_running_loop().run_in_executor(executor, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await _settled(future)
        raise


async def _settled(future: asyncio.Future[T]) -> None:
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue  # once more: the first one is on its way already
    if not future.cancelled():
        future.exception()  # seen: nobody is left to be told


class KeyedLocks(Generic[K]):
    """One lock per key, for as long as anybody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[K, asyncio.Lock] = {}
        self._users: dict[K, int] = {}

    @asynccontextmanager
    async def hold(self, key: K) -> AsyncIterator[None]:
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._users[key] = self._users.get(key, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._locks[key]


class SingleFlight(Generic[K, T]):
    """However many ask for the same thing at the same time, it is done once, and goes on when one of them leaves."""

    def __init__(self) -> None:
        self._flights: dict[K, asyncio.Task[T]] = {}

    async def do(self, key: K, work: Callable[[], Awaitable[T]]) -> T:
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._fly(key, work), name=f"single flight {key}")
            flight.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(flight)

    async def _fly(self, key: K, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        finally:
            del self._flights[key]
