"""/pricing: every price in one answer. Puchify shows prices; it bills nobody."""

from __future__ import annotations

from fastapi import APIRouter

from api.schemas.pricing import PriceList, PricingAnswer, pricing_wire
from api.services import Use
from infra.db.catalog_settings import catalog_settings
from infra.db.load_balancer_types import load_balancer_types
from infra.db.locations import locations
from infra.db.server_types import server_types

router = APIRouter(tags=["pricing"])


@router.get("/pricing")
async def get_pricing(use: Use) -> PricingAnswer:
    """Prices as the catalog has them, for clients to show: nothing is billed."""
    async with use.pool.connection() as connection:
        prices = PriceList(
            settings=await catalog_settings(connection),
            places=await locations(connection),
            server_types=await server_types(connection),
            load_balancer_types=await load_balancer_types(connection),
        )
    return {"pricing": pricing_wire(prices)}
