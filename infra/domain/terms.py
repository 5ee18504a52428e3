"""Terms: what a type costs, where it is offered, and until when. Prices are net; traffic is in bytes a month."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Price:
    hourly: Decimal = Decimal(0)
    monthly: Decimal = Decimal(0)
    included_traffic: int = 0
    per_tb_traffic: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Deprecation:
    """Announced, and the moment after which new ones cannot be ordered. Those that there are stay."""

    announced: datetime
    unavailable_after: datetime


@dataclass(frozen=True, slots=True)
class LocalTerms:
    """At one location. None: as everywhere."""

    price: Price | None = None
    deprecation: Deprecation | None = None
    recommended: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """``local``: by location id. ``everywhere``: also where ``local`` says nothing. ``vat_rate`` in percent."""

    price: Price = Price()
    deprecation: Deprecation | None = None
    everywhere: bool = True
    local: Mapping[int, LocalTerms] = field(default_factory=dict)
    vat_rate: Decimal = Decimal(0)

    def offered_at(self, location_id: int) -> bool:
        return self.everywhere or location_id in self.local

    def price_at(self, location_id: int) -> Price:
        return self.local.get(location_id, LocalTerms()).price or self.price

    def deprecation_at(self, location_id: int) -> Deprecation | None:
        """Of the two that may apply, the one that ends first."""
        own = self.local.get(location_id, LocalTerms()).deprecation
        known = [one for one in (own, self.deprecation) if one]
        return min(known, key=lambda one: one.unavailable_after, default=None)

    def recommended_at(self, location_id: int) -> bool:
        return self.local.get(location_id, LocalTerms()).recommended

    def orderable_at(self, location_id: int, now: datetime) -> bool:
        ending = self.deprecation_at(location_id)
        return self.offered_at(location_id) and (ending is None or now < ending.unavailable_after)
