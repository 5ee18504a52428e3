"""A zone is lost while images are stored and fetched: work goes on, the zone heals, and nothing acknowledged is lost.

Two zones are lost: nothing is acknowledged any more. `make lab-test` loses each zone in each way.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.drivers.store.errors import StoreAway, StoreError
from infra.lab.lab import Lab
from tests.cli.run import argv, environment
from tests.fix_region import eventually
from tests.lab.conftest import Yard
from tests.lab.load import Load, some_image, unheard

ALL = bool(os.environ.get("LAB_ALL"))
DEADLINE = 120.0
"""Seconds in which a read and a new upload succeed with one zone down."""
AWAY = 20.0
"""Seconds of silence after which a store below quorum is given up."""
STRIKES: dict[str, Callable[[Lab, str], None]] = {"kill": Lab.kill, "cut": Lab.cut}
LOSSES = [(how, zone) for how in STRIKES for zone in ("z1", "z2", "z3")] if ALL else [("kill", "z1"), ("cut", "z2")]

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize(("how", "zone"), LOSSES)
async def test_one_zone_is_lost_and_returns(yard: Yard, place: Path, how: str, zone: str) -> None:
    load = Load(yard.store("a"), yard.store("b"), place, yard.acknowledged)
    async with load.running():
        await load.done_since(0, DEADLINE)
        struck = time.monotonic()
        await asyncio.to_thread(STRIKES[how], yard.lab, zone)
        await load.done_since(struck, DEADLINE)
        degraded = await asyncio.to_thread(yard.told, "degraded")
        upload, read = load.worst(struck)
        returned = time.monotonic()
        healed = await asyncio.to_thread(yard.healed)
        print(
            f"\n{yard.lab.engine_name()} {how} {zone}: upload {upload:.1f} s, read {read:.1f} s at worst; "
            f"healed in {time.monotonic() - returned:.1f} s; {len(load.repeated)} repeated"
        )
    assert load.wrong == []
    assert degraded.word == "degraded"
    assert healed.word == "healthy", healed.text
    assert max(upload, read) < DEADLINE
    await expect_three_copies(yard)
    await expect_all(yard)


async def test_below_two_zones_nothing_is_acknowledged(yard: Yard, place: Path) -> None:
    yard.acknowledged.append((await yard.store("a").publish(some_image(place / "first"), unheard)).digest)
    await expect_three_copies(yard)
    await asyncio.to_thread(yard.lab.kill, "z3")
    await expect_all(yard)  # with another zone down than those lost so far
    await asyncio.to_thread(yard.lab.kill, "z1")
    with pytest.raises(StoreError):
        await yard.store("a", patience=AWAY).publish(some_image(place / "refused"), unheard)
    assert await asyncio.to_thread(checked_without_quorum, yard.lab.clients["a"].mount, place / "said") == 0
    healed = await asyncio.to_thread(yard.healed)
    assert healed.word == "healthy", healed.text
    image = some_image(place / "again")
    await eventually(lambda: acknowledged(yard, image), DEADLINE)
    await expect_all(yard)


async def acknowledged(yard: Yard, image: Path) -> bool:
    """Asked again, as an import does it: a client finds the zones again some seconds after they are well."""
    try:
        yard.acknowledged.append((await yard.store("a", AWAY).publish(image, unheard)).digest)
    except StoreAway:
        return False
    return True


async def expect_three_copies(yard: Yard) -> None:
    """Of the newest image too: a client that has not found a zone again yet writes to the two others."""
    health = await asyncio.to_thread(yard.told, "healthy")
    assert health.word == "healthy", health.text


def checked_without_quorum(mount: Path, said: Path) -> int:
    """The exit code. What hangs at the mount keeps what it was given to speak to: a file, not a pipe of ours."""
    words = ("store", "check", str(mount), "--quorum-lost", "--patience", str(AWAY))
    with said.open("w") as file:
        return subprocess.run(
            argv(*words), env=environment(), stdout=file, stderr=file, timeout=DEADLINE, check=False
        ).returncode


async def expect_all(yard: Yard) -> None:
    """Every acknowledged image is there and right, for somebody who has seen none of them before."""
    await asyncio.to_thread(yard.lab.remount, "b")
    store = yard.store("b")
    assert (await store.images()).keys() >= set(yard.acknowledged)
    right = await asyncio.gather(*(store.verify(digest, unheard) for digest in yard.acknowledged))
    assert all(right)
