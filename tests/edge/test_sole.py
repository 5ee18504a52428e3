"""One edge to a network: a second is refused, and takes nothing of the first away."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from infra.domain.edge_plan import EdgePlan
from infra.domain.errors import Conflict
from infra.drivers.edge_addresses import LINK
from infra.drivers.edge_networks import EdgeNetworks
from infra.drivers.edges import clear
from infra.drivers.sole import sole
from tests.cli.run import puchify
from tests.edge.conftest import RunningEdge
from tests.edge.test_private_sides import balancer


@pytest.mark.parametrize("role", ["edge", "host"])
def test_a_second_worker_is_refused(private_network: None, tmp_path: Path, role: str) -> None:
    with sole(role):
        ended = puchify("worker", role, host="libvirt", state=tmp_path, edge_run=tmp_path)
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith(f"puchify: another {role} of Puchify works on this machine")


def test_it_is_let_go_of_with_its_process(private_network: None) -> None:
    with sole("edge"):
        pass
    with sole("edge", patience=0), pytest.raises(Conflict), sole("edge", patience=0):
        pass


async def test_another_instance_takes_only_its_own_away(edge: RunningEdge) -> None:
    await edge.follow(EdgePlan(1, (balancer(1),)))
    with sole("edge"):
        await asyncio.to_thread(clear, EdgeNetworks(f"other{os.getpid()}-"))
        assert (_side_there(edge), _link_there()) == (True, True)
    await asyncio.to_thread(clear, EdgeNetworks(edge.prefix))
    assert (_side_there(edge), _link_there()) == (False, False)


def _link_there() -> bool:
    return subprocess.run(("ip", "link", "show", LINK), capture_output=True, check=False).returncode == 0


def _side_there(edge: RunningEdge) -> bool:
    return Path(f"/run/netns/{edge.prefix}1").exists()
