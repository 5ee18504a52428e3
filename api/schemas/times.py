"""Times on the wire: RFC 3339 in UTC, to the second, with an offset."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def timestamp_or_none(moment: datetime | None) -> str | None:
    return timestamp(moment) if moment else None
