"""Partition tables are read as sfdisk reads them, grown so that sfdisk finds them right, and never believed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.partitions import SECTOR, CannotGrow, Table, Writes, grown, read_table, root_to_grow

MIB = 2**20
ESP = "C12A7328-F81F-11D2-BA4B-00C93EC93B3B"
SWAP = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"
RECOVERY = "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC"

GROWING = {
    "gpt": "label: gpt\nsize=1MiB, type=21686148-6449-6E6F-744E-656564454649\nsize=40MiB, type=linux\n",
    "gpt, root first by number": (
        f"label: gpt\n1: start=22528, size=40MiB, type=linux\n2: start=2048, size=8MiB, type={ESP}\n"
    ),
    "gpt, a small one of Linux in front": "label: gpt\nsize=8MiB, type=linux\nsize=40MiB, type=linux\n",
    "dos": "label: dos\nsize=8MiB, type=82\nsize=40MiB, type=83\n",
    "dos, from sector 63": "label: dos\nstart=63, size=81920, type=83\n",
    "dos, one logical": "label: dos\n1: size=8MiB, type=83\n2: size=50MiB, type=5\n5: size=40MiB, type=83\n",
    "dos, three logical": (
        "label: dos\n1: size=4MiB, type=83\n2: type=f\n5: size=4MiB, type=82\n"
        "6: size=4MiB, type=83\n7: size=40MiB, type=83\n"
    ),
}
STUCK = {
    "swap behind": (f"label: gpt\nsize=40MiB, type=linux\nsize=8MiB, type={SWAP}\n", "partition 2 lies behind"),
    "ESP behind": (f"label: gpt\nsize=40MiB, type=linux\nsize=8MiB, type={ESP}\n", "partition 2 lies behind"),
    "recovery behind": (f"label: gpt\nsize=40MiB, type=linux\nsize=8MiB, type={RECOVERY}\n", "partition 2 lies behind"),
    "data behind": ("label: gpt\nsize=40MiB, type=linux\nsize=8MiB, type=linux\n", "partition 2 lies behind"),
    "dos, swap behind": ("label: dos\nsize=40MiB, type=83\nsize=8MiB, type=82\n", "partition 2 lies behind"),
    "dos, swap in an extended one": (
        "label: dos\n1: size=40MiB, type=83\n2: size=16MiB, type=5\n5: size=8MiB, type=82\n",
        "partition 5 lies behind",
    ),
}


def disk(path: Path, script: str, size: int = 64 * MIB) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    command = ("sfdisk", "-q", "--no-reread", "--no-tell-kernel", str(path))
    subprocess.run(command, input=script, text=True, check=True, capture_output=True)
    return path


def table_of(content: bytes) -> Table | None:
    return read_table(lambda offset, length: content[offset : offset + length], len(content))


def as_sfdisk_reads(path: Path) -> dict[int, tuple[int, int]]:
    """By number: start and sectors."""
    told = json.loads(subprocess.check_output(("sfdisk", "--json", str(path))))["partitiontable"]["partitions"]
    number = lambda node: int(node.removeprefix(str(path)).removeprefix("p"))  # noqa: E731
    return {number(entry["node"]): (entry["start"], entry["size"]) for entry in told}


def lengthened(path: Path, size: int) -> Table:
    """The disk grown by what the module says."""
    content = path.read_bytes()
    table = table_of(content)
    assert table is not None
    root = root_to_grow(table)
    assert root is not None
    longer, writes = grown(lambda offset, length: content[offset : offset + length], table, root, size)
    os.truncate(path, size)
    apply(path, writes)
    after = read_table(lambda offset, length: _read(path, offset, length), size)
    assert after is not None
    assert longer in after.partitions
    return after


def apply(path: Path, writes: Writes) -> None:
    with path.open("r+b") as file:
        for offset, written in writes:
            file.seek(offset)
            file.write(written)


def _read(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


@pytest.mark.parametrize("script", GROWING.values(), ids=GROWING)
def test_a_table_is_read_as_sfdisk_reads_it(tmp_path: Path, script: str) -> None:
    path = disk(tmp_path / "disk", script)
    table = table_of(path.read_bytes())
    assert table is not None
    found = {one.number: (one.start, one.sectors) for one in (*table.partitions, *filter(None, [table.extended]))}
    assert found == as_sfdisk_reads(path)


@pytest.mark.parametrize("size", [65 * MIB, 1 << 30, (1 << 40) + 512])
@pytest.mark.parametrize("script", GROWING.values(), ids=GROWING)
def test_a_grown_table_is_right_and_its_root_fills_the_disk(tmp_path: Path, script: str, size: int) -> None:
    path = disk(tmp_path / "disk", script)
    before = as_sfdisk_reads(path)
    table = lengthened(path, size)
    assert table.last is not None
    assert 0 <= size - table.last.end * SECTOR <= 2 * MIB
    told = subprocess.run(("sfdisk", "--verify", str(path)), check=True, capture_output=True, text=True)
    assert "No errors detected" in told.stdout
    after = as_sfdisk_reads(path)
    assert {number: start for number, (start, _) in after.items()} == {n: start for n, (start, _) in before.items()}
    grown_ones = {number for number in after if after[number] != before[number]}
    assert grown_ones == {table.last.number, *([table.extended.number] if table.extended else [])}


@pytest.mark.skipif(shutil.which("sgdisk") is None, reason="needs gdisk")
def test_gdisk_finds_both_copies_of_a_grown_gpt(tmp_path: Path) -> None:
    path = disk(tmp_path / "disk", GROWING["gpt"])
    lengthened(path, 1 << 30)
    told = subprocess.run(("sgdisk", "-v", str(path)), check=True, capture_output=True, text=True)
    assert "No problems found" in told.stdout


@pytest.mark.parametrize(("script", "reason"), STUCK.values(), ids=STUCK)
def test_a_root_with_something_behind_it_cannot_grow(tmp_path: Path, script: str, reason: str) -> None:
    table = table_of(disk(tmp_path / "disk", script).read_bytes())
    assert table is not None
    with pytest.raises(CannotGrow, match=reason):
        root_to_grow(table)


def test_an_mbr_grows_to_where_its_numbers_end(tmp_path: Path) -> None:
    table = lengthened(disk(tmp_path / "disk", GROWING["dos"]), 3 << 40)
    assert table.last is not None
    assert table.last.end == 2**32


def test_a_disk_without_a_known_root_is_nobodys_to_grow(tmp_path: Path) -> None:
    windows = "label: gpt\nsize=40MiB, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7\nsize=8MiB, type=" + RECOVERY
    table = table_of(disk(tmp_path / "disk", windows).read_bytes())
    assert table is not None
    assert root_to_grow(table) is None


def test_a_gpt_whose_checksum_is_wrong_is_not_believed(tmp_path: Path) -> None:
    content = bytearray(disk(tmp_path / "disk", GROWING["gpt"]).read_bytes())
    content[2 * SECTOR + 40] ^= 1
    assert table_of(bytes(content)) is None


def test_a_chain_of_logical_partitions_that_bites_its_tail_ends(tmp_path: Path) -> None:
    content = bytearray(disk(tmp_path / "disk", GROWING["dos, three logical"]).read_bytes())
    table = table_of(bytes(content))
    assert table is not None
    last = max(table.chain, key=lambda link: link.start)
    content[last.at + 8 : last.at + 12] = bytes(4)  # back to the first record
    assert table_of(bytes(content)) is None


@given(st.binary(max_size=2048), st.integers(0, 3))
def test_whatever_is_written_there_is_read_or_left_alone(noise: bytes, entry: int) -> None:
    """A table of noise behind a right signature, some of it as a GPT's."""
    content = bytearray(noise.ljust(64 * SECTOR, b"\0"))
    content[510:512] = b"\x55\xaa"
    if entry:
        content[446 + 4] = 0xEE if entry == 1 else 0x05
    if entry == 3:
        content[SECTOR : SECTOR + 8] = b"EFI PART"
    table = table_of(bytes(content))
    if table is not None:
        assert all(0 < one.start < one.end <= table.sectors for one in table.partitions)
