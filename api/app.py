"""The API: it starts whatever is away, answers 503 for what needs that part, and recovers by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.middleware.cors import CORSMiddleware

from api import edge, errors
from api.auth import Authenticator
from api.documented import Documented, failing
from api.gate import OPENAPI, Gate
from api.internal import edges, enrolments, hosts, ports
from api.metrics import metrics
from api.queries import readable_query
from api.rate_limit import Turnstile
from api.routes.image_uploads import UPLOAD_HEADERS
from api.routing import ROUTERS
from api.services import Services, Use
from api.stories import Stories
from infra.config import Settings
from infra.db.keys import server_secret
from infra.db.pool import open_pool, open_quick_pool, ping
from infra.domain.errors import Unavailable
from infra.domain.rate_limit import Pace
from infra.drivers.store.chosen import image_store
from infra.temporal.connect import connect

# Who asks is known at the edge, before a route is found; this says so in the document.
BEARER = HTTPBearer(auto_error=False, description="An API key: `puchify key create`.")
EVERYWHERE = [Depends(BEARER), Depends(readable_query)]


def create_app(settings: Settings) -> FastAPI:
    app = Documented(
        title="Puchify",
        version="1",
        openapi_url=OPENAPI,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan_of(settings),
        redirect_slashes=False,  # a redirected POST becomes a GET in many clients
        separate_input_output_schemas=False,
    )
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router, prefix="/api/v1", responses=failing(), dependencies=EVERYWHERE)
    app.include_router(hosts.router, include_in_schema=False)
    app.include_router(ports.router, include_in_schema=False)
    app.include_router(enrolments.router, include_in_schema=False)
    app.include_router(edges.router, include_in_schema=False)
    app.add_api_route("/healthz", health, methods=["GET"], include_in_schema=False)
    app.add_api_route("/metrics", metrics, methods=["GET"], include_in_schema=False)
    _surround(app, settings)
    return app


def _surround(app: FastAPI, settings: Settings) -> None:
    """From the inside out: a browser may read what the gate answers, and the edge marks all of it."""
    app.add_middleware(Gate, body_limit=settings.body_limit)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Prefer", *UPLOAD_HEADERS],
            expose_headers=[
                *(edge.HEADER, "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After"),
                *("Preference-Applied", *UPLOAD_HEADERS),
            ],
        )
    app.add_middleware(edge.Edge)


def lifespan_of(settings: Settings) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        _build_routes(app)
        secret = server_secret(settings)
        client = await connect(settings, lazy=True)
        async with (
            open_pool(settings.database_url, settings.database_pool, "puchify-api") as pool,
            open_quick_pool(settings.database_url, "puchify-gate") as quick,
        ):
            turnstile = Turnstile(quick, Pace.of(settings.rate_limit))
            app.state.services = Services(
                settings=settings,
                pool=pool,
                authenticator=Authenticator(pool, turnstile, secret),
                stories=Stories(client),
                store=image_store(settings),
            )
            yield

    return lifespan


def _build_routes(app: FastAPI) -> None:
    """The framework builds all routes when the first request looks for one: a second or two, for which a host that
    asks for its claims does not wait on a busy machine. So one is looked for before."""
    nowhere = {"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": []}
    for route in app.routes:
        route.matches(nowhere)


async def health(use: Use) -> JSONResponse:
    """For supervisors: 200 when everything answers, 503 and what does not."""
    try:
        await ping(use.pool)
        database = True
    except Unavailable:
        database = False
    parts = {"database": database, "temporal": await use.stories.ping()}
    return JSONResponse(parts, 200 if all(parts.values()) else 503)
