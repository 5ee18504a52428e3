"""The whole lab leaves nothing behind, and goes on where a killed `puchify lab up` stopped."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from infra.lab.lab import Lab
from infra.lab.places import PLACES
from infra.lab.processes import wait_until
from infra.lab.region import Region
from tests.cli.run import argv, environment, puchify
from tests.fix_netns import outside
from tests.lab.test_lab import remains

SOON = 120.0
"""Seconds in which a thing begins that `up` does."""

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not os.environ.get("LAB_ALL"), reason="a part of make lab-test"),
]


@pytest.mark.parametrize("there", ["r1", "h3"])
def test_a_killed_up_is_gone_on_with(private_network: None, tmp_path: Path, there: str) -> None:
    """It was killed when it had begun with its routers, or with its hosts."""
    lab = Lab(tmp_path / "lab")
    words = ("lab", "up", "--directory", str(lab.directory))
    with outside(lambda: subprocess.Popen(argv(*words), env=environment(), stdout=subprocess.DEVNULL)) as killed:
        assert wait_until(lambda: Region(lab).nodes[there].init() is not None, SOON)
        killed.send_signal(signal.SIGKILL)
    try:
        ended = outside(lambda: puchify(*words))
        assert ended.code == 0, ended.err
        assert all(one.running and one.plugged for one in Region(lab).statuses())
        assert len(Region(lab).statuses()) == len(PLACES)
    finally:
        assert puchify("lab", "down", "--directory", str(lab.directory)).code == 0
    assert remains(lab) == []
