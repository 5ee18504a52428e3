"""Spans and moments: what operators write is read, what cannot be meant is refused with words that help."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from infra.domain.spans import parse_moment, parse_span

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("0s", timedelta()),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("24h", timedelta(hours=24)),
        ("36500d", timedelta(days=36_500)),
    ],
)
def test_a_span(text: str, span: timedelta) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "24 h", "24H", "1w", "²d", "36501d", "999999999d"])
def test_no_span(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_span(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90d", NOW + timedelta(days=90)),
        ("2030-01-31", datetime(2030, 1, 31, tzinfo=UTC)),
        ("2030-01-31T12:00:00", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31T12:00:00+02:00", datetime(2030, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_moment(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tomorrow", "as in 90d or 2030-01-31"),
        ("2030-02-30", "as in 90d or 2030-01-31"),
        ("", "as in 90d or 2030-01-31"),
        ("0d", "in the future"),
        ("2026-11-29", "in the future"),
        ("0001-01-01T00:00:00+14:00", "in the future"),
        ("9999-12-31T23:59:59-12:00", "at most 36500d"),
        ("99999d", "at most 36500d"),
    ],
)
def test_no_moment(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_moment(text, NOW)
