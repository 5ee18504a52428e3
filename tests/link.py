"""A link between two parts that a test can cut, stall and heal: a relay for TCP and for unix sockets.

`cut` refuses and resets; `stall` holds everything back, in both directions; `deafen` lets what is asked through and
loses what is answered. ``when`` does one of them at the moment that something is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Then = Callable[[], None]


@dataclass(eq=False)
class Link:
    connect: Callable[[], Awaitable[Streams]]
    is_cut: bool = False
    is_deaf: bool = False
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)
    _spoilt: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _watch: tuple[bytes, Then] | None = None
    _watch_answer: Then | None = None

    def __post_init__(self) -> None:
        self._flows.set()

    def cut(self) -> None:
        self.is_cut = True
        self._reset(self._ends)

    def stall(self) -> None:
        self._flows.clear()

    def deafen(self) -> None:
        self.is_deaf = True

    def heal(self) -> None:
        """What was stalled goes on; a connection that lost something on its way is reset."""
        self._reset(self._spoilt)
        self.is_cut = self.is_deaf = False
        self._watch = self._watch_answer = None
        self._flows.set()

    def when(self, asked: bytes, then: Then) -> None:
        """``then``, once, before the words that hold ``asked`` are passed on."""
        self._watch = asked, then

    def when_answered(self, asked: bytes, then: Then) -> None:
        """``then``, once, when those words have taken effect, before their answer is passed on."""

        def wait_for_the_answer() -> None:
            self._watch_answer = then

        self.when(asked, wait_for_the_answer)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.is_cut:
            writer.transport.abort()
            return
        with suppress(OSError):
            theirs, ours = await self.connect()
            self._ends |= {writer, ours}
            try:
                await asyncio.gather(self._ask(reader, ours), self._answer(theirs, writer))
            finally:
                self._ends -= {writer, ours}
                for end in (writer, ours):
                    end.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if self._watch and self._watch[0] in data:
                (_, then), self._watch = self._watch, None
                then()
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if self._watch_answer:
                then, self._watch_answer = self._watch_answer, None
                then()
            await self._flows.wait()
            if self.is_deaf:
                self._spoilt.add(writer)
                continue
            writer.write(data)
            await writer.drain()
        writer.close()

    async def end(self) -> None:
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _reset(self, ends: set[asyncio.StreamWriter]) -> None:
        for end in ends:
            end.transport.abort()
        self._spoilt -= ends


@asynccontextmanager
async def tcp_link(address: str) -> AsyncIterator[tuple[Link, str]]:
    """To ``host:port``; with the address to use instead."""
    host, _, port = address.rpartition(":")
    link = Link(lambda: asyncio.open_connection(host, int(port)))
    async with await asyncio.start_server(link.accept, "127.0.0.1", 0) as server:
        yield link, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await link.end()


@asynccontextmanager
async def unix_link(path: Path, instead: Path) -> AsyncIterator[Link]:
    """To the socket ``path``, reached at ``instead``."""
    link = Link(lambda: asyncio.open_unix_connection(path))
    async with await asyncio.start_unix_server(link.accept, instead):
        yield link
        await link.end()
