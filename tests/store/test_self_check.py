"""`puchify store`: a mount that does what it must passes, and each fault that a mount may have fails its point."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from infra.drivers.store import probe_files, probes
from infra.drivers.store.errors import StoreUnfit
from infra.drivers.store.mount import ImageStore
from infra.drivers.store.mounts import mount_of
from infra.drivers.store.self_check import Mount, check, check_quorum_lost
from tests.store.disks import MIB
from tests.store.processes import children, thaw, until

OWNER = "somebody"


def unheard(_: int) -> None:
    return None


@pytest.fixture
def marked(path: Path, store: ImageStore) -> Path:
    asyncio.run(store.mark(OWNER))
    return path


@pytest.fixture
def second(marked: Path, private_network: None, tmp_path: Path) -> Iterator[Path]:
    """The same directory once more."""
    (second := tmp_path / "second").mkdir()
    subprocess.run(("mount", "--bind", str(marked), str(second)), check=True)
    yield second
    subprocess.run(("umount", str(second)), check=True)


def outcomes(mount: Mount, patience: float = 20) -> dict[str, str]:
    async def seen() -> dict[str, str]:
        return {point.point: point.outcome async for point in check(mount, patience)}

    return asyncio.run(seen())


def test_a_mount_that_does_what_it_must(marked: Path, second: Path, tiny_mount: Path) -> None:
    found = outcomes(Mount(marked, owner=OWNER, second=second, tiny=tiny_mount))
    assert found.pop("reads an image") == "skipped"
    assert set(found.values()) == {"ok"}
    assert len(found) == 8
    assert os.listdir(marked) == [".store-id"]
    assert os.listdir(tiny_mount) == []


def test_an_image_in_the_store_is_read(marked: Path, source: Path, store: ImageStore) -> None:
    digest = asyncio.run(store.publish(source, unheard)).digest
    mount = Mount(marked, read_only=True)
    assert outcomes(mount)["reads an image"] == "ok"
    with (marked / f"images/{digest}.tar").open("r+b") as file:
        file.write(b"flipped")
    assert outcomes(mount)["reads an image"] == "failed"


def test_a_mount_that_is_not_there_is_checked_no_further(path: Path, marked: Path, tmp_path: Path) -> None:
    for mount in (
        Mount(tmp_path / "nowhere"),
        Mount(tmp_path),  # a bare directory
        Mount(marked, owner="another"),
        Mount(marked, engine="cephfs"),
    ):
        assert outcomes(mount) == {"mounted": "failed"}


def test_a_host_that_could_write_is_told(marked: Path, second: Path) -> None:
    writable = Mount(second, read_only=True)
    assert outcomes(writable)["refuses writes"] == "failed"
    subprocess.run(("mount", "-o", "remount,ro,bind", str(second)), check=True)
    assert outcomes(writable)["refuses writes"] == "ok"
    assert outcomes(replace(writable, read_only=False))["write and read"] == "failed"


def test_a_second_mount_of_something_else_is_told(marked: Path, tmp_path: Path) -> None:
    with patch.object(probe_files, "VISIBLE_WITHIN", 0.1), pytest.raises(StoreUnfit, match="second mount"):
        probes.visible_elsewhere(marked, unheard, str(tmp_path))


def test_a_store_that_is_never_full_is_told(marked: Path, tmp_path: Path) -> None:
    with patch.object(probes, "MOST", 2), pytest.raises(StoreUnfit, match="took 2 MiB"):
        probes.fill(marked, unheard, str(tmp_path))


def test_a_name_that_is_seen_before_its_content_is_told(tmp_path: Path) -> None:
    (tmp_path / "half").write_bytes(b"x" * 10)
    with pytest.raises(StoreUnfit, match="before its content"):
        probe_files.wait_for(tmp_path / "half", b"x" * 20, unheard)


def test_a_mix_of_old_and_new_is_told(tmp_path: Path) -> None:
    (tmp_path / "mix").write_bytes(b"a" * MIB + b"b" * MIB)
    file = os.open(tmp_path / "mix", os.O_RDONLY)
    try:
        with pytest.raises(StoreUnfit, match="2 kinds"):
            probes._read_on(file, os.read(file, MIB), 2 * MIB, may_be_stale=False)
    finally:
        os.close(file)


async def test_a_write_without_a_quorum_must_not_be_acknowledged(
    path: Path, store: ImageStore, frozen_mount: Path
) -> None:
    async def outcome(path: Path) -> list[str]:
        return [point.outcome async for point in check_quorum_lost(Mount(path), patience=1)]

    await store.mark(OWNER)
    assert await outcome(path) == ["failed"]
    assert await outcome(frozen_mount) == ["ok"]
    thaw(frozen_mount)
    await until(lambda: not children())


MOUNTINFO = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:35 / /mnt/images rw shared:3 - fuse.glusterfs 10.0.0.1:/images rw
41 22 0:36 / /mnt/im rw shared:4 - tmpfs none rw
42 22 0:37 / /mnt/two\040words rw - fuse.ceph-fuse ceph-fuse rw
43 40 0:38 / /mnt/images rw - ceph 10.0.0.1:/ rw
""".strip()


@pytest.mark.parametrize(
    ("path", "kind", "point"),
    [
        ("/mnt/images/store", "ceph", "/mnt/images"),
        ("/mnt/im", "tmpfs", "/mnt/im"),
        ("/mnt/imaginary", "ext4", "/"),
        ("/mnt/two words/store", "fuse.ceph-fuse", "/mnt/two words"),
    ],
)
def test_what_a_path_is_on(path: str, kind: str, point: str) -> None:
    assert mount_of(Path(path), MOUNTINFO) == (kind, point)
