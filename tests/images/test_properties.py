"""What holds for every image: the claims, the cuts, and that what is accepted is to qemu-img what it is to us."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.domain.errors import ImageRefused
from infra.domain.image_source import Balance
from tests.images.good import LIMIT, SMALL, Good, make_good, patched
from tests.images.sources import Bytes, look, refusal

CLUSTER = 65536  # of the forms that are cut: bytes
WHOLE = ("qcow2-v2", "qcow2-v3", "vmdk-sparse", "vmdk-stream", "vmdk-footer", "raw-gpt")
HEADERS = {"qcow2-v2": 72, "qcow2-v3": 512, "qcow2-zstd": 112, "vmdk-sparse": 1024, "vmdk-stream": 1024}
ODD = st.sampled_from([0, 1, 2, 3, 7, 8, 9, 21, 22, 72, 104, 112, 511, 512, 513, 2**16, 2**31, 2**32 - 1])
same_good = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Good:
    return make_good(tmp_path_factory.mktemp("small"), SMALL)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "image"


NUMBERS = st.one_of(ODD, st.integers(0, 2**64 - 1))
FORMATS = st.sampled_from([">B", ">H", ">I", ">Q", "<H", "<I", "<Q"])
PACKED = st.builds(lambda format, n: struct.pack(format, n % 2 ** (8 * struct.calcsize(format))), FORMATS, NUMBERS)
PATCHES = st.lists(
    st.tuples(st.integers(0, 255), st.one_of(PACKED, st.binary(min_size=1, max_size=16))), min_size=1, max_size=2
)
"""Numbers as they stand in a header, of both orders, or anything, with the place of each in words of four bytes."""


def seen_by_qemu(path: Path, format: str) -> dict[str, Any] | None:
    """None: it refuses the image, too."""
    shown = subprocess.run(("qemu-img", "info", "-f", format, "--output=json", path), capture_output=True)
    told: dict[str, Any] | None = json.loads(shown.stdout) if shown.returncode == 0 else None
    return told


@pytest.mark.parametrize("form", HEADERS)
@given(changes=PATCHES)
@same_good
def test_what_is_accepted_is_nothing_else_to_qemu_img(
    small: Good, form: str, file: Path, changes: list[tuple[int, bytes]]
) -> None:
    image = small[form]
    for place, new in changes:
        image = patched(image, place * 4 % HEADERS[form], new)
    try:
        found = look(image)
    except ImageRefused:
        return
    file.write_bytes(image)
    told = seen_by_qemu(file, found.format)
    if told is None:
        return
    assert told["virtual-size"] == found.virtual_size
    assert not {"backing-filename", "full-backing-filename", "snapshots", "encrypted"} & told.keys()
    assert "data-file" not in told.get("format-specific", {}).get("data", {})


@pytest.mark.parametrize("form", WHOLE)
@given(part=st.floats(0, 1, exclude_max=True))
@same_good
def test_an_image_that_was_cut_off_is_refused(small: Good, form: str, part: float) -> None:
    image = small[form].rstrip(b"\0")  # zeros at the end may be room that is not used yet
    assert refusal(image[: int(len(image) * part)])


@given(st.binary(max_size=2048), st.sampled_from(["qcow2", "raw", "vmdk"]))
def test_no_small_file_is_an_image(content: bytes, claimed: Any) -> None:
    assert refusal(content)
    assert refusal(content, claimed)


@pytest.mark.parametrize("form", ["qcow2-v3", "vmdk-stream", "raw-mbr"])
@given(more=st.binary(max_size=64))
@same_good
def test_a_true_claim_changes_nothing(small: Good, form: str, more: bytes) -> None:
    image = patched(small[form], 200, more)
    claimed: Any = form.split("-")[0]
    assert refusal(image, claimed) == refusal(image)


@given(st.lists(st.integers(0, 4096)), st.integers(0, 8192))
def test_no_more_can_be_claimed_than_there_is(claims: list[int], size: int) -> None:
    balance = Balance(Bytes(bytes(size)), 0)
    granted = 0
    try:
        for claim in claims:
            balance.claim(claim)
            granted += claim
    except ImageRefused:
        assert granted + claim > size
    assert granted <= size


@given(st.integers(1, LIMIT // 512).map(lambda sectors: sectors * 512))
@settings(max_examples=30)
def test_the_limit_is_exact(limit: int) -> None:
    image = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, limit, 0, 1, CLUSTER, 2 * CLUSTER, 1, 0, 0)
    image = image.ljust(3 * CLUSTER, b"\0")
    assert refusal(image, limit=limit) == ""
    assert "at most" in refusal(image, limit=limit - 1)
