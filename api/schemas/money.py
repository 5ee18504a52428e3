"""Money and terms on the wire: amounts are decimal text, net and with VAT."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from typing_extensions import TypedDict

from api.documented import shown
from api.schemas.times import timestamp
from infra.db.locations import Location
from infra.domain.terms import Deprecation, Terms

PLACES = Decimal("0.0000000001")


@shown(net="0.0050000000", gross="0.0059500000")
class Money(TypedDict):
    net: str
    gross: str


class PriceWire(TypedDict):
    """At one location. ``included_traffic``: bytes a month."""

    location: str
    price_hourly: Money
    price_monthly: Money
    included_traffic: int
    price_per_tb_traffic: Money


@shown(announced="2026-01-30T00:00:00+00:00", unavailable_after="2026-04-30T00:00:00+00:00")
class DeprecationWire(TypedDict):
    """Announced, and when it can no longer be ordered."""

    announced: str
    unavailable_after: str


def money(net: Decimal, vat_rate: Decimal) -> Money:
    """``vat_rate`` in percent."""
    gross = net * (100 + vat_rate) / 100
    return {"net": f"{net.quantize(PLACES):f}", "gross": f"{gross.quantize(PLACES):f}"}


def price_wires(terms: Terms, places: Sequence[Location]) -> list[PriceWire]:
    """Of each location where it is offered."""
    return [_price(terms, place) for place in places if terms.offered_at(place.id)]


def _price(terms: Terms, place: Location) -> PriceWire:
    price = terms.price_at(place.id)
    return {
        "location": place.name,
        "price_hourly": money(price.hourly, terms.vat_rate),
        "price_monthly": money(price.monthly, terms.vat_rate),
        "included_traffic": price.included_traffic,
        "price_per_tb_traffic": money(price.per_tb_traffic, terms.vat_rate),
    }


def deprecation_wire(deprecation: Deprecation | None) -> DeprecationWire | None:
    if deprecation is None:
        return None
    return {
        "announced": timestamp(deprecation.announced),
        "unavailable_after": timestamp(deprecation.unavailable_after),
    }
