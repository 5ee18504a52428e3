"""A child at a store, heard by somebody who is cancelled: that is never forgotten, whatever comes at the same time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from infra.drivers.store.children import Child


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancellation_beside_an_answer_is_heard(turns: int) -> None:
    said = asyncio.StreamReader()
    child = Child(cast(asyncio.subprocess.Process, SimpleNamespace(stdout=said)), 60)
    hearing = asyncio.create_task(child.line())
    await asyncio.sleep(0.01)

    said.feed_data(b'{"at": 1}\n')
    for _ in range(turns):
        await asyncio.sleep(0)
    asked = hearing.cancel()
    await asyncio.wait([hearing])

    assert hearing.cancelled() is asked
