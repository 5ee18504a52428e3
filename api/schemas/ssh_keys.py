"""SSH keys on the wire."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from api.schemas.fields import Labels, Name, Wire
from api.schemas.times import timestamp
from infra.db.ssh_keys import SshKey
from infra.domain.ssh_public_key import parse


def _key(text: str) -> str:
    return parse(text).line  # BadKey is a ValueError


class CreateSshKey(Wire):
    name: Name
    public_key: Annotated[str, AfterValidator(_key)]
    labels: Labels = Field(default_factory=dict)


class UpdateSshKey(Wire):
    """What is not sent stays; labels replace the whole map."""

    name: Name | None = None
    labels: Labels | None = None


def ssh_key_wire(key: SshKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "fingerprint": key.fingerprint,
        "public_key": key.public_key,
        "labels": key.labels,
        "created": timestamp(key.created),
    }
