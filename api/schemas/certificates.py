"""Certificates on the wire. A private key comes in and never goes out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from typing_extensions import TypedDict

from api.documented import example, shown
from api.pagination import Meta
from api.schemas.actions import ActionWire
from api.schemas.fields import Labels, Name, Text, Wire
from api.schemas.times import timestamp
from infra.db.certificates import Certificate
from infra.tls.certificates import LONGEST

Pem = Annotated[Text, StringConstraints(max_length=LONGEST)]
PEM = "-----BEGIN CERTIFICATE-----\n...\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n"


class CreateCertificate(Wire, json_schema_extra=example(name="web", certificate=PEM, private_key=KEY)):
    """``certificate``: with its chain after it, and ``private_key`` without a passphrase, both in PEM format."""

    name: Name
    type: Literal["uploaded", "managed"] = "uploaded"
    certificate: Pem | None = None
    private_key: Pem | None = None
    domain_names: Annotated[list[Text], Field(max_length=100)] | None = None
    labels: Labels = Field(default_factory=dict)


class UsedByWire(TypedDict):
    id: int
    type: Literal["load_balancer"]


@shown(
    id=9,
    name="web",
    labels={},
    type="uploaded",
    certificate=PEM,
    created="2026-01-30T23:50:00+00:00",
    not_valid_before="2026-01-30T00:00:00+00:00",
    not_valid_after="2027-01-30T00:00:00+00:00",
    domain_names=["example.com", "www.example.com"],
    fingerprint="03:C7:55:9B:2A:D1:04:17:09:F6:D0:7F:34:63:D4:3E:03:C7:55:9B:2A:D1:04:17:09:F6:D0:7F:34:63:D4:3E",
    status=None,
    used_by=[{"id": 4, "type": "load_balancer"}],
)
class CertificateWire(TypedDict):
    """``status``: of one that is managed; there are none."""

    id: int
    name: str
    labels: dict[str, str]
    type: Literal["uploaded"]
    certificate: str
    created: str
    not_valid_before: str
    not_valid_after: str
    domain_names: list[str]
    fingerprint: str
    status: None
    used_by: list[UsedByWire]


class CertificateAnswer(TypedDict):
    certificate: CertificateWire


class CreatedCertificate(TypedDict):
    certificate: CertificateWire
    action: ActionWire | None


class CertificatesAnswer(TypedDict):
    certificates: list[CertificateWire]
    meta: Meta


def certificate_wire(one: Certificate) -> CertificateWire:
    return {
        "id": one.id,
        "name": one.name,
        "labels": one.labels,
        "type": "uploaded",
        "certificate": one.certificate,
        "created": timestamp(one.created),
        "not_valid_before": timestamp(one.not_valid_before),
        "not_valid_after": timestamp(one.not_valid_after),
        "domain_names": one.domain_names,
        "fingerprint": one.fingerprint,
        "status": None,
        "used_by": [{"id": id, "type": "load_balancer"} for id in one.used_by],
    }
