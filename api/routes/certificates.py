"""/certificates: what load balancers end TLS with. Whoever has one uploads it; none is ordered of anybody."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.pagination import Page, meta
from api.routes.paths import PathId
from api.schemas.certificates import (
    CertificateAnswer,
    CertificatesAnswer,
    CreateCertificate,
    CreatedCertificate,
    certificate_wire,
)
from api.schemas.fields import UpdateNamed
from api.services import Asking, Use
from infra.db import certificates
from infra.db.certificates import KIND
from infra.db.named import Wanted
from infra.db.pool import Connection
from infra.domain.errors import InvalidInput, NotFound, QuotaExceeded, UniquenessError
from infra.domain.labels import parse_selector
from infra.domain.refusals import ResourceInUse, UnsupportedError
from infra.tls.certificates import Uploaded, read

router = APIRouter(tags=["certificates"])


@router.post(
    "/certificates",
    status_code=201,
    response_model=CreatedCertificate,
    responses=failing(UniquenessError, QuotaExceeded, UnsupportedError),
)
async def create_certificate(changing: Changing, body: CreateCertificate) -> Response:
    """Of type `uploaded`: the certificate with its chain, and its private key, which is never shown."""
    if body.type == "managed":
        raise UnsupportedError("managed certificates are not supported by this installation: upload one")
    uploaded = await asyncio.to_thread(_uploaded, body)

    async def make(connection: Connection) -> dict[str, Any]:
        await KIND.keep_room(connection, changing.project_id, changing.services.settings.certificates_per_project)
        made = await certificates.create(connection, changing.project_id, body.name, dict(body.labels), uploaded)
        return {"certificate": certificate_wire(made), "action": None}

    return await changing.once(make, body)


@router.get("/certificates")
async def list_certificates(
    use: Use,
    asking: Asking,
    page: Page,
    name: str | None = None,
    type: Annotated[list[Literal["uploaded", "managed"]] | None, Query()] = None,
    label_selector: str = "",
) -> CertificatesAnswer:
    wanted = Wanted(asking.project_id, name, parse_selector(label_selector))
    if type and "uploaded" not in type:
        return {"certificates": [], "meta": meta(page, 0)}
    async with use.pool.connection() as connection:
        found = await KIND.find_all(connection, wanted, page)
    return {"certificates": [certificate_wire(one) for one in found.items], "meta": meta(page, found.total)}


@router.get("/certificates/{id:one}", responses=failing(NotFound))
async def get_certificate(use: Use, asking: Asking, id: PathId) -> CertificateAnswer:
    async with use.pool.connection() as connection:
        return {"certificate": certificate_wire(await KIND.get(connection, asking.project_id, id))}


@router.put("/certificates/{id:one}", responses=failing(NotFound, UniquenessError))
async def update_certificate(use: Use, asking: Asking, id: PathId, body: UpdateNamed) -> CertificateAnswer:
    """Its name and its labels; another certificate is uploaded as another."""
    async with use.pool.connection() as connection:
        changed = await KIND.update(connection, asking.project_id, id, body.name, body.labels)
    return {"certificate": certificate_wire(changed)}


@router.delete("/certificates/{id:one}", status_code=204, responses=failing(NotFound, ResourceInUse))
async def delete_certificate(use: Use, asking: Asking, id: PathId) -> None:
    async with use.pool.connection() as connection:
        await certificates.delete(connection, asking.project_id, id)


@router.post(
    "/certificates/{id}/actions/retry",
    status_code=UnsupportedError.status,
    responses=failing(NotFound, UnsupportedError),
)
async def retry(use: Use, asking: Asking, id: PathId) -> None:
    """Always `unsupported_error`: what is uploaded was never issued here."""
    async with use.pool.connection() as connection:
        await KIND.get(connection, asking.project_id, id)
    raise UnsupportedError("the certificate was uploaded: there is nothing to try again")


def _uploaded(body: CreateCertificate) -> Uploaded:
    missing = [(field, "is required for type uploaded") for field in ("certificate", "private_key")]
    if problems := [one for one in missing if not getattr(body, one[0])]:
        raise InvalidInput.fields(problems)
    return read(body.certificate or "", body.private_key or "")
