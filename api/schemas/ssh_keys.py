"""SSH keys on the wire."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from api.documented import example, shown
from api.pagination import Meta
from api.schemas.fields import Labels, Name, Wire
from api.schemas.times import timestamp
from infra.db.ssh_keys import SshKey
from infra.domain.ssh_public_key import parse

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7hU5g1v0bYc2rwQ1M0zE3p1c0dVbV1nq2hY3k4m5N6 me@home"


def _key(text: str) -> str:
    parse(text)  # BadKey is a ValueError
    return text


class CreateSshKey(Wire, json_schema_extra=example(name="laptop", public_key=KEY)):
    name: Name
    public_key: Annotated[str, AfterValidator(_key)]
    labels: Labels = Field(default_factory=dict)


@shown(
    id=2323,
    name="laptop",
    fingerprint=parse(KEY).fingerprint,
    public_key=KEY,
    labels={},
    created="2026-01-30T23:50:00+00:00",
)
class SshKeyWire(TypedDict):
    """``fingerprint``: MD5, as 16 hex pairs. ``public_key``: as it was sent, to the newline at its end."""

    id: int
    name: str
    fingerprint: str
    public_key: str
    labels: dict[str, str]
    created: str


class SshKeyAnswer(TypedDict):
    ssh_key: SshKeyWire


class SshKeysAnswer(TypedDict):
    ssh_keys: list[SshKeyWire]
    meta: Meta


def ssh_key_wire(key: SshKey) -> SshKeyWire:
    return {
        "id": key.id,
        "name": key.name,
        "fingerprint": key.fingerprint,
        "public_key": key.public_key,
        "labels": key.labels,
        "created": timestamp(key.created),
    }
