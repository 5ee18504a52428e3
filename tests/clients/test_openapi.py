"""The OpenAPI document is true: whatever is made out of it is answered as it says, and never by a bug of ours.

Schemathesis makes the requests, valid and not, alone and in chains (what one creates another changes), for a bounded
time; ``make fuzz`` takes longer.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.fix_api import Api

SCHEMATHESIS = Path(".venv-clients/bin/schemathesis").absolute()
SECONDS = int(float(os.environ.get("MINUTES", 1)) * 60)
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "use_after_free",
    "allow_header_conformance",
    "unsupported_method",
)


@pytest.mark.timeout(SECONDS * 3 + 300)
async def test_every_answer_is_as_the_document_says(api: Api, tmp_path: Path) -> None:
    document = await api.http.get("/openapi.json")
    (tmp_path / "openapi.json").write_bytes(document.content)
    run = await asyncio.create_subprocess_exec(
        SCHEMATHESIS,
        "run",
        "openapi.json",
        *("--url", api.url),
        *("--header", f"Authorization: Bearer {api.region.token}"),
        *("--checks", ",".join(CHECKS)),
        *("--max-time", str(SECONDS)),
        *("--request-timeout", "60"),
        *("--warnings", "off"),
        "--continue-on-failure",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await run.communicate()
    print(told.decode())
    async with api.region.pool.connection() as connection:  # who has example.com keeps others from all names below it
        await connection.execute("DELETE FROM zones")

    assert run.returncode == 0, told.decode()[-20_000:]
    assert b"/servers" in told or b"operations" in told.lower()
    await api.region.assert_balanced()
