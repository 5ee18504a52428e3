"""What goes on beside other work ends with it, also when it misses that it is to."""

from __future__ import annotations

import asyncio

import pytest

from infra import beside as module
from infra.beside import beside


async def test_what_misses_its_cancellation_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN", 0.01)
    missed = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            missed.append(True)
        await asyncio.Event().wait()

    async with beside(work()):
        await asyncio.sleep(0)
    assert missed == [True]


async def test_what_it_failed_with_is_raised_at_the_end_and_the_others_have_ended() -> None:
    ended = asyncio.Event()

    async def fail() -> None:
        raise OSError("no space left")

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(OSError, match="no space left"):
        async with beside(fail(), work()):
            await asyncio.sleep(0)
    assert ended.is_set()
