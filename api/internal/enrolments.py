"""/internal/v1/enrolments: a machine becomes a host. It has no host key yet: the token of its enrolment is the proof.

The key that it goes by from then on is its own, made there; here only the digest is kept.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header
from pydantic import Field

from api.auth import bearer
from api.schemas.fields import Text, Wire
from api.services import Use
from infra.db.enrolments import Applicant, enrol
from infra.db.keys import KEY_LENGTH

router = APIRouter(prefix="/internal/v1/enrolments", tags=["internal"])


class Application(Wire):
    """``name``: what the machine is called, where the operator has not named the host."""

    key: Annotated[str, Field(pattern=rf"^[A-Za-z0-9]{{{KEY_LENGTH}}}$")]
    name: Annotated[Text, Field(max_length=255)] = ""
    architecture: Literal["x86", "arm"]


@router.post("")
async def apply(
    use: Use, application: Application, authorization: Annotated[str | None, Header()] = None
) -> dict[str, Any]:
    """Who the host is, and where what it works with is. Again with the same token and key: the same."""
    digest_of = use.authenticator.digest_of
    applicant = Applicant(digest_of(application.key), application.name, application.architecture)
    async with use.pool.connection() as connection:
        enrolled = await enrol(connection, digest_of(bearer(authorization)), applicant)
    return {
        **asdict(enrolled),
        "temporal_address": use.settings.temporal_address,
        "temporal_namespace": use.settings.temporal_namespace,
        "worker_pulse": use.settings.worker_pulse,
    }
