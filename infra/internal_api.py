"""The internal endpoints as a host sees them: its seeds, its claims, its report. It shows its host key with each call.

A host has no database credentials and holds no tenant's secrets beyond what its claims entitle it to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import httpx
from pydantic import TypeAdapter

from infra.config import Settings
from infra.domain.errors import HostUnavailable, StaleClaim, Unauthorized
from infra.domain.models import HostClaims, HostReport, Machine, Tombstone
from infra.domain.seed import Seed

_CLAIMS = TypeAdapter(HostClaims)
_SEED = TypeAdapter(Seed)


class InternalApi:
    def __init__(self, client: httpx.AsyncClient, host_id: int) -> None:
        self._client = client
        self._host_id = host_id

    async def seed(self, machine: Machine) -> Seed:
        """StaleClaim: this host has no such claim on the server any more."""
        reply = await self._call("GET", f"seeds/{machine.server_id}", params={"epoch": machine.epoch})
        return _SEED.validate_json(reply.content)

    async def claims(self) -> HostClaims:
        return _CLAIMS.validate_json((await self._call("GET", "claims")).content)

    async def report(self, report: HostReport) -> None:
        await self._call("POST", "report", json=asdict(report))

    async def forgotten(self, tombstone: Tombstone) -> None:
        """Nothing of the server is left here."""
        await self._call("DELETE", f"tombstones/{tombstone.server_id}", params={"epoch": tombstone.epoch})

    async def _call(self, method: str, path: str, **request: Any) -> httpx.Response:
        """HostUnavailable: the API does not answer, which passes. StaleClaim, Unauthorized: it does, and refuses."""
        try:
            reply = await self._client.request(method, f"/internal/v1/hosts/{self._host_id}/{path}", **request)
        except httpx.TransportError as cause:
            raise HostUnavailable("the host cannot reach the service; try again") from cause
        if reply.status_code == 404:
            raise StaleClaim("the server is not placed on this host any more")
        if reply.status_code == 401:
            raise Unauthorized("the host's key is not accepted")
        if reply.is_error:
            raise HostUnavailable("the service does not answer the host; try again")
        return reply


@asynccontextmanager
async def open_internal_api(settings: Settings) -> AsyncIterator[InternalApi]:
    headers = {"Authorization": f"Bearer {settings.host_key}"}
    async with httpx.AsyncClient(base_url=settings.internal_url, headers=headers, timeout=5) as client:
        yield InternalApi(client, settings.host_id)
