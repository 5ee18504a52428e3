"""What single values of a catalog file may be, and what they become."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, StringConstraints

from infra.domain.addressing import last_index
from infra.domain.dns_ptr import default_ptr
from infra.domain.names import hostname_problem
from infra.domain.sizes import GIB, MIB, Size, parse_size

LARGEST_ID = 2**52
"""Half of what clients read exactly, so that counting goes on above it."""
LARGEST = 2**31 - 1
NAME = "letters, digits, and any of . _ - between them"


def _amount(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be an amount, as in 0.005 or '0.005'")
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("must be an amount, as in 0.005 or '0.005'") from None
    if not amount.is_finite() or not 0 <= amount < 10**10 or amount != round(amount, 10):
        raise ValueError("must be at least 0 and below 10000000000, with 10 decimal places at most")
    return amount


def _percent(value: Any) -> Decimal:
    amount = _amount(value)
    if amount > 100 or amount != round(amount, 6):
        raise ValueError("must be between 0 and 100, with 6 decimal places at most")
    return amount


def _moment(value: Any) -> datetime:
    """A date is its first moment in UTC; a time without an offset is in UTC. To the second, as the wire shows it."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise ValueError("must be a date or a time, as in 2027-01-31 or 2027-01-31T12:00:00Z")
    moment: datetime = value if value.tzinfo else value.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC).replace(microsecond=0)
    except OverflowError:
        raise ValueError("must be in the years from 1 to 9999, in UTC") from None


def _size(value: Any) -> Size:
    if not isinstance(value, str):
        raise ValueError("must be a whole number and a unit, as in '512 MiB' or '20 TiB'")
    return parse_size(value)


def _in_whole(unit: int, name: str) -> Callable[[Size], Size]:
    def check(size: Size) -> Size:
        if size.bytes == 0 or size.bytes % unit or size.bytes > LARGEST * unit:
            raise ValueError(f"must be in whole {name}, from 1 to {LARGEST}")
        return size

    return check


def _cidr(value: str) -> str:
    try:
        network = ip_network(value)
        last_index(value, "ipv4" if network.version == 4 else "ipv6")
    except ValueError as cause:
        raise ValueError(f"must be a network, as in 203.0.113.0/24 or 2001:db8:100::/48: {cause}") from None
    return str(network)


def _host(value: str) -> str:
    if problem := hostname_problem(value):
        raise ValueError(problem)
    return value.lower()


def _template(value: str) -> str:
    if value and ("{ip}" not in value or hostname_problem(default_ptr("255.255.255.255", value))):
        raise ValueError("must be a host name with {ip} in it, for the address with hyphens, or empty for no names")
    return value.lower()


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be one line of printable characters")
    return value


def _matching(pattern: str, what: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(f"must be {what}")
        return value

    return check


Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]
Count = Annotated[int, Field(ge=1, le=LARGEST)]
Name = Annotated[
    str, StringConstraints(max_length=64), AfterValidator(_matching(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", NAME))
]
Line = Annotated[str, StringConstraints(max_length=255), AfterValidator(_printable)]
Amount = Annotated[Decimal, BeforeValidator(_amount)]
Percent = Annotated[Decimal, BeforeValidator(_percent)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Bytes = Annotated[InstanceOf[Size], BeforeValidator(_size)]
Memory = Annotated[InstanceOf[Size], AfterValidator(_in_whole(MIB, "MiB")), BeforeValidator(_size)]
Disk = Annotated[InstanceOf[Size], AfterValidator(_in_whole(GIB, "GiB")), BeforeValidator(_size)]
Cidr = Annotated[str, AfterValidator(_cidr)]
Host = Annotated[str, AfterValidator(_host)]
Template = Annotated[str, AfterValidator(_template)]
Country = Annotated[str, AfterValidator(_matching("([A-Z]{2})?", "two capital letters (ISO 3166), or empty"))]
Currency = Annotated[str, AfterValidator(_matching("[A-Z]{3}", "three capital letters (ISO 4217)"))]
Digest = Annotated[str, AfterValidator(_matching("[0-9a-f]{64}", "a sha256 in hexadecimal: 64 digits"))]
Architecture = Literal["x86", "arm"]
