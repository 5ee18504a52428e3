"""The store that the settings name: a directory as it is, and a replicated one only where it is mounted."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.config import Settings
from infra.drivers.store.chosen import image_store
from infra.drivers.store.errors import StoreAway
from infra.drivers.store.mount import ImageStore

NOBODYS = "0" * 64


async def test_the_bare_directory_under_a_missing_mount_takes_nothing(tmp_path: Path) -> None:
    store = image_store(Settings(image_store=tmp_path / "mount", image_store_engine="glusterfs"))
    (tmp_path / "mount").mkdir()
    with pytest.raises(StoreAway, match="marker"):
        await _append(store)
    (tmp_path / "into").mkdir()
    with pytest.raises(StoreAway, match="marker"):
        await store.fetch(NOBODYS, tmp_path / "into", lambda _: None)
    assert not list((tmp_path / "mount").rglob("*"))


async def test_a_directory_of_one_machine_needs_no_marker(tmp_path: Path) -> None:
    store = image_store(Settings(image_store=tmp_path / "store"))
    assert await _append(store) == 1


async def _append(store: ImageStore) -> int:
    async with store.appending(1, 0) as segment:
        await segment.write(b"x")
        return await segment.sync()
