"""Fixtures of the store's suite: an image as a builder leaves it, and a store on mounts of every temper."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.drivers.store.mount import ImageStore
from tests.store.disks import MIB, sparse_disk

BUSY = 10.0
"""Seconds in which whoever hung at a mount is gone once it has thawed."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A disk of 8 MiB with 2 MiB of data, and a kernel."""
    directory = tmp_path / "built"
    directory.mkdir()
    sparse_disk(directory / "disk.raw", 8 * MIB, [(0, 100), (2 * MIB, MIB), (5 * MIB + 4096, MIB - 4096)])
    (directory / "vmlinux").write_bytes(os.urandom(70_000))
    (directory / "initrd").write_bytes(os.urandom(513))
    (directory / "cmdline").write_text("quiet\n")
    return directory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(path: Path) -> ImageStore:
    return ImageStore(path, patience=20, settle=0)


@pytest.fixture
def tiny_mount(private_network: None, tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 2 MiB."""
    yield from _mounted(tmp_path / "tiny", "-t", "tmpfs", "-o", "size=2m", "none")


@pytest.fixture
def frozen_mount(private_network: None, tmp_path: Path) -> Iterator[Path]:
    """A file system that can be read; who writes to it hangs, and cannot be killed, until it thaws."""
    backing = tmp_path / "backing"
    with backing.open("wb") as file:
        file.truncate(32 * MIB)
    subprocess.run(("mkfs.ext4", "-q", "-O", "^has_journal", str(backing)), check=True)
    for mount in _mounted(tmp_path / "frozen", "-o", "loop,noatime", str(backing)):
        subprocess.run(("fsfreeze", "--freeze", str(mount)), check=True)
        yield mount
        subprocess.run(("fsfreeze", "--unfreeze", str(mount)), check=False, capture_output=True)


def _mounted(at: Path, *options: str) -> Iterator[Path]:
    at.mkdir()
    subprocess.run(("mount", *options, str(at)), check=True)
    yield at
    until = time.monotonic() + BUSY
    while subprocess.run(("umount", str(at)), check=False, capture_output=True).returncode:
        assert time.monotonic() < until, f"{at} stays busy"
        time.sleep(0.05)
