"""Power commands: whether a server is to run from then on, and what its owner sees until it is so.

    command           is to run   seen meanwhile          done when
    start_server      yes         starting                it was started; its guest boots from then on
    stop_server       no          stopping                it is off, at once, as by a pulled plug
    shutdown_server   no          as before               its button was pressed; off once its guest obeys
    reboot_server     yes         running (or starting)   it was started again, after its guest shut down or was stopped
    reset_server      yes         running (or starting)   it was started again, after it was stopped

Each may be asked for whatever the server is: what is so already is made sure of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from infra.domain.changes import Change
from infra.domain.models import Failure, MachineState

Rest = Literal["running", "off", "unknown"]
"""What a server is when no command works on it; unknown: its host did not say, within the time that it had."""


Wanted = Literal["on", "off"]

TURNS: Mapping[tuple[Rest, Wanted, MachineState], tuple[Rest, Wanted]] = {
    ("running", "on", "off"): ("off", "off"),
    ("running", "on", "crashed"): ("unknown", "on"),
    ("unknown", "on", "running"): ("running", "on"),
    ("unknown", "off", "off"): ("off", "off"),
}
"""What a server is, and is to be, when no command works on it and its host finds its machine so. A guest that turns
itself off is its owner's wish; one whose machine crashed was to run, and its host brings it up again."""


@dataclass(frozen=True, slots=True)
class Power:
    """``meanwhile``: the status until it is done, unless it is ``already``; None: as it was."""

    desired: Wanted
    already: Rest
    meanwhile: Literal["starting", "stopping"] | None


POWER: Mapping[str, Power] = {
    "start_server": Power("on", "running", "starting"),
    "stop_server": Power("off", "off", "stopping"),
    "shutdown_server": Power("off", "off", None),
    "reboot_server": Power("on", "running", "starting"),
    "reset_server": Power("on", "running", "starting"),
}


@dataclass(frozen=True, slots=True)
class Powered:
    """What became of a command. ``epoch``: of the machine that it was done to. ``failure``: it was given up."""

    change: Change
    status: Rest
    epoch: int = 0
    failure: Failure | None = None
