"""Negative controls: a harness that cannot fail proves nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from activities.dns import Names
from activities.load_balancers import Edges
from infra.db import names_due, quotas, serving
from infra.drivers.simulated.machines import SimulatedMachines
from infra.drivers.simulated.ports import SimulatedPorts
from infra.drivers.simulated.storage import SimulatedDisks, SimulatedSeeds
from tests.faults import matrix, verdict
from tests.faults.ground import battlefield
from tests.faults.matrix import fight_each, fight_together
from tests.faults.saboteur import Strike
from tests.faults.stories import ALWAYS, Played, depart
from tests.faults.texts import improper
from tests.faults.trials import Trial
from tests.faults.verdict import Chance
from tests.fix_region import NewRegion

BROKEN = {
    (SimulatedDisks, "remove"): "disk",
    (SimulatedSeeds, "remove"): "seed",
    (SimulatedPorts, "detach"): "port",
    (SimulatedMachines, "destroy"): "machine",
    (quotas, "release"): "quota_reservations",
}

UNREACHED = {(names_due, "publish"): "published_names", (serving, "register"): "serving"}
"""The books of what leads to a server."""

RUNNING = Trial("running", "create", (), frozenset({"running"}), is_sure=True)
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


async def test_servers_that_nothing_leads_to_are_caught(new_region: NewRegion, monkeypatch: pytest.MonkeyPatch) -> None:
    for where, name in UNREACHED:
        monkeypatch.setattr(where, name, _nothing)
    monkeypatch.setattr(verdict, "PATIENCE", 1.0)

    async with battlefield(new_region) as field:
        result, _ = await fight_together(field, [RUNNING])

    wrong = " ".join(result.wrong)
    told = [*UNREACHED.values(), "its name is answered by NXDOMAIN", "its edge does not send to it"]
    assert [what for what in told if what not in wrong] == []


async def test_names_and_targets_of_the_gone_are_caught(new_region: NewRegion, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name servers and edge stay as they were while the server goes."""

    async def depart_unnoticed(played: Played) -> None:
        monkeypatch.setattr(Names, "_follow", _nothing)
        monkeypatch.setattr(Edges, "follow", _nothing)
        await depart(played)

    monkeypatch.setattr(matrix, "depart", depart_unnoticed)
    monkeypatch.setattr(verdict, "PATIENCE", 1.0)
    async with battlefield(new_region) as field:
        result, left = await fight_together(field, [RUNNING])

    assert "its name is answered by ['10." in " ".join(result.wrong)
    assert "the edge sends to 10." in " ".join(left.wrong)


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
    assert unstruck.wrong == unstruck.before == (matrix.MISSED,)
    assert not wrong.before
    assert "the server is gone" in " ".join(wrong.wrong)


async def test_only_what_a_busy_machine_explains_is_fought_again() -> None:
    ends = {
        "slow": [[Chance("the server is gone")], []],
        "slow again": [[Chance("the server is gone")], [Chance("the server is gone")]],
        "leaky": [[Chance("the server is gone"), "1 claims"], []],
        "good": [[], ["1 claims"]],
    }

    async def fight(name: str) -> list[str]:
        return ends[name].pop(0)

    results = await fight_each([(name, partial(fight, name)) for name in ends], at_once=4, limit=60)

    assert [(result.wrong, result.before) for result in results] == [
        ((), ("the server is gone",)),
        (("the server is gone",), ("the server is gone",)),
        (("the server is gone", "1 claims"), ()),
        ((), ()),
    ]


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
