"""/images/{id}/upload: the bytes of an image, in one request or in many.

It keeps close to the draft of resumable uploads (draft-ietf-httpbis-resumable-upload): who was cut off asks for the
offset and goes on there. Each PUT is a writer of its own; one that comes later takes the place of one before.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from api import errors
from api.documented import failing
from api.routes.paths import PathId
from api.schemas.images import UploadAnswer, upload_wire
from api.services import Asking, Services, Use
from infra.db import image_imports
from infra.db.image_imports import Import, WrongOffset
from infra.domain.errors import InvalidInput, NotFound, PuchifyError, ResourceUnavailable, Unavailable
from infra.domain.refusals import ServiceError
from infra.receiving import BrokenOff, TooSlow, paced, receive

log = logging.getLogger(__name__)

router = APIRouter(tags=["Puchify extensions"])

UPLOAD_HEADERS = ("Upload-Offset", "Upload-Length", "Upload-Complete", "Upload-Limit")
PATIENCE = 60.0
"""Seconds without a byte after which a request is given up; what came with it is kept."""
WHOLE = re.compile(r"\d{1,15}", re.ASCII)
BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


@router.get("/images/{id:one}/upload", responses=failing(NotFound))
async def get_image_upload(use: Use, asking: Asking, id: PathId) -> UploadAnswer:
    """How much of the image is there; also of one that is fetched."""
    found, limit = await _found(use, asking.project_id, id)
    return {"upload": upload_wire(found, limit)}


@router.head("/images/{id:one}/upload", status_code=204, responses=failing(NotFound))
async def get_image_upload_offset(use: Use, asking: Asking, id: PathId) -> Response:
    """In headers: ``Upload-Offset`` is where a broken upload goes on, ``Upload-Complete`` says ``?1`` when it does not;
    ``Upload-Length`` is there once the size is known."""
    found, limit = await _found(use, asking.project_id, id)
    return Response(status_code=204, headers={**_headers(found, limit), "Cache-Control": "no-store"})


@router.put(
    "/images/{id:one}/upload",
    response_model=UploadAnswer,
    responses=failing(NotFound, ServiceError, ResourceUnavailable),
    openapi_extra={"requestBody": BYTES},
)
async def upload_image(
    request: Request,
    use: Use,
    asking: Asking,
    id: PathId,
    upload_offset: Annotated[str, Header()] = "0",
    upload_complete: Annotated[str | None, Header()] = None,
) -> Response:
    """The file's bytes from ``Upload-Offset`` on, as they are, whatever their type. All are there when the announced
    size is, or, without one, with the end of the request, unless that says ``Upload-Complete: ?0``.

    A request that breaks off has brought what arrived: ask for the offset and go on there. ``conflict``: the offset is
    another one, told in ``details.offset`` and in the header, or another request goes on with the upload.
    ``rate_limit_exceeded``: the project uploads as many as it may at a time. One that brings less than 64 KiB/s for a
    minute is broken off.
    """
    offset, complete = _offset(upload_offset), _complete(upload_complete)
    try:
        found, limit = await _found(use, asking.project_id, id)
        _check(request, found, offset, limit)
        with use.store.shares.taken(asking.project_id):
            async with use.pool.connection() as connection:
                writing = await image_imports.take_place(connection, found, offset)
            received = await receive(
                use.pool, use.store, writing, paced(_parts(request), PATIENCE), limit, whole=complete is not False
            )
    except TooSlow as cause:
        raise Unavailable(f"the upload was broken off: {cause}; ask for its offset and go on there") from cause
    except BrokenOff as cause:
        raise Unavailable("the upload broke off; ask for its offset and go on there") from cause
    except WrongOffset as wrong:
        return _with_offset(wrong)
    if received.complete:
        await _tell(use, id)
    elif complete or received.offset == 0:
        raise InvalidInput.field("Upload-Complete", f"the upload is not complete: it ended at offset {received.offset}")
    found, limit = await _found(use, asking.project_id, id)
    return JSONResponse({"upload": upload_wire(found, limit)}, headers=_headers(found, limit))


async def _found(use: Services, project_id: int, image_id: int) -> tuple[Import, int]:
    """The import, and how many bytes it may have."""
    async with use.pool.connection() as connection:
        found = await image_imports.get(connection, project_id, image_id)
        return found, await image_imports.largest(connection)


def _check(request: Request, found: Import, offset: int, limit: int) -> None:
    """What is not wanted, or announced to be too long, is refused before any of it is read."""
    if found.source_url is not None:
        raise ServiceError("the image is fetched from its source_url, so it takes no upload")
    if found.uploaded is not None:
        raise ServiceError("the upload is complete")
    announced = request.headers.get("content-length", "")
    if not WHOLE.fullmatch(announced):
        return
    end, most = offset + int(announced), limit if found.size is None else min(limit, found.size)
    if end > most:
        raise InvalidInput.field("size", f"the upload would have {end} bytes; it may have {most}")


async def _parts(request: Request) -> AsyncIterator[bytes]:
    try:
        async for part in request.stream():
            yield part
    except ClientDisconnect as cause:
        raise BrokenOff from cause


async def _tell(use: Services, image_id: int) -> None:
    try:
        await use.stories.tell_import(image_id, "uploaded")
    except Unavailable:
        log.warning(
            "the import of image %s was not told that all is there: it looks by itself", image_id, exc_info=True
        )


def _offset(said: str) -> int:
    if not WHOLE.fullmatch(said):
        raise InvalidInput.field("Upload-Offset", "must be a whole number of bytes")
    return int(said)


def _complete(said: str | None) -> bool | None:
    """As a structured header says yes or no; None when it is not there."""
    if said not in (None, "?0", "?1"):
        raise InvalidInput.field("Upload-Complete", "must be ?0 or ?1")
    return None if said is None else said == "?1"


def _headers(found: Import, limit: int) -> dict[str, str]:
    told: dict[str, Any] = {
        "Upload-Offset": found.received,
        "Upload-Complete": "?0" if found.uploaded is None else "?1",
        "Upload-Limit": f"max-size={limit}",
    }
    length = found.size or (found.received if found.uploaded else None)
    return {name: str(value) for name, value in {**told, **({"Upload-Length": length} if length else {})}.items()}


def _with_offset(wrong: PuchifyError) -> Response:
    response = errors.answer(wrong)
    response.headers["Upload-Offset"] = str((wrong.details or {})["offset"])
    return response
