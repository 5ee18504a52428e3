"""Prices on the wire, all of them in one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from typing_extensions import TypedDict

from api.schemas.money import Money, PriceWire, money, price_wires
from infra.db.catalog_settings import CatalogSettings
from infra.db.load_balancer_types import LoadBalancerType
from infra.db.locations import Location
from infra.db.server_types import ServerType

IpType = Literal["ipv4", "ipv6"]


class PrimaryIpPriceAt(TypedDict):
    location: str
    price_hourly: Money
    price_monthly: Money


class PrimaryIpPrices(TypedDict):
    type: IpType
    prices: list[PrimaryIpPriceAt]


class FloatingIpPriceAt(TypedDict):
    location: str
    price_monthly: Money


class FloatingIpPrices(TypedDict):
    type: IpType
    prices: list[FloatingIpPriceAt]


class FloatingIpPrice(TypedDict):
    """Deprecated by ``floating_ips``; of an IPv4 one."""

    price_monthly: Money


class PricePerGb(TypedDict):
    price_per_gb_month: Money


class BackupPrice(TypedDict):
    """In percent of the server's own price."""

    percentage: str


class TrafficPrice(TypedDict):
    price_per_tb: Money


class TypePrices(TypedDict):
    id: int
    name: str
    prices: list[PriceWire]


class PricingWire(TypedDict):
    """``vat_rate`` in percent. Clients count on both kinds of addresses in both lists of addresses."""

    currency: str
    vat_rate: str
    primary_ips: list[PrimaryIpPrices]
    floating_ips: list[FloatingIpPrices]
    floating_ip: FloatingIpPrice
    image: PricePerGb
    volume: PricePerGb
    server_backup: BackupPrice
    server_types: list[TypePrices]
    load_balancer_types: list[TypePrices]
    traffic: TrafficPrice


class PricingAnswer(TypedDict):
    pricing: PricingWire


@dataclass(frozen=True, slots=True)
class PriceList:
    """All that prices depend on."""

    settings: CatalogSettings
    places: Sequence[Location]
    server_types: Sequence[ServerType]
    load_balancer_types: Sequence[LoadBalancerType]

    def money(self, net: Decimal) -> Money:
        return money(net, self.settings.vat_rate)


def pricing_wire(prices: PriceList) -> PricingWire:
    settings = prices.settings
    return {
        "currency": settings.currency,
        "vat_rate": f"{settings.vat_rate:.6f}",
        "primary_ips": [
            _primary_ip(prices, "ipv4", settings.primary_ipv4_hourly, settings.primary_ipv4_monthly),
            _primary_ip(prices, "ipv6", settings.primary_ipv6_hourly, settings.primary_ipv6_monthly),
        ],
        "floating_ips": [
            _floating_ip(prices, "ipv4", settings.floating_ipv4_monthly),
            _floating_ip(prices, "ipv6", settings.floating_ipv6_monthly),
        ],
        "floating_ip": {"price_monthly": prices.money(settings.floating_ipv4_monthly)},
        "image": {"price_per_gb_month": prices.money(settings.image_per_gb_month)},
        "volume": {"price_per_gb_month": prices.money(settings.volume_per_gb_month)},
        "server_backup": {"percentage": f"{settings.server_backup_percentage:.6f}"},
        "server_types": [_of_type(one, prices.places) for one in prices.server_types],
        "load_balancer_types": [_of_type(one, prices.places) for one in prices.load_balancer_types],
        "traffic": {"price_per_tb": prices.money(settings.traffic_per_tb)},
    }


def _primary_ip(prices: PriceList, type: IpType, hourly: Decimal, monthly: Decimal) -> PrimaryIpPrices:
    an_hour, a_month = prices.money(hourly), prices.money(monthly)
    return {
        "type": type,
        "prices": [{"location": one.name, "price_hourly": an_hour, "price_monthly": a_month} for one in prices.places],
    }


def _floating_ip(prices: PriceList, type: IpType, monthly: Decimal) -> FloatingIpPrices:
    amount = prices.money(monthly)
    return {"type": type, "prices": [{"location": place.name, "price_monthly": amount} for place in prices.places]}


def _of_type(one: ServerType | LoadBalancerType, places: Sequence[Location]) -> TypePrices:
    return {"id": one.id, "name": one.name, "prices": price_wires(one.terms, places)}
