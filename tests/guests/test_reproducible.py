"""A guest is built twice, from the same packages, and comes out the same: byte by byte."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from infra.guests.build import GuestImage, ensure_image
from tests.fix_netns import outside


def test_same_packages_give_the_same_bytes(tmp_path: Path) -> None:
    builds: list[GuestImage] = []

    def build(cache: str) -> GuestImage:
        return ensure_image("tiny", tmp_path / cache)

    def both() -> None:
        with ThreadPoolExecutor(2) as threads:
            builds.extend(threads.map(build, ("one", "other")))

    outside(partial(both))
    one, other = builds
    assert one.directory != other.directory
    for name in ("disk.raw", "vmlinux", "initrd", "cmdline"):
        assert (one.directory / name).read_bytes() == (other.directory / name).read_bytes(), name
    assert one.digest == other.digest
