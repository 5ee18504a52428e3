"""One lab for each engine and session, in the session's own network; and what was acknowledged in it so far."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infra.domain.store_health import Health
from infra.drivers.store.mount import ImageStore
from infra.lab.errors import LabError
from infra.lab.lab import Lab, require
from infra.lab.processes import wait_until

HEAL = 300.0
"""Seconds that an engine has until every copy is where it belongs again."""


@dataclass
class Yard:
    """A lab that is up, and the digests of all images that anybody was told are stored in it."""

    lab: Lab
    acknowledged: list[str] = field(default_factory=list)

    def store(self, client: str, patience: float = 120) -> ImageStore:
        return ImageStore(self.lab.clients[client].mount, patience=patience)

    def healed(self) -> Health:
        """Bring every zone back, and wait until the engine is well."""
        for zone in self.lab.zones:
            self.lab.heal(zone)
        return self.told("healthy")

    def told(self, *states: str) -> Health:
        """The engine's health, once it is one of these; the next look may see a write on its way as one to heal."""
        seen = [self.lab.health()]

        def look() -> bool:
            seen[0] = self.lab.health()
            return seen[0].word in states

        wait_until(look, HEAL, every=0.5)
        return seen[0]


@pytest.fixture(scope="session", params=["glusterfs", "cephfs"])
def built_yard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    try:
        require(request.param)
    except LabError as error:
        if os.geteuid() == 0:
            raise  # `make test` installs what is missing
        pytest.skip(str(error))
    lab = Lab(tmp_path_factory.mktemp("lab") / request.param, print)
    try:
        lab.up(request.param)
        yard = Yard(lab)
        asyncio.run(yard.store("a").mark("the lab's"))
        yield yard
    finally:
        lab.down()


@pytest.fixture
def yard(built_yard: Yard) -> Iterator[Yard]:
    """The lab of the session, with every zone there again for the next test."""
    yield built_yard
    built_yard.healed()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path
