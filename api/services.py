"""What a request may use: made once when the API starts, handed to routes as dependencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from api.auth import Authenticator
from api.stories import Stories
from infra.config import Settings
from infra.db.keys import Caller
from infra.db.pool import Pool
from infra.drivers.store.mount import ImageStore


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    pool: Pool
    authenticator: Authenticator
    stories: Stories
    store: ImageStore


async def services_of(request: Request) -> Services:
    return cast(Services, request.app.state.services)


async def caller_of(request: Request) -> Caller:
    """The edge let the request in, so it has a caller."""
    return cast(Caller, request.scope["puchify.caller"])


Use = Annotated[Services, Depends(services_of)]
Asking = Annotated[Caller, Depends(caller_of)]
