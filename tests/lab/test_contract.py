"""Both engines keep the contract of an image store, as `puchify store check` tries it out."""

from __future__ import annotations

import asyncio

import pytest

from tests.cli.run import puchify
from tests.lab.conftest import Yard

pytestmark = pytest.mark.timeout(900)


async def test_its_mounts_are_fit_for_images(yard: Yard) -> None:
    a, b = (str(yard.lab.clients[name].mount) for name in ("a", "b"))
    engine = str(yard.lab.engine_name())
    checked = await asyncio.to_thread(puchify, "store", "check", a, "--second", b, "--engine", engine)
    print(checked.out)
    assert checked.code == 0, checked.out + checked.err
    assert "failed" not in checked.out


async def test_its_settings_are_those_that_survive_a_zone(yard: Yard) -> None:
    health = await asyncio.to_thread(yard.told, "healthy")
    assert (health.word, health.settings) == ("healthy", [])
