"""An image as one stream: the same bytes for the same files, whoever reads it, and nothing else is taken for one."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.drivers.store.errors import ImageDamaged
from infra.drivers.store.pack import FILES, GRAIN, pack, unpack
from infra.drivers.store.tar_headers import BLOCK, END, header, sparse_member
from tests.store.disks import MIB, sparse_disk

NO_RUNS = b"1\n0\n0\n".ljust(BLOCK, b"\0")


def unheard(_: int) -> None:
    return None


def packed(directory: Path) -> bytes:
    out = io.BytesIO()
    pack(directory, out, unheard)
    return out.getvalue()


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_files_come_back_with_their_holes(source: Path, tmp_path: Path) -> None:
    (into := tmp_path / "into").mkdir()
    unpack(io.BytesIO(packed(source)), into, unheard)
    assert contents(into) == contents(source)
    assert (into / "disk.raw").stat().st_blocks * 512 < 3 * MIB


def test_equal_files_are_equal_streams_however_they_lie_on_the_disk(source: Path, tmp_path: Path) -> None:
    (copy := tmp_path / "copy").mkdir()
    for name in FILES:
        subprocess.run(("cp", "--sparse=never", str(source / name), str(copy / name)), check=True)
    (copy / "image.json").write_text("what is not of the image")
    (copy / "vmlinux").chmod(0o600)
    assert packed(copy) == packed(source)


def test_other_tools_read_it(source: Path, tmp_path: Path) -> None:
    (into := tmp_path / "into").mkdir()
    subprocess.run(("tar", "-x", "-C", str(into)), input=packed(source), check=True)
    assert contents(into) == contents(source)
    with tarfile.open(fileobj=io.BytesIO(packed(source))) as tar:
        assert tar.getnames() == list(FILES)
        disk = tar.extractfile("disk.raw")
        assert disk is not None
        assert disk.read() == (source / "disk.raw").read_bytes()


@given(grains=st.lists(st.integers(0, 3)), tail=st.integers(0, GRAIN))
def test_any_disk_comes_back(tmp_path_factory: pytest.TempPathFactory, grains: list[int], tail: int) -> None:
    """Grains of zeros in half of the cases; the last one is not whole."""
    scratch = tmp_path_factory.mktemp("disk")
    (scratch / "built").mkdir()
    (into := scratch / "into").mkdir()
    content = b"".join(bytes([max(0, grain - 1)]) * GRAIN for grain in grains) + b"x" * tail
    (scratch / "built/disk.raw").write_bytes(content)
    stream = packed(scratch / "built")
    unpack(io.BytesIO(stream), into, unheard)
    assert (into / "disk.raw").read_bytes() == content
    assert len(stream) < (content.count(b"\1") + content.count(b"\2") + tail) + 16 * BLOCK
    shutil.rmtree(scratch)


def test_a_disk_longer_than_the_octal_field_holds(tmp_path: Path) -> None:
    """1 TiB of holes; the length of what is stored has a record where it needs one."""
    (tmp_path / "built").mkdir()
    sparse_disk(tmp_path / "built/disk.raw", 2**40, [(2**40 - 10, 10)])
    (into := tmp_path / "into").mkdir()
    unpack(io.BytesIO(packed(tmp_path / "built")), into, unheard)
    assert (into / "disk.raw").stat().st_size == 2**40
    assert b"size=9000000000\n" in sparse_member("disk.raw", 2**40, 9_000_000_000)


def disk_member(size: int = MIB, stored: int = BLOCK, layout: bytes = NO_RUNS) -> bytes:
    return sparse_member("disk.raw", size, stored) + layout


HOLES = disk_member(layout=b"1\n1048576\n0\n".ljust(BLOCK, b"\0"))
"""A whole image: a disk of nothing but holes."""


def test_the_smallest_image_is_one(tmp_path: Path) -> None:
    unpack(io.BytesIO(HOLES + END), tmp_path, unheard)
    assert (tmp_path / "disk.raw").stat().st_size == MIB


def link_to_passwd() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        link = tarfile.TarInfo("vmlinux")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return out.getvalue()[:BLOCK]


FOREIGN: dict[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(10 * BLOCK),
    "no disk": header("vmlinux", 0) + END,
    "a name that leads out": HOLES + header("../outside", 0) + END,
    "an absolute name": HOLES + header("/tmp/outside", 0) + END,
    "a name that is none of an image": HOLES + header("image.json", 0) + END,
    "a kernel twice": HOLES + header("vmlinux", 0) * 2 + END,
    "another order": HOLES + header("cmdline", 0) + header("vmlinux", 0) + END,
    "a second disk": HOLES + header("disk.raw", 0) + END,
    "a link": HOLES + link_to_passwd() + END,
    "a directory": HOLES + header("vmlinux", 0, b"5") + END,
    "something after its end": HOLES + END + b"x",
    "half an end": HOLES + END[:BLOCK],
    "a disk beyond every file system": disk_member(2**70, layout=b"1\n%d\n0\n".ljust(BLOCK + 2, b"\0") % 2**70) + END,
    "a map without an end": disk_member(layout=b"9999999\n".ljust(BLOCK, b"1")) + END,
    "a map of a run behind the disk": disk_member(layout=b"1\n1048577\n0\n".ljust(BLOCK, b"\0")) + END,
    "a map that overlaps": disk_member(stored=BLOCK + 20, layout=b"2\n0\n10\n5\n10\n".ljust(BLOCK, b"\0")) + END,
    "a map of negative runs": disk_member(layout=b"2\n-5\n5\n1048576\n0\n".ljust(BLOCK, b"\0")) + END,
    "records that are none": header("PaxHeaders/disk.raw", 5, b"x")
    + b"hello".ljust(BLOCK, b"\0")
    + header("x", 0)
    + END,
    "records without an end": header("PaxHeaders/disk.raw", 2**30, b"x") + bytes(BLOCK),
}


@pytest.mark.parametrize("stream", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_is_no_image_of_ours_is_refused(stream: bytes, tmp_path: Path) -> None:
    (into := tmp_path / "into").mkdir()
    with pytest.raises(ImageDamaged):
        unpack(io.BytesIO(stream), into, unheard)
    assert {path.name for path in tmp_path.rglob("*")} <= {"into", *FILES}


@given(st.data())
def test_a_flipped_bit_is_seen_by_the_reader_or_by_the_hash(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The reader itself may overlook one in the content; it never does anything else than refuse it."""
    stream = bytearray(HOLES + header("cmdline", 5) + b"quiet".ljust(BLOCK, b"\0") + END)
    stream[data.draw(st.integers(0, len(stream) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    into = tmp_path_factory.mktemp("into")
    try:
        unpack(io.BytesIO(bytes(stream)), into, unheard)
    except ImageDamaged:
        pass
    else:
        assert (into / "cmdline").read_bytes() != b"quiet"
    shutil.rmtree(into)


def test_a_name_that_is_taken_is_not_replaced(source: Path, tmp_path: Path) -> None:
    (into := tmp_path / "into").mkdir()
    (into / "disk.raw").write_text("another's")
    with pytest.raises(FileExistsError):
        unpack(io.BytesIO(packed(source)), into, unheard)
    assert (into / "disk.raw").read_text() == "another's"


def cut(stream: bytes) -> list[bytes]:
    return [stream[:at] for at in (1, BLOCK, 3 * BLOCK, len(stream) // 2, len(stream) - BLOCK, len(stream) - 1)]


def test_one_that_was_cut_off_anywhere_is_refused(source: Path, tmp_path: Path) -> None:
    for number, stream in enumerate(cut(packed(source))):
        (into := tmp_path / str(number)).mkdir()
        with pytest.raises(ImageDamaged):
            unpack(io.BytesIO(stream), into, unheard)


def test_progress_is_told_in_the_bytes_of_the_stream(source: Path, tmp_path: Path) -> None:
    written, read = list[int](), list[int]()
    out = io.BytesIO()
    pack(source, out, written.append)
    (into := tmp_path / "into").mkdir()
    unpack(io.BytesIO(out.getvalue()), into, read.append)
    assert written[-1] == read[-1] == len(out.getvalue())
    assert written == sorted(written)


def test_the_name_covers_the_kernel_too(source: Path) -> None:
    def digest() -> str:
        return hashlib.sha256(packed(source)).hexdigest()

    before = digest()
    (source / "cmdline").write_text("quiet init=/bin/sh\n")
    assert digest() != before
