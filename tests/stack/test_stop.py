"""A stop goes on to its end, whatever of it fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from infra.config import Settings
from infra.runtime_dir import RuntimeDir
from workers.local import stack
from workers.local.place import Place
from workers.processes import Supervisor
from workers.progress import Teller


async def test_guests_are_put_to_rest_when_the_edge_cannot_be_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(settings: Settings) -> None:
        raise OSError("no netlink")

    rested: list[bool] = []

    async def clear(hurry: asyncio.Event) -> int:
        rested.append(hurry.is_set())
        return 0

    monkeypatch.setattr(stack, "clear_edge", fails)
    with RuntimeDir(tmp_path / "state") as runtime:
        async with Supervisor(Place(runtime.state).pids, print) as supervisor:
            asked = Settings(state=runtime.state, host="simulated")
            stopping = stack.Stack(asked, runtime, supervisor, Teller())
            monkeypatch.setattr(stopping._ground, "clear", clear)
            await stopping.stop(asyncio.Event())
    assert rested == [False]
