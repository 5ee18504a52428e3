"""Negative controls: a harness that cannot fail proves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from infra.db import quotas
from infra.drivers.simulated.machines import SimulatedMachines
from infra.drivers.simulated.ports import SimulatedPorts
from infra.drivers.simulated.storage import SimulatedDisks, SimulatedSeeds
from tests.faults import verdict
from tests.faults.ground import battlefield
from tests.faults.matrix import fight_together
from tests.faults.saboteur import Strike
from tests.faults.stories import ALWAYS
from tests.faults.texts import improper
from tests.faults.trials import Trial
from tests.fix_region import NewRegion

BROKEN = {
    (SimulatedDisks, "remove"): "disk",
    (SimulatedSeeds, "remove"): "seed",
    (SimulatedPorts, "detach"): "port",
    (SimulatedMachines, "destroy"): "machine",
    (quotas, "release"): "quota_reservations",
}

DOOMED = Trial("doomed", "doomed", (), frozenset({"gone"}), is_sure=True)
ENDLESS = Trial("endless", "create", (Strike("wait_ready", "stays", ALWAYS),), frozenset({"running"}), is_sure=True)
UNSTRUCK = Trial("unstruck", "create", (Strike("remove_disk", "twice"),), frozenset({"running"}), is_sure=True)
WRONG = Trial("wrong", "doomed", (), frozenset({"running"}), is_sure=True)


async def _nothing(*args: Any) -> None: ...


async def test_undos_that_do_nothing_are_caught(new_region: NewRegion, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by its own name, although what else cleans up, as hosts do that find strays, uses the same hands."""
    for where, name in BROKEN:
        monkeypatch.setattr(where, name, _nothing)
    monkeypatch.setattr(verdict, "PATIENCE", 3.0)

    async with battlefield(new_region) as field:
        result, left = await fight_together(field, [DOOMED])

    monkeypatch.undo()
    await _mend(new_region)
    assert [what for what in BROKEN.values() if what not in " ".join(result.wrong)] == []
    assert left.wrong


async def _mend(new_region: NewRegion) -> None:
    """What was left on purpose is in books that other tests share."""
    gone = (
        "SELECT server_id FROM quota_reservations r WHERE NOT EXISTS (SELECT FROM servers s WHERE s.id = r.server_id)"
    )
    async with new_region(workers=False) as region:
        while left := await region.one(gone):
            async with region.pool.connection() as connection:
                await quotas.release(connection, left["server_id"])
        await region.assert_balanced()


async def test_what_does_not_end_or_ends_otherwise_is_caught(
    new_region: NewRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict, "PATIENCE", 1.0)

    async with battlefield(new_region) as field:
        endless, unstruck, wrong, _ = await fight_together(field, [ENDLESS, UNSTRUCK, WRONG], limit=20)

    assert "not over after 20 s" in endless.wrong
    assert any("never struck" in text for text in unstruck.wrong)
    assert "the server is gone" in " ".join(wrong.wrong)


@pytest.mark.parametrize(
    "text",
    [
        "the workflow failed",
        "activity create_disk timed out",
        "host.7 is no task queue",
        "run 01a20ba3 was terminated",
        "Temporal does not answer",
        "RuntimeError: nobody thought of this",
        "psycopg.OperationalError",
        "HostUnavailable",
        "Traceback (most recent call last)",
    ],
)
def test_texts_that_are_not_for_owners_are_caught(text: str) -> None:
    assert improper(text)


@pytest.mark.parametrize("text", ["the host does not answer; try again", "the server is running", "no disk is free"])
def test_plain_texts_pass(text: str) -> None:
    assert improper(text) == []
