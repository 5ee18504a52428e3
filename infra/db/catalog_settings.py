"""What the catalog says of the installation as a whole: its default location, its DNS, its money.

One row, written by `puchify catalog apply`; without it the defaults here stand.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from psycopg import sql

from infra.db.pool import Connection

PTR_TEMPLATE = "static.{ip}.clients.puchify.internal"
READ = """
SELECT s.*, l.name AS default_location
FROM catalog_settings s LEFT JOIN locations l ON l.id = s.default_location_id"""


@dataclass(frozen=True, slots=True)
class CatalogSettings:
    """``default_location`` None: what the setting PUCHIFY_LOCATION says. Prices are net, in ``currency``.

    ``name_servers`` are those that new zones are given; ``ptr_template`` is what an address is called until its owner
    says otherwise (infra/domain/dns_ptr.py). ``vat_rate`` and ``server_backup_percentage`` in percent.
    """

    default_location: str | None = None
    name_servers: tuple[str, ...] = ("ns1.puchify.internal", "ns2.puchify.internal", "ns3.puchify.internal")
    ptr_template: str = PTR_TEMPLATE
    currency: str = "EUR"
    vat_rate: Decimal = Decimal(0)
    primary_ipv4_hourly: Decimal = Decimal(0)
    primary_ipv4_monthly: Decimal = Decimal(0)
    primary_ipv6_hourly: Decimal = Decimal(0)
    primary_ipv6_monthly: Decimal = Decimal(0)
    floating_ipv4_monthly: Decimal = Decimal(0)
    floating_ipv6_monthly: Decimal = Decimal(0)
    image_per_gb_month: Decimal = Decimal(0)
    volume_per_gb_month: Decimal = Decimal(0)
    server_backup_percentage: Decimal = Decimal(20)
    traffic_per_tb: Decimal = Decimal(0)


async def catalog_settings(connection: Connection) -> CatalogSettings:
    row = await (await connection.execute(READ)).fetchone()
    if row is None:
        return CatalogSettings()
    own = {name: row[name] for name in CatalogSettings.__slots__}
    return CatalogSettings(**{**own, "name_servers": tuple(row["name_servers"])})


async def write_settings(connection: Connection, settings: CatalogSettings) -> None:
    values: dict[str, Any] = {**asdict(settings), "name_servers": list(settings.name_servers)}
    columns: dict[str, sql.Composable] = {name: sql.Placeholder(name) for name in values}
    columns["default_location_id"] = sql.SQL("(SELECT id FROM locations WHERE name = {})").format(
        columns.pop("default_location")
    )
    query = sql.SQL("INSERT INTO catalog_settings ({}) VALUES ({}) ON CONFLICT (single) DO UPDATE SET {}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(columns.values()),
        sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in columns),
    )
    await connection.execute(query, values)
