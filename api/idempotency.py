"""Repeating a request safely: the ``Idempotency-Key`` header, and what counts as the same request."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel

from infra.db.idempotency import IdempotencyKey
from infra.domain.errors import InvalidInput

HEADER = "Idempotency-Key"
LONGEST = 255


def key_of(header: str | None, project_id: int, route: str, body: BaseModel | None) -> IdempotencyKey | None:
    """None without the header. The same request: it asks for the same, however it is written, defaults or none."""
    if header is None:
        return None
    if not header or len(header) > LONGEST or not header.isascii() or not header.isprintable():
        raise InvalidInput.field(HEADER, f"must be 1 to {LONGEST} printable ASCII characters")
    asked = json.dumps(body.model_dump(mode="json", exclude_defaults=True) if body else None, sort_keys=True)
    return IdempotencyKey(project_id, route, header, hashlib.sha256(asked.encode()).digest())
