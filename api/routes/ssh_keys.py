"""/ssh_keys."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.pagination import Page, meta
from api.routes.paths import PathId
from api.schemas.fields import UpdateNamed
from api.schemas.ssh_keys import CreateSshKey, SshKeyAnswer, SshKeysAnswer, ssh_key_wire
from api.services import Asking, Use
from infra.db import ssh_keys
from infra.db.named import Wanted
from infra.db.pool import Connection
from infra.db.ssh_keys import KIND
from infra.domain.errors import NotFound, QuotaExceeded, UniquenessError
from infra.domain.labels import parse_selector

router = APIRouter(tags=["ssh_keys"])


@router.post(
    "/ssh_keys", status_code=201, response_model=SshKeyAnswer, responses=failing(UniquenessError, QuotaExceeded)
)
async def create_ssh_key(changing: Changing, body: CreateSshKey) -> Response:
    async def make(connection: Connection) -> dict[str, Any]:
        await KIND.keep_room(connection, changing.project_id, changing.services.settings.ssh_keys_per_project)
        labels = dict(body.labels)
        key = await ssh_keys.create(connection, changing.project_id, body.name, body.public_key, labels)
        return {"ssh_key": ssh_key_wire(key)}

    return await changing.once(make, body)


@router.get("/ssh_keys")
async def list_ssh_keys(
    use: Use,
    asking: Asking,
    page: Page,
    name: str | None = None,
    fingerprint: str | None = None,
    label_selector: str = "",
) -> SshKeysAnswer:
    prints = [fingerprint] if fingerprint is not None else None
    wanted = Wanted(asking.project_id, name, parse_selector(label_selector), {"fingerprint": prints})
    async with use.pool.connection() as connection:
        found = await KIND.find_all(connection, wanted, page)
    return {"ssh_keys": [ssh_key_wire(key) for key in found.items], "meta": meta(page, found.total)}


@router.get("/ssh_keys/{id}", responses=failing(NotFound))
async def get_ssh_key(use: Use, asking: Asking, id: PathId) -> SshKeyAnswer:
    async with use.pool.connection() as connection:
        return {"ssh_key": ssh_key_wire(await KIND.get(connection, asking.project_id, id))}


@router.put("/ssh_keys/{id}", responses=failing(NotFound, UniquenessError))
async def update_ssh_key(use: Use, asking: Asking, id: PathId, body: UpdateNamed) -> SshKeyAnswer:
    async with use.pool.connection() as connection:
        key = await KIND.update(connection, asking.project_id, id, body.name, body.labels)
    return {"ssh_key": ssh_key_wire(key)}


@router.delete("/ssh_keys/{id}", status_code=204, responses=failing(NotFound))
async def delete_ssh_key(use: Use, asking: Asking, id: PathId) -> None:
    async with use.pool.connection() as connection:
        await KIND.delete(connection, asking.project_id, id)
