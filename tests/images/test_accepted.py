"""Every good image is accepted for what it is, and becomes the disk that it was made of, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.domain.image_header import identify
from infra.drivers.convert import convert_to_raw
from tests.images.good import FORMS, LIMIT, SIZE, VARIANTS, Good
from tests.images.sources import Bytes, look

ALL = (*FORMS, "vmdk-footer", "raw-gpt", "raw-mbr")


@pytest.mark.parametrize("name", ALL)
def test_a_good_image_is_what_it_is(good: Good, name: str) -> None:
    found = look(good[name])
    format, rest = name.split("-", 1)
    usual = {"qcow2": "v3", "vmdk": "monolithicSparse", "raw": rest}
    assert (found.format, found.variant, found.virtual_size) == (format, VARIANTS.get(name, usual[format]), SIZE)


@pytest.mark.parametrize("name", ALL)
async def test_a_good_image_becomes_its_disk(good: Good, name: str, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "disk.raw"
    source.write_bytes(good[name])
    await convert_to_raw(source, look(good[name]), target, lambda done: None, 60)
    assert target.read_bytes() == good.disk(name)


@pytest.mark.parametrize("name", ALL)
def test_little_of_a_good_image_is_read(good: Good, name: str) -> None:
    source = Bytes(good[name])
    identify(source, LIMIT)
    assert source.largest <= 2**20
    assert source.total < max(len(good[name]) // 2, 2**20)
