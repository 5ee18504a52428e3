"""Spans of time as people write them: "90d", "24h"; and moments, as a span from now or as an ISO date."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SPAN = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
LONGEST = timedelta(days=36_500)


def parse_span(text: str) -> timedelta:
    """ValueError: it is none, or longer than a hundred years."""
    found = SPAN.fullmatch(text)
    if found is None:
        raise ValueError("must be a whole number and one of s, m, h, d, as in 24h or 90d")
    span = timedelta(**{UNITS[found[2]]: int(found[1])})
    if span > LONGEST:
        raise ValueError(f"must be at most {LONGEST.days}d")
    return span


def parse_moment(text: str, now: datetime) -> datetime:
    """A span from ``now``, or an ISO date or time, in UTC unless it says otherwise. ValueError: it is none, or past."""
    if SPAN.fullmatch(text):
        moment = now + parse_span(text)
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError("must be a span or an ISO date, as in 90d or 2030-01-31") from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= now:
        raise ValueError("must be in the future")
    if moment - now > LONGEST:
        raise ValueError(f"must be at most {LONGEST.days}d from now")
    return moment
