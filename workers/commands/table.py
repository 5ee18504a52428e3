"""Tables of plain text, as the commands print them: the same on every terminal and in every pipe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their widest cell, two spaces between."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def minute(moment: datetime | None) -> str:
    """In UTC, to the minute."""
    return "-" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
