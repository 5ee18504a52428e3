"""Terms in the books: the columns that server types and load balancer types share, and those of their locations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from infra.domain.terms import Deprecation, LocalTerms, Price, Terms

COLUMNS = (
    *("price_hourly", "price_monthly", "included_traffic", "price_per_tb_traffic"),
    *("everywhere", "announced", "unavailable_after"),
)
"""Those of the type; ``local`` and ``vat_rate`` come with them."""

# Amounts as text: JSON would make floats of them.
SELECT = """
SELECT t.*, coalesce((SELECT vat_rate FROM catalog_settings), 0) AS vat_rate, ARRAY(
    SELECT jsonb_build_object(
        'location_id', o.location_id, 'recommended', o.recommended,
        'price_hourly', o.price_hourly::text, 'price_monthly', o.price_monthly::text,
        'included_traffic', o.included_traffic, 'price_per_tb_traffic', o.price_per_tb_traffic::text,
        'announced', o.announced, 'unavailable_after', o.unavailable_after)
    FROM {table}_locations o WHERE o.type_id = t.id ORDER BY o.location_id) AS local
FROM {table}s t ORDER BY t.id"""


def terms_of(row: Mapping[str, Any]) -> Terms:
    """From a row of ``SELECT``, or from the type alone as JSON: then ``local`` is not known."""
    return Terms(
        price=_price(row),
        deprecation=deprecation_of(row),
        everywhere=row["everywhere"],
        local={one["location_id"]: _local(one) for one in row.get("local", ())},
        vat_rate=row.get("vat_rate", Decimal(0)),
    )


def deprecation_of(row: Mapping[str, Any]) -> Deprecation | None:
    if row["announced"] is None:
        return None
    return Deprecation(moment_of(row["announced"]), moment_of(row["unavailable_after"]))


def moment_of(value: datetime | str) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _local(row: Mapping[str, Any]) -> LocalTerms:
    price = None if row["price_hourly"] is None else _price(row)
    return LocalTerms(price, deprecation_of(row), row["recommended"])


def _price(row: Mapping[str, Any]) -> Price:
    return Price(
        Decimal(str(row["price_hourly"])),
        Decimal(str(row["price_monthly"])),
        row["included_traffic"],
        Decimal(str(row["price_per_tb_traffic"])),
    )
