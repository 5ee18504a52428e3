"""Calls of the internal endpoints by hosts and edges, each with its own key, and what becomes of their failures."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from infra.config import Settings
from infra.domain.errors import HostUnavailable, PuchifyError, Unavailable
from infra.trust import trust_of

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InternalCalls:
    """``who``: calls, by its id in the books."""

    client: httpx.AsyncClient
    who: Literal["host", "edge"]
    id: int

    async def call(
        self, method: str, path: str, absent: PuchifyError | None = None, may_conflict: bool = False, **request: Any
    ) -> httpx.Response:
        """Unavailable: the API does not answer as it should, which passes and is not the caller's fault.
        HostUnavailable: the books do not know the caller. ``absent`` is raised for what is not found."""
        try:
            reply = await self.client.request(method, f"/internal/v1/{self.who}s/{self.id}/{path}", **request)
        except httpx.TransportError as cause:
            raise Unavailable("a part of the service does not answer; try again") from cause
        if reply.status_code == 404 and absent is not None:
            raise absent
        if reply.status_code == 409 and may_conflict:
            return reply
        if reply.status_code in (401, 403, 404):
            log.error("%s %s is refused: it was removed from the books, or has another key there", self.who, self.id)
            raise HostUnavailable(f"the {self.who} is not in service; try again")
        if reply.is_error:
            log.error("%s %s is answered %s: %s", method, path, reply.status_code, reply.text[:200])
            raise Unavailable("a part of the service does not answer; try again")
        return reply

    def secret(self, adapter: TypeAdapter[T], reply: httpx.Response) -> T:
        """What an answer says that holds secrets, which the text of an error would tell. Unavailable."""
        try:
            return adapter.validate_json(reply.content)
        except ValidationError:
            problem = f"the service and the {self.who} do not understand each other; try again"
            raise Unavailable(problem) from None


@asynccontextmanager
async def open_client(settings: Settings, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """It shows that key with each call."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        base_url=settings.internal_url, headers=headers, timeout=5, verify=trust_of(settings)
    ) as client:
        yield client
