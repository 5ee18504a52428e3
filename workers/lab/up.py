"""`puchify lab up`: the whole region, from nothing or from whatever a killed run left of it.

The store first, the routers beside it; then the machine that controls the region and the hosts, all at once. What is
slow and needs the world (the image, Temporal's programs) is made before, outside of the lab.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from infra.guests.build import ensure_image
from infra.lab.errors import LabError
from infra.lab.lab import Lab, require
from infra.lab.nodes import there
from infra.lab.places import CONTROL, LEAVES, PLACES, Place
from infra.lab.processes import wait_until
from infra.lab.region import Region, each
from infra.temporal.install import ensure_binaries
from workers.lab import machines
from workers.lab.control import IMAGE

PATIENCE = 300.0
"""Seconds for the control machine to answer; its books and Temporal's are made anew, on a busy machine."""
PACKAGES = ("frr", "haproxy", "nftables", "libvirt-daemon-system", "qemu-system-x86", "xfsprogs")


def up(lab: Lab, store: str, say: Callable[[str], None]) -> Region:
    """LabError: it cannot be had; what is there of it is taken up by the next `up`, or away by `down`."""
    require(store, PACKAGES)
    region = Region(lab)
    with lab.alone(), ThreadPoolExecutor(3) as threads:
        lab.clear()
        lab.network.ensure_switch()
        before: list[Future[Any]] = [
            threads.submit(ensure_image, IMAGE, log=say),
            threads.submit(ensure_binaries, say),
            threads.submit(region.ensure_core),
        ]
        lab.ensure(store)
        for one in before:
            one.result()
        say("switching on the control machine, six hosts and an edge")
        machines.write_all(region)
        each(lambda place: _switch_on(region, place), (PLACES[CONTROL], *LEAVES))
    return region


def _switch_on(region: Region, place: Place) -> None:
    region.switch_on(place.name)
    if place.name == CONTROL:
        wait_for_control(region)


def wait_for_control(region: Region) -> None:
    """LabError: it does not answer; with the end of what it said."""
    node = region.nodes[CONTROL]
    begun = time.monotonic()
    if not wait_until(lambda: (init := node.init()) is not None and there(init, machines.READY).exists(), PATIENCE):
        said = (node.directory / "daemons.log").read_text(errors="replace").splitlines()[-20:]
        waited = time.monotonic() - begun
        raise LabError("\n  ".join((f"the control machine does not answer after {waited:.0f} s:", *said)))
