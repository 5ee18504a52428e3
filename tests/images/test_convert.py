"""A conversion leaves a whole disk or nothing, says how far it is, and never goes on for ever."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.domain.errors import ImageRefused, Unavailable
from infra.domain.image_header import Identified, identify
from infra.drivers import convert
from infra.drivers.convert import ConversionFailed, convert_to_raw
from infra.drivers.image_file import opened
from infra.drivers.protocols import Progress
from tests.images.good import LIMIT, MIB, SIZE, Good, patched, qemu_img
from tests.images.sources import look

GIB = 2**30


def converted(
    source: Path, identified: Identified, target: Path, progress: Progress = lambda done: None, patience: float = 60
) -> None:
    asyncio.run(convert_to_raw(source, identified, target, progress, patience))


def identified(path: Path) -> Identified:
    with opened(path) as source:
        return identify(source, 64 * GIB)


@pytest.fixture
def source(good: Good, tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(good["qcow2-v3"])
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "disk.raw"


@pytest.mark.parametrize("form", ["qcow2-zstd", "vmdk-stream", "raw-gpt"])
def test_the_last_progress_is_the_whole_disk(good: Good, form: str, source: Path, target: Path) -> None:
    source.write_bytes(good[form])
    told: list[int] = []
    converted(source, look(good[form]), target, told.append)
    assert told == sorted(told)
    assert told[-1] == SIZE


@pytest.mark.parametrize("form", ["qcow2-v3", "vmdk-sparse", "raw-gpt"])
def test_zeros_take_no_room(good: Good, form: str, source: Path, target: Path) -> None:
    source.write_bytes(good[form])
    converted(source, look(good[form]), target)
    assert target.stat().st_blocks * 512 < 2 * MIB


def test_what_was_left_at_the_target_is_replaced(good: Good, source: Path, target: Path) -> None:
    target.write_bytes(b"x" * 2 * SIZE)
    converted(source, look(good["qcow2-v3"]), target)
    assert target.read_bytes() == good.disk("qcow2-v3")


def test_a_link_at_the_target_is_replaced_and_not_followed(good: Good, source: Path, target: Path) -> None:
    other = target.with_name("other")
    other.write_text("mine")
    target.symlink_to(other)
    converted(source, look(good["qcow2-v3"]), target)
    assert other.read_text() == "mine"
    assert not target.is_symlink()


def test_the_disk_belongs_to_who_made_it(good: Good, source: Path, target: Path) -> None:
    converted(source, look(good["qcow2-v3"]), target)
    assert (target.stat().st_uid, target.stat().st_mode & 0o777) == (os.getuid(), 0o600)


def test_a_disk_of_another_size_than_told_is_refused(good: Good, source: Path, target: Path) -> None:
    with pytest.raises(ImageRefused):
        converted(source, Identified("qcow2", "v3", SIZE + 512), target)
    assert not target.exists()


def test_a_disk_larger_than_told_is_not_written(good: Good, source: Path, target: Path) -> None:
    with pytest.raises(ImageRefused, match="could not be read"):
        converted(source, Identified("qcow2", "v3", SIZE - 512), target)
    assert not target.exists()


def test_the_log_is_told_what_the_user_is_not(source: Path, target: Path) -> None:
    source.write_bytes(b"nothing of the kind")
    with pytest.raises(ImageRefused) as refused:
        converted(source, Identified("qcow2", "v3", SIZE), target)
    assert isinstance(refused.value.__cause__, ConversionFailed)
    assert "qemu" not in refused.value.message
    assert "not in qcow2 format" in str(refused.value.__cause__)


def test_a_machine_that_cannot_confine_blames_no_image(
    good: Good, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "QEMU_IMG", Path("/usr/bin/no-such-tool"))
    with pytest.raises(Unavailable):
        converted(source, look(good["qcow2-v3"]), target)
    assert not target.exists()


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (lambda good: b"QFI\xfb" + good["raw-gpt"][4:], "begins like a qcow2 image"),
        (lambda good: good["qcow2-v3"], "was said to be raw"),
        (lambda good: b"# Disk DescriptorFile\nversion=1\n".ljust(SIZE, b"\0"), "descriptor"),
        (lambda good: bytes(SIZE), "no partition table"),
        (lambda good: patched(bytes(SIZE), MIB, b"a file system and nothing else"), "no partition table"),
    ],
    ids=["its disk begins like a qcow2", "nested", "descriptor", "zeros", "no table"],
)
@pytest.mark.parametrize("format", ["qcow2", "vmdk"])
def test_the_disk_inside_is_looked_at_as_well(
    good: Good, inside: object, words: str, format: str, source: Path, target: Path
) -> None:
    disk = target.with_name("inside.raw")
    assert callable(inside)
    disk.write_bytes(inside(good))
    qemu_img("convert", "-f", "raw", "-O", format, disk, source)
    with pytest.raises(ImageRefused, match=words):
        converted(source, look(source.read_bytes()), target)
    assert not target.exists()


@pytest.fixture
def small_room(tmp_path: Path) -> Iterator[Path]:
    if os.getuid() != 0:
        pytest.skip("a file system of its own takes root")
    room = tmp_path / "room"
    room.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=300k,mode=0700", "none", room), check=True)
    yield room
    subprocess.run(("umount", room), check=True)


@pytest.mark.parametrize("form", ["qcow2-v3", "vmdk-stream", "raw-gpt"])
def test_a_full_disk_is_told_from_a_bad_image(good: Good, form: str, source: Path, small_room: Path) -> None:
    source.write_bytes(good[form])
    with pytest.raises(OSError, match="No space left") as full:
        converted(source, look(good[form]), small_room / "disk.raw")
    assert full.value.errno == errno.ENOSPC
    assert list(small_room.iterdir()) == []


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A qcow2 of 40 GiB, of which a part is data."""
    raw, image = tmp_path / "large.raw", tmp_path / "large.qcow2"
    with raw.open("wb") as file:
        file.truncate(40 * GIB)
    subprocess.run(
        ("sfdisk", "--quiet", raw), input="label: gpt\nstart=2048, type=L\n", text=True, check=True, capture_output=True
    )
    with raw.open("r+b") as file:
        for place in range(MIB, 40 * GIB, 1200 * MIB):
            file.seek(place)
            file.write(b"data" * 65536)
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, image)
    return image


def test_a_large_disk_fits_into_the_bounds(large: Path, target: Path) -> None:
    converted(large, identified(large), target)
    assert (target.stat().st_size, target.stat().st_blocks * 512 < 32 * MIB) == (40 * GIB, True)


@pytest.mark.parametrize("form", ["large.qcow2", "large.raw"])
def test_one_that_does_not_go_on_is_given_up_for_now(
    large: Path, form: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "BREATH", 0.01)
    with pytest.raises(Unavailable, match="takes too long"):
        converted(large.with_name(form), identified(large.with_name(form)), target, patience=0)
    assert not target.exists()


@pytest.mark.parametrize("form", ["large.qcow2", "large.raw"])
def test_one_that_is_cancelled_leaves_nothing(
    large: Path, form: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "BREATH", 0.01)

    async def cancel() -> None:
        begun = asyncio.Event()
        source, found = large.with_name(form), identified(large.with_name(form))
        working = asyncio.create_task(convert_to_raw(source, found, target, lambda done: begun.set(), 60))
        await begun.wait()
        working.cancel()
        await working

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
    assert not target.exists()


def test_a_source_that_is_a_link_is_not_followed(good: Good, source: Path, target: Path) -> None:
    source.unlink()
    source.symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="symbolic links"):
        converted(source, Identified("raw", "gpt", LIMIT), target)
