"""The API dies at every point between accept and answer: a repeated order is one server, an unrepeated one all or none.

See `tests.mortal_api` for what a point is.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.fix_deployment import Deployment
from tests.fix_region import eventually
from tests.mortal_api import ADMISSION, HEADER, STORY, THE_REST


@dataclass
class Mortal:
    """A deployment whose API dies when it is told to."""

    deployment: Deployment
    grave: Path

    async def order(self, name: str, point: int, **headers: str) -> tuple[str | None, int]:
        """What the API was about to do when it died, None if it lived; and how much of its answer's body was heard."""
        body = {"name": name, "server_type": "px1", "image": "tiny", "location": self.deployment.region.location}
        asked = {HEADER: str(point), **headers}
        heard = 0
        self.grave.unlink(missing_ok=True)
        async with self.deployment.client() as http:
            try:
                async with http.stream("POST", "/servers", json=body, headers=asked) as reply:
                    async for part in reply.aiter_raw():
                        heard += len(part)
            except httpx.TransportError:
                return self.grave.read_text(), heard
        assert reply.status_code == 201
        assert not self.grave.exists()
        return None, heard


@pytest_asyncio.fixture
async def mortal(
    stopped_deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Mortal]:
    monkeypatch.setenv("PUCHIFY_TIMEOUT_FACTOR", "1")  # a busy machine is no silent host
    api = stopped_deployment.process("api")
    argv = (sys.executable, "-m", "tests.mortal_api")
    grave = tmp_path / "grave"
    await stopped_deployment.supervisor.start(replace(api, argv=argv, env={**api.env, "GRAVE": str(grave)}))
    await stopped_deployment.start("region", "host")
    await stopped_deployment.order("first")
    await eventually(lambda: running(stopped_deployment, ["first"]))  # everybody is at work
    yield Mortal(stopped_deployment, grave)


async def test_a_repeated_order_is_one_server_wherever_the_api_dies(mortal: Mortal) -> None:
    servers, deaths = {}, []
    for point in itertools.count(1):
        name = f"die-{point}"
        death, heard = await mortal.order(name, point, **{"Idempotency-Key": name})

        first, second = [await mortal.deployment.order(name) for _ in range(2)]

        assert (first.status_code, second.content) == (201, first.content), death
        servers[name] = first.json()["server"]["id"]
        if death is None:
            break
        deaths.append(death)
        assert (0 < heard < len(first.content)) == (death == THE_REST), f"{heard} bytes were heard"
    assert set(deaths) >= {"BEGIN", "COMMIT", STORY, ADMISSION, THE_REST}
    assert any(death.startswith("UPDATE idempotency_keys") for death in deaths)

    ids = await eventually(lambda: running(mortal.deployment, ["first", *servers]))
    assert {name: ids[name] for name in servers} == servers
    await mortal.deployment.region.assert_balanced()


async def test_an_order_that_nobody_repeats_is_a_server_or_nothing(mortal: Mortal) -> None:
    deaths = []
    for point in itertools.count(1):
        death, _ = await mortal.order(f"die-{point}", point)
        if death is None:
            break
        deaths.append(death)
    accepted = ["first"] + [f"die-{point}" for point in range(deaths.index("COMMIT") + 2, len(deaths) + 2)]

    await eventually(lambda: running(mortal.deployment, accepted))
    counted = await mortal.deployment.region.one(
        "SELECT count(*) AS n FROM actions WHERE project_id = %s", mortal.deployment.region.project_id
    )
    assert counted == {"n": 2 * len(accepted)}
    await mortal.deployment.region.assert_balanced()


async def running(deployment: Deployment, names: list[str]) -> dict[str, int] | None:
    """Their ids once these servers run, in the books and on the host. There are never others."""
    async with deployment.region.pool.connection() as connection:
        found = await connection.execute(
            "SELECT id, name, status FROM servers WHERE project_id = %s ORDER BY id", (deployment.region.project_id,)
        )
        servers = await found.fetchall()
    assert [row["name"] for row in servers] == names
    if {row["status"] for row in servers} != {"running"}:
        return None
    assert deployment.region.host.inventory().machines == {row["id"]: True for row in servers}
    return {row["name"]: row["id"] for row in servers}
