"""A proxy that does to requests what bad networks do: loses, cuts, delays and repeats them, and their answers.

What happens to a request is drawn from the seed, its Idempotency-Key and the number of its try, so a run can be told
again whatever the machine's pace. Every whole answer that the API gave is kept by key, whoever got to read it.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
KEY = re.compile(rb"\r\nidempotency-key: *([^\r]+)", re.IGNORECASE)
GONE = (OSError, asyncio.IncompleteReadError)


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer, as it was on the wire."""

    head: bytes
    body: bytes

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> Message:
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        return cls(head, await reader.readexactly(int(length[1]) if length else 0))

    @property
    def whole(self) -> bytes:
        return self.head + self.body

    @property
    def half(self) -> bytes:
        return self.head + self.body[: len(self.body) // 2]

    @property
    def key(self) -> str:
        found = KEY.search(self.head)
        return found[1].decode() if found else ""

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])


@dataclass
class Exchange:
    """One request that came in, and the ways to go on with it."""

    request: Message
    upstream: tuple[str, int]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    chance: random.Random
    answers: list[Message]

    async def ask(self) -> Message:
        """Have the API answer. An error of GONE: it did not."""
        reader, writer = await asyncio.open_connection(*self.upstream)
        try:
            writer.write(self.request.whole)
            answer = await Message.read(reader)
        finally:
            writer.close()
        self.answers.append(answer)
        return answer

    async def ask_half(self) -> None:
        _, writer = await asyncio.open_connection(*self.upstream)
        writer.write(self.request.half)
        await writer.drain()
        writer.transport.abort()

    def reset(self) -> None:
        self.writer.transport.abort()

    async def tell(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def pause(self, most: float) -> None:
        await asyncio.sleep(self.chance.uniform(0, most))


async def passed_on(exchange: Exchange) -> None:
    await exchange.tell((await exchange.ask()).whole)


async def request_lost(exchange: Exchange) -> None:
    exchange.reset()


async def request_cut(exchange: Exchange) -> None:
    await exchange.ask_half()
    exchange.reset()


async def request_late(exchange: Exchange) -> None:
    await exchange.pause(1.0)
    await passed_on(exchange)


async def delivered_twice(exchange: Exchange) -> None:
    first, _ = await asyncio.gather(exchange.ask(), exchange.ask())
    await exchange.tell(first.whole)


async def delivered_again_later(exchange: Exchange) -> None:
    await passed_on(exchange)
    exchange.writer.close()
    await exchange.pause(5.0)
    await exchange.ask()


async def answer_lost(exchange: Exchange) -> None:
    await exchange.ask()
    exchange.reset()


async def answer_cut(exchange: Exchange) -> None:
    await exchange.tell((await exchange.ask()).half)


async def answer_late(exchange: Exchange) -> None:
    answer = await exchange.ask()
    await exchange.pause(1.0)
    await exchange.tell(answer.whole)


async def answer_kept(exchange: Exchange) -> None:
    """Until the client has lost its patience."""
    await exchange.ask()
    await exchange.reader.read()


Deal = Callable[[Exchange], Awaitable[None]]
DEALS: tuple[tuple[Deal, int], ...] = (
    (passed_on, 20),
    (request_lost, 10),
    (request_cut, 10),
    (request_late, 10),
    (delivered_twice, 10),
    (delivered_again_later, 10),
    (answer_lost, 10),
    (answer_cut, 10),
    (answer_late, 10),
    (answer_kept, 5),
)
"""What can happen, and how often: seven answers of twenty never get to their client whole."""


@dataclass
class FaultyProxy:
    upstream: tuple[str, int]
    seed: int
    url: str = ""
    answers: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    """By key, every whole answer, in the order in which they came."""
    dealt: Counter[str] = field(default_factory=Counter)
    planned: list[Deal] = field(default_factory=list)
    """What happens first, in this order, instead of what is drawn."""
    _tries: Counter[str] = field(default_factory=Counter)
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def quiet(self) -> None:
        """Wait until everything that is to be repeated has been."""
        while self._open:
            await asyncio.wait(self._open)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await Message.read(reader)
            deal, chance = self._draw(request.key)
            self.dealt[deal.__name__] += 1
            await deal(Exchange(request, self.upstream, reader, writer, chance, self.answers[request.key]))
        except GONE:
            pass  # the client gave up, or the API is away: the client asks again
        finally:
            writer.close()

    def _draw(self, key: str) -> tuple[Deal, random.Random]:
        self._tries[key] += 1
        chance = random.Random(f"{self.seed} {key} {self._tries[key]}")
        if self.planned:
            return self.planned.pop(0), chance
        (deal,) = chance.choices([deal for deal, _ in DEALS], [weight for _, weight in DEALS])
        return deal, chance


@asynccontextmanager
async def faulty_proxy(upstream: str, seed: int) -> AsyncIterator[FaultyProxy]:
    """``upstream``: http://host:port. Nothing is under way any more when it ends."""
    host, _, port = upstream.removeprefix("http://").partition(":")
    proxy = FaultyProxy((host, int(port)), seed)
    async with await asyncio.start_server(proxy.accept, "127.0.0.1", 0) as server:
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield proxy
        await proxy.quiet()
