"""Sizes: what is shown is read as the same number of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.sizes import MOST, Size, parse_size


@given(st.integers(0, MOST).map(Size))
def test_what_is_shown_is_read_as_the_same(size: Size) -> None:
    if len(str(size).split()[0]) <= 19:
        assert parse_size(str(size)) == size


@pytest.mark.parametrize(
    ("bytes", "text"),
    [(0, "0 B"), (1000, "1 kB"), (1024, "1 KiB"), (256 << 20, "256 MiB"), (20 << 40, "20 TiB"), (20 * 10**12, "20 TB")],
)
def test_a_size_is_shown_in_the_unit_that_suits_it(bytes: int, text: str) -> None:
    assert str(Size(bytes)) == text


@pytest.mark.parametrize(
    "text", ["", "5", "GiB", "1.5 GiB", "-1 GiB", "1  GiB", "1 gib", "１ GiB", "9999 PiB", "1 GiB\n"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a whole number|is too large"):
        parse_size(text)
