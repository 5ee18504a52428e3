"""Children that touch the mount for a worker, watched: one that is silent for too long is given up.

Given up means killed, and where that has no effect (the kernel holds it in an uninterruptible wait) left alone; it
keeps its place among the children until it is gone, so that a mount that hangs cannot fill the machine with them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from infra.drivers.store.errors import ERRORS, StoreAway

LONGEST_LINE = 64 * 2**20  # bytes: a list of half a million images
MERCY = 2.0  # seconds that a killed child has until it is left alone

log = logging.getLogger(__name__)


class StoreBusy(StoreAway):
    """Others have all places, and keep them."""


class Child:
    """One of them, running. StoreError from anything but ``end``: it is of no more use."""

    def __init__(self, process: asyncio.subprocess.Process, patience: float) -> None:
        self.process = process
        self._patience = patience
        self.is_over = False  # it ends by itself

    async def line(self) -> dict[str, Any]:
        """What it says next. OSError: it failed in a local directory."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(self._patience):  # wait_for of Python 3.11 may forget that we are cancelled
                line = await self.process.stdout.readline()
        except TimeoutError:
            raise StoreAway(f"the image store has not answered for {self._patience:.0f} s") from None
        self.is_over = not line or b'"done"' in line or b'"error"' in line
        if not line:
            raise StoreAway("the process that was at the image store died")
        said: dict[str, Any] = json.loads(line)
        if said.get("error") == "local":
            raise OSError(said["errno"], said["said"], said["name"])
        if "error" in said:
            raise ERRORS[said["error"]](said["said"])
        return said

    async def feed(self, content: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(content)
        try:
            async with asyncio.timeout(self._patience):
                await self.process.stdin.drain()
        except TimeoutError:
            raise StoreAway(f"the image store has taken nothing for {self._patience:.0f} s") from None
        except ConnectionError:
            await self.line()  # says why it left
            raise StoreAway("the process that was at the image store left") from None


class Children:
    """``limit``: so many at a time; who comes later waits, unless all of them hang, for at most ``wait`` seconds."""

    def __init__(self, limit: int, patience: float, wait: float | None = None) -> None:
        self._limit = limit
        self._patience = patience
        self._wait = wait
        self._running = 0
        self._hanging: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def start(self, verb: str, **arguments: Any) -> AsyncIterator[Child]:
        """A child for as long as the block lasts; whatever it does then ends with it."""
        await self._take_place()
        child = None
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "infra.drivers.store.child", verb),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LONGEST_LINE,
            )
            child = Child(process, self._patience)
            await child.feed(json.dumps(arguments, default=str).encode() + b"\n")
            yield child
        finally:
            await _to_its_end(self._end(child, verb))

    async def _take_place(self) -> None:
        """StoreBusy: none got free in time."""
        try:
            async with asyncio.timeout(self._wait), self._changed:
                while self._running == self._limit:
                    if len(self._hanging) == self._limit:
                        raise StoreAway("the image store does not answer: all that was asked of it hangs")
                    await self._changed.wait()
                self._running += 1
        except TimeoutError:
            raise StoreBusy(f"none of {self._limit} places at the image store got free in {self._wait} s") from None

    async def _leave_place(self) -> None:
        async with self._changed:
            self._running -= 1
            self._changed.notify_all()

    async def _end(self, child: Child | None, verb: str) -> None:
        if child is None:
            await self._leave_place()
            return
        process = child.process
        if not child.is_over and process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)  # Process.kill would reap it, and the event loop miss its end
        gone = asyncio.create_task(self._gone(process), name=f"the end of {verb} {process.pid}")
        await asyncio.wait([gone], timeout=MERCY)
        if not gone.done():
            log.error("%s at the image store hangs and cannot be ended: process %d is given up", verb, process.pid)
            self._hanging.add(gone)
            gone.add_done_callback(self._hanging.discard)
            async with self._changed:
                self._changed.notify_all()

    async def _gone(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        await self._leave_place()


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Whoever is cancelled meanwhile waits for it all the same: it takes no longer than MERCY."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
