"""Scratch: one at a time, nothing unfinished of others, and gone when nobody needs it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from infra.drivers.scratch import Scratch

HOLDER = """
import asyncio, sys
from pathlib import Path
from infra.drivers.scratch import Scratch

async def hold():
    async with Scratch(Path(sys.argv[1])).held(7) as directory:
        (directory / "done").write_text("done")
        (directory / "half.part").write_text("half")
        print("held", flush=True)
        await asyncio.sleep(3600)

asyncio.run(hold())
"""


async def test_who_comes_second_waits_until_the_first_is_dead(tmp_path: Path) -> None:
    first = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, tmp_path, stdout=asyncio.subprocess.PIPE)
    assert first.stdout is not None
    await first.stdout.readline()

    async def second() -> list[str]:
        async with Scratch(tmp_path).held(7) as directory:
            return sorted(path.name for path in directory.iterdir())

    waiting = asyncio.create_task(second())
    await asyncio.wait([waiting], timeout=0.5)
    assert not waiting.done()
    first.kill()
    await first.wait()

    assert await asyncio.wait_for(waiting, 10) == ["done"]  # and nothing half


async def test_two_of_one_process_wait_for_each_other_too(tmp_path: Path) -> None:
    scratch, at_once, most = Scratch(tmp_path), 0, 0

    async def hold() -> None:
        nonlocal at_once, most
        async with scratch.held(1):
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.01)
            at_once -= 1

    await asyncio.gather(*(hold() for _ in range(5)), scratch.remove(1))

    assert most == 1


async def test_what_nobody_needs_is_swept(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    for image_id in (1, 2, 3):
        async with scratch.held(image_id) as directory:
            (directory / "source").write_text("x")

    assert await scratch.sweep({2, 9}) == [1, 3]
    assert scratch.held_here() == [2]
    await scratch.remove(2)
    await scratch.remove(2)
    assert scratch.held_here() == []
