"""A server's disk on real XFS: cloned, grown, finished or not there, whatever happens on the way."""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from infra.domain.errors import HostFull, ImageUnusable
from infra.drivers import disks as disks_module
from infra.drivers.disks import ClonedDisks
from infra.drivers.grow import grow as grow_it
from infra.drivers.layout import GIB, HostLayout
from infra.drivers.tools import UIDS, ToolFailed, run_tool
from infra.drivers.xfs import HostStorage
from tests.host.fix_storage import (
    GPT,
    MBR,
    MIB,
    SECTOR,
    StoredImage,
    last_partition,
    raw_disk,
    storage_of,
    store_image,
    taken_out,
)

SERVER = 5
UNALIGNED = "label: dos\nstart=63, type=83\n"
LOGICAL = "label: dos\n1: size=8MiB, type=82\n2: type=5\n5: type=83\n"
SWAP_BEHIND = "label: gpt\nsize=40MiB, type=linux\nsize=8MiB, type=swap\n"
QCOW2 = struct.Struct(">4sIQIIQIIQQIIQ")


def examine(disk: Path) -> tuple[int, str]:
    """The size of the disk's file system in bytes, and what its file says; after both tables and it were checked."""
    subprocess.run(("sfdisk", "--verify", str(disk)), check=True, capture_output=True)
    last = last_partition(disk)
    assert last is not None
    assert disk.stat().st_size - last.end * SECTOR <= 2 * MIB
    alone = taken_out(disk)
    subprocess.run(("e2fsck", "-f", "-n", str(alone)), check=True, capture_output=True)
    told = subprocess.check_output(("dumpe2fs", "-h", str(alone)), text=True, stderr=subprocess.DEVNULL)
    said = subprocess.check_output(("debugfs", "-R", "cat /hello", str(alone)), text=True, stderr=subprocess.DEVNULL)
    alone.unlink()
    facts = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    return int(facts["Block count"]) * int(facts["Block size"]), said


@pytest.mark.parametrize("table", [GPT, MBR, UNALIGNED, LOGICAL], ids=["gpt", "mbr", "unaligned", "logical"])
@pytest.mark.parametrize("size", [1, 20])
async def test_a_disk_is_its_image_with_more_room(layout: HostLayout, tmp_path: Path, table: str, size: int) -> None:
    stored = store_image(layout, raw_disk(tmp_path / "image.raw", table))
    await ClonedDisks(layout).create(SERVER, stored.image, size)
    disk = layout.disk(SERVER)
    assert disk.stat().st_size == size * GIB
    room, said = examine(disk)
    assert room > size * GIB - 16 * MIB
    assert said == "world\n"
    assert disk.stat().st_blocks * 512 < 16 * MIB + size * 2 * MIB


async def test_a_finished_disk_is_left_alone(stored: StoredImage) -> None:
    disks = ClonedDisks(stored.layout)
    await disks.create(SERVER, stored.image, 1)
    with stored.layout.disk(SERVER).open("r+b") as disk:
        disk.write(b"the guest was here")
    await disks.create(SERVER, stored.image, 1)
    assert beginning(stored.layout.disk(SERVER), 18) == b"the guest was here"


async def test_what_a_guest_writes_reaches_no_other(stored: StoredImage) -> None:
    disks = ClonedDisks(stored.layout)
    await asyncio.gather(*(disks.create(server, stored.image, 1) for server in (1, 2)))
    with stored.layout.disk(1).open("r+b") as disk:
        disk.write(b"the guest was here")
    await disks.create(3, stored.image, 1)
    assert examine(stored.layout.disk(2)) == examine(stored.layout.disk(3))
    assert b"guest" not in beginning(stored.disk, 20) + beginning(stored.layout.disk(2), 20)


async def test_an_image_is_grown_once_to_each_size(stored: StoredImage) -> None:
    disks = ClonedDisks(stored.layout)
    with patch.object(disks_module, "grow", side_effect=grow_it) as growing:
        await asyncio.gather(*(disks.create(server, stored.image, 1 + server % 2) for server in range(1, 11)))
        await disks.create(11, stored.image, 1)
    assert growing.call_count == 2
    assert await disks.held() == set(range(1, 12))


async def test_a_disk_smaller_than_its_image_is_refused(layout: HostLayout, tmp_path: Path) -> None:
    stored = store_image(layout, raw_disk(tmp_path / "image.raw", GPT, size=1100 * MIB))
    with pytest.raises(ImageUnusable, match="does not fit"):
        await ClonedDisks(layout).create(SERVER, stored.image, 1)
    assert _left(layout) == []


@pytest.mark.parametrize("table", [None, GPT], ids=["no partitions", "no ext4"])
async def test_what_is_not_known_is_left_to_the_guest(layout: HostLayout, tmp_path: Path, table: str | None) -> None:
    raw = raw_disk(tmp_path / "image.raw", table, None)
    before = raw.read_bytes()
    stored = store_image(layout, raw)
    await ClonedDisks(layout).create(SERVER, stored.image, 1)
    assert beginning(layout.disk(SERVER), len(before)) == before
    assert layout.disk(SERVER).stat().st_size == GIB


async def test_an_image_whose_root_is_not_last_fits_only_on_its_own_size(layout: HostLayout, tmp_path: Path) -> None:
    small = raw_disk(tmp_path / "small.raw", SWAP_BEHIND, None)
    with pytest.raises(ImageUnusable, match=r"cannot be enlarged to 1 GB: partition 2 lies behind its root"):
        await ClonedDisks(layout).create(SERVER, store_image(layout, small).image, 1)
    assert _left(layout) == []
    exact = raw_disk(tmp_path / "exact.raw", SWAP_BEHIND, None, size=GIB)
    await ClonedDisks(layout).create(SERVER, store_image(layout, exact).image, 1)
    assert beginning(layout.disk(SERVER), MIB) == beginning(exact, MIB)


async def test_a_file_system_without_a_table_is_grown(layout: HostLayout, tmp_path: Path) -> None:
    raw = raw_disk(tmp_path / "image.raw", None, None)
    await asyncio.to_thread(subprocess.run, ("mkfs.ext4", "-q", "-b", "4096", str(raw)), check=True)
    await ClonedDisks(layout).create(SERVER, store_image(layout, raw).image, 1)
    show = ("dumpe2fs", "-h", str(layout.disk(SERVER)))
    told = await asyncio.to_thread(subprocess.run, show, check=True, text=True, capture_output=True)
    assert f"Block count:              {GIB // 4096}\n" in told.stdout


async def test_a_qcow2_header_that_a_guest_wrote_is_bytes_like_any_other(layout: HostLayout, tmp_path: Path) -> None:
    """It names a file of the host as its data; nothing on the way takes the raw disk for anything but raw."""
    secret = tmp_path / "secret"
    secret.write_text("the host's own")
    raw = raw_disk(tmp_path / "image.raw", GPT)
    name = os.fsencode(secret)
    header = QCOW2.pack(b"QFI\xfb", 3, 112, len(name), 16, 64 * GIB, 0, 1, 0x30000, 0x10000, 1, 0, 0)
    header += struct.pack(">QQQII", 4, 0, 0, 4, 104)  # incompatible feature: external data file
    with raw.open("r+b") as file:
        file.write(header.ljust(112, b"\0") + name)
    before = beginning(raw, 440)
    await ClonedDisks(layout).create(SERVER, store_image(layout, raw).image, 1)
    disk = layout.disk(SERVER)
    assert beginning(disk, 440) == before
    room, said = examine(disk)
    assert room > GIB - 8 * MIB
    assert said == "world\n"
    assert layout.disk(SERVER).stat().st_size == GIB
    assert b"the host's own" not in disk.read_bytes()


def test_the_tools_that_read_a_guests_bytes_are_nobody_on_this_host(tmp_path: Path, private_network: None) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"a guest's")
    script = "id -u; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; grep -c : /proc/net/dev; cat $0; exit 9"
    with pytest.raises(ToolFailed) as told:
        run_tool("sh", "-c", script, on=file)
    said = str(told.value).partition(" ended with 9: ")[2].split()
    none = "0" * 16
    assert int(said.pop(0)) in UIDS
    assert said == ["CapEff:", none, "CapBnd:", none, "NoNewPrivs:", "1", "1", "a", "guest's"]
    assert file.stat().st_uid == os.getuid()


def test_a_tool_that_finds_no_end_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ToolFailed, match=r"was not done after 0\.3 s"):
        run_tool("sh", "-c", "exec sleep 60", on=tmp_path / "file", patience=0.3)


async def test_a_file_system_beyond_repair_is_the_images_fault(layout: HostLayout, tmp_path: Path) -> None:
    raw = raw_disk(tmp_path / "image.raw", GPT)
    last = last_partition(raw)
    assert last is not None
    with raw.open("r+b") as file:
        file.seek(last.start * SECTOR + 1024)
        file.write(os.urandom(56))  # the superblock up to its magic number
        file.seek(last.start * SECTOR + 1082)
        file.write(os.urandom(900))
        file.seek(last.start * SECTOR + 4096)
        file.write(os.urandom(8 * MIB))
    stored = store_image(layout, raw)
    with pytest.raises(ImageUnusable, match="cannot be enlarged"):
        await ClonedDisks(layout).create(SERVER, stored.image, 1)
    assert _left(layout) == []


@pytest.mark.parametrize("at", ["clone of the image", "growing", "clone for the server"])
async def test_killed_on_the_way_leaves_nothing_that_looks_finished(stored: StoredImage, at: str) -> None:
    program = f"""
import asyncio, os, signal, sys
from pathlib import Path
from infra.domain.models import Image
from infra.drivers import disks, grow
from infra.drivers.layout import GIB, HostLayout
from infra.drivers.tools import UIDS, ToolFailed, run_tool
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
at = {at!r}
if at == "clone of the image": disks.grow = die
if at == "growing":
    run = grow.run_tool
    grow.run_tool = lambda *argv, **more: die() if argv[0] == "resize2fs" else run(*argv, **more)
if at == "clone for the server":
    rename = Path.rename
    Path.rename = lambda path, target: die() if target.parent.name == "disks" else rename(path, target)
layout = HostLayout(Path({str(stored.layout.root)!r}), Path({str(stored.layout.run)!r}))
asyncio.run(disks.ClonedDisks(layout).create({SERVER}, {stored.image!r}, 1))
"""
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await killed.wait() == -9
    assert not stored.layout.disk(SERVER).exists()
    disks = ClonedDisks(stored.layout)
    assert await disks.held() == ({SERVER} if at == "clone for the server" else set())
    await disks.create(SERVER, stored.image, 1)
    assert examine(stored.layout.disk(SERVER))[1] == "world\n"


async def test_what_a_killed_predecessor_was_making_is_dropped_at_the_start(stored: StoredImage) -> None:
    unfinished = stored.layout.unfinished(stored.layout.disk(SERVER))
    unfinished.write_bytes(b"half")
    disks = ClonedDisks(stored.layout)
    assert await disks.held() == {SERVER}
    await disks.remove(SERVER)
    assert await disks.held() == set()
    unfinished.write_bytes(b"half")
    stored.layout.prepare()
    assert await disks.held() == set()


async def test_remove_never_overtakes_a_create_that_was_given_up(stored: StoredImage) -> None:
    disks = ClonedDisks(stored.layout)
    for pause in (0, 0.005, 0.05, 0.1):
        creating = asyncio.create_task(disks.create(SERVER, stored.image, 1))
        await asyncio.sleep(pause)
        creating.cancel()
        await disks.remove(SERVER)
        assert await disks.held() == set()
        await asyncio.gather(creating, return_exceptions=True)
        assert await disks.held() == set()


async def test_remove_is_repeatable(stored: StoredImage) -> None:
    disks = ClonedDisks(stored.layout)
    await disks.create(SERVER, stored.image, 1)
    await asyncio.gather(disks.remove(SERVER), disks.remove(SERVER))
    await disks.remove(SERVER)
    assert await disks.held() == set()


@pytest.fixture
def tight(private_network: None, tmp_path: Path) -> Iterator[HostStorage]:
    yield from storage_of(tmp_path, 2)


async def test_no_room_is_told_and_leaves_nothing(tight: HostStorage, tmp_path: Path) -> None:
    layout = HostLayout(tight.directory, tmp_path)
    layout.prepare()
    stored = store_image(layout, raw_disk(tmp_path / "image.raw", GPT))
    fill(tight.directory / "full")
    with pytest.raises(HostFull, match="room"):
        await ClonedDisks(layout).create(SERVER, stored.image, 1)
    assert _left(layout) == []
    (tight.directory / "full").unlink()
    await ClonedDisks(layout).create(SERVER, stored.image, 1)
    assert examine(layout.disk(SERVER))[1] == "world\n"


def fill(path: Path) -> None:
    """Take all the room there is, down to the last block."""
    with path.open("wb") as file:
        size, step = 0, GIB
        while step >= 4096:
            try:
                os.posix_fallocate(file.fileno(), size, step)
                size += step
            except OSError:
                step //= 2


def beginning(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def _left(layout: HostLayout) -> list[Path]:
    return [*layout.tmp.iterdir(), *(layout.root / "grown").iterdir(), *(layout.root / "disks").iterdir()]
