"""The internal endpoints as a host sees them: its seeds, its claims, its report. It shows its host key with each call.

A host has no database credentials and holds no tenant's secrets beyond what its claims entitle it to.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from infra.config import Settings
from infra.domain.errors import HostUnavailable, PuchifyError, StaleClaim, Unavailable
from infra.domain.metadata import Guest
from infra.domain.models import HostClaims, HostReport, Image, Machine, Tombstone
from infra.domain.port_plan import PortPlan
from infra.domain.seed import Seed
from infra.trust import trust_of

log = logging.getLogger(__name__)
T = TypeVar("T")

_CLAIMS = TypeAdapter(HostClaims)
_GUEST = TypeAdapter(Guest)
_IMAGES = TypeAdapter(list[Image])
_PLAN = TypeAdapter(PortPlan)
_PLANS = TypeAdapter(list[PortPlan])
_SEED = TypeAdapter(Seed)


class InternalApi:
    def __init__(self, client: httpx.AsyncClient, host_id: int) -> None:
        self._client = client
        self._host_id = host_id

    async def seed(self, machine: Machine) -> Seed:
        """StaleClaim: this host has no such claim on the server any more."""
        gone = StaleClaim("the server is not placed on this host any more")
        reply = await self._call("GET", f"seeds/{machine.server_id}", absent=gone, params={"epoch": machine.epoch})
        return _secret(_SEED, reply)

    async def guest(self, server_id: int) -> Guest:
        """What the server's guest may know of itself. StaleClaim: this host has no claim on it any more."""
        gone = StaleClaim("the server is not placed on this host any more")
        return _secret(_GUEST, await self._call("GET", f"guests/{server_id}", absent=gone))

    async def port_plan(self, machine: Machine) -> PortPlan:
        """The server's ports as the books want them now. StaleClaim: this host has no such claim on it any more."""
        gone = StaleClaim("the server is not placed on this host any more")
        reply = await self._call("GET", f"ports/{machine.server_id}", absent=gone, params={"epoch": machine.epoch})
        return _PLAN.validate_json(reply.content)

    async def port_plans(self) -> list[PortPlan]:
        """Those of all servers that this host has a claim on."""
        return _PLANS.validate_json((await self._call("GET", "ports")).content)

    async def enforced(self, plan: PortPlan) -> bool:
        """The plan's firewalls, and no others, guard its server now. False: others are wanted by now. StaleClaim."""
        told = {"epoch": plan.epoch, "firewalls": list(plan.firewalls)}
        path, gone = f"ports/{plan.server_id}/firewalls", StaleClaim("the server is not placed on this host any more")
        return (await self._call("PUT", path, absent=gone, may_conflict=True, json=told)).status_code != 409

    async def claims(self) -> HostClaims:
        return _CLAIMS.validate_json((await self._call("GET", "claims")).content)

    async def report(self, report: HostReport) -> None:
        await self._call("POST", "report", json=asdict(report))

    async def wanted_images(self) -> list[Image]:
        """What is worth having in the cache, the most wanted first."""
        return _IMAGES.validate_python((await self._call("GET", "images")).json()["images"])

    async def doubt(self, digest: str) -> None:
        """An image is not what its name says, as often as it is read."""
        await self._call("POST", "doubts", json={"digest": digest})

    async def forgotten(self, tombstone: Tombstone) -> None:
        """Nothing of the server is left here."""
        await self._call("DELETE", f"tombstones/{tombstone.server_id}", params={"epoch": tombstone.epoch})

    async def _call(
        self, method: str, path: str, absent: PuchifyError | None = None, may_conflict: bool = False, **request: Any
    ) -> httpx.Response:
        """Unavailable: the API does not answer as it should, which passes and is not the host's fault.
        HostUnavailable: the books do not know this host. ``absent`` is raised for what is not found."""
        try:
            reply = await self._client.request(method, f"/internal/v1/hosts/{self._host_id}/{path}", **request)
        except httpx.TransportError as cause:
            raise Unavailable("a part of the service does not answer; try again") from cause
        if reply.status_code == 404 and absent is not None:
            raise absent
        if reply.status_code == 409 and may_conflict:
            return reply
        if reply.status_code in (401, 403, 404):
            log.error("host %s is refused: it was removed from the books, or has another key there", self._host_id)
            raise HostUnavailable("the host is not in service; try again")
        if reply.is_error:
            log.error("%s %s is answered %s: %s", method, path, reply.status_code, reply.text[:200])
            raise Unavailable("a part of the service does not answer; try again")
        return reply


def _secret(adapter: TypeAdapter[T], reply: httpx.Response) -> T:
    """An answer that holds secrets, which the text of an error would tell."""
    try:
        return adapter.validate_json(reply.content)
    except ValidationError:
        raise Unavailable("the service and the host do not understand each other; try again") from None


@asynccontextmanager
async def open_internal_api(settings: Settings) -> AsyncIterator[InternalApi]:
    headers = {"Authorization": f"Bearer {settings.host_key}"}
    async with httpx.AsyncClient(
        base_url=settings.internal_url, headers=headers, timeout=5, verify=trust_of(settings)
    ) as client:
        yield InternalApi(client, settings.host_id)
