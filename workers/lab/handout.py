"""What somebody who has a lab does with it: how to reach what is on it, and a command run on one of its machines."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.lab.errors import LabError
from infra.lab.places import CONTROL, LOCATION, OUTSIDE
from infra.lab.region import Region
from workers.lab.control import KEY_NAME
from workers.lab.machines import API, control_address, control_state
from workers.local.place import Place


def lines(region: Region) -> list[str]:
    """For whoever has just set it up."""
    place = Place(control_state(region))
    order = f'{{"name": "first", "server_type": "px1", "image": "tiny", "ssh_keys": ["{KEY_NAME}"]}}'
    return [
        f"API      http://{control_address()}:{API}/api/v1 on the lab's switch; on {CONTROL}, localhost:{API}",
        f"Token    in {place.token}",
        f"SSH key  {place.ssh_key}, of servers ordered with the key {KEY_NAME!r}",
        "",
        f"A server in {LOCATION}, its login from the world outside, and what the routers know of it:",
        f"  puchify lab exec {CONTROL} -- curl -s localhost:{API}/api/v1/servers -H 'Prefer: wait=30' \\",
        f"    -H \"Authorization: Bearer $(cat {place.token})\" -d '{order}'",
        f"  puchify lab exec {OUTSIDE} -- ssh -i {place.ssh_key} root@203.0.113.1",
        "  puchify lab exec r1 -- vtysh -c 'show ip route'",
        "To break and to mend: `puchify lab kill h1`, `puchify lab cut z2`, `puchify lab heal z2`; `puchify lab down`.",
    ]


def run_on(region: Region, machine: str, command: Sequence[str]) -> None:
    """In place of this process. LabError: there is no such machine, or it is off."""
    argv = entering(region, machine, command)
    # What came with this Python is found on the machine as well, `puchify` among it.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    if machine == CONTROL:
        os.environ["PUCHIFY_STATE"] = str(control_state(region))
    os.execvp(argv[0], argv)


def entering(region: Region, machine: str, command: Sequence[str]) -> tuple[str, ...]:
    nodes = {**region.lab.zones, **region.nodes}
    region.lab.engine()
    if machine not in nodes:
        raise LabError(f"there is no machine {machine!r}: it is one of {', '.join(nodes)}")
    init = nodes[machine].init()
    if init is None:
        raise LabError(f"{machine} is off: `puchify lab heal {machine}` switches it on")
    return (*nodes[machine].entering(init), *command)
