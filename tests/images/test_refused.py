"""What is not plainly one whole image of a known kind is refused, with a word that says why."""

from __future__ import annotations

import tracemalloc

import pytest

from infra.domain.errors import ImageRefused
from infra.domain.image_header import Format, identify
from tests.images import bad_qcow2, bad_raw, bad_vmdk
from tests.images.bad_qcow2 import Made
from tests.images.good import LIMIT, Good, patched
from tests.images.sources import Bytes, look, refusal

ALL = {
    **{f"qcow2: {name}": bad for name, bad in bad_qcow2.BAD.items()},
    **{f"vmdk: {name}": bad for name, bad in bad_vmdk.BAD.items()},
    **{f"raw: {name}": bad for name, bad in bad_raw.BAD.items()},
}
FORMATS: tuple[Format, ...] = ("qcow2", "raw", "vmdk")


@pytest.mark.parametrize(("make", "words"), ALL.values(), ids=ALL.keys())
def test_a_bad_image_is_refused_with_its_reason(good: Good, make: Made, words: str) -> None:
    assert words in refusal(make(good))


@pytest.mark.parametrize("make", [make for make, _ in ALL.values()], ids=ALL.keys())
def test_no_claim_makes_a_bad_image_acceptable(good: Good, make: Made) -> None:
    content = make(good)
    assert all(refusal(content, claimed) for claimed in FORMATS)


@pytest.mark.parametrize("make", [make for make, _ in ALL.values()], ids=ALL.keys())
def test_a_bad_image_takes_little_memory_to_refuse(good: Good, make: Made) -> None:
    content = make(good)
    source = Bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ImageRefused):
            identify(source, LIMIT)
        identified = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert identified < 8 * 2**20
    assert 0 < source.largest <= 2**20


@pytest.mark.parametrize("form", ["qcow2-v3", "vmdk-stream", "raw-gpt", "raw-mbr"])
def test_a_wrong_claim_is_refused(good: Good, form: str) -> None:
    real = form.split("-")[0]
    for claimed in FORMATS:
        assert bool(refusal(good[form], claimed)) == (claimed != real)


def test_a_wrong_claim_is_told_before_what_is_inside(good: Good) -> None:
    broken = patched(good["qcow2-v3"], 72, b"\xff" * 8)
    assert refusal(broken, "raw") == "the file begins like a qcow2 image; it was said to be raw"


def test_one_table_named_many_times_is_refused_under_a_high_limit(good: Good) -> None:
    """A file of some hundred KiB that would become a terabyte."""
    bomb = bad_qcow2.shared_tables(good)
    assert "more data than the file can hold" in refusal(bomb, limit=2**50)


def test_a_message_names_no_class_and_no_machinery(good: Good) -> None:
    for make, _ in ALL.values():
        message = refusal(make(good))
        assert not any(word in message for word in ("Error", "struct", "None", "Traceback", "activity", "workflow"))


def test_errors_of_the_source_pass_through() -> None:
    class Broken:
        size = 10**6

        def read(self, offset: int, length: int) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        identify(Broken(), 2**30)


def test_the_limit_itself_is_accepted(good: Good) -> None:
    assert look(good["qcow2-v3"], limit=len(good["raw-gpt"])).virtual_size == len(good["raw-gpt"])
