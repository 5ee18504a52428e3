"""What is struck, and by what: every step of the table of options, each in a story that comes to it, and every fault.

The steps are the product's own list. One that is added there and has no story here fails the suite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workflows.options import FACTOR, STEPS

StoryName = Literal[
    "create",
    "doomed",
    "buried",
    "delete",
    "delete_early",
    "power",
    "shutdown",
    "change",
    "silent",
    "sweep",
    "audit",
    "care",
]

STORY: dict[str, StoryName] = {
    # an order becomes a running server
    **dict.fromkeys(("reserve_quota", "place_server", "assign_addresses"), "create"),
    **dict.fromkeys(("ensure_image", "create_disk", "write_seed", "attach_ports"), "create"),
    **dict.fromkeys(("define_machine", "start_machine", "wait_ready", "finish"), "create"),
    **dict.fromkeys(("publish_dns", "register_targets", "follow_plan"), "create"),
    # an order that comes to nothing in its last step
    **dict.fromkeys(("destroy_machine", "detach_ports", "remove_seed", "remove_disk"), "doomed"),
    **dict.fromkeys(("release_addresses", "release_claim", "release_quota", "fail"), "doomed"),
    **dict.fromkeys(("withdraw_dns", "deregister_targets"), "doomed"),
    "bury": "buried",  # and whose host refuses an undo
    "hear_host": "silent",  # whose first host does not work
    **dict.fromkeys(("read_holdings", "finish_delete"), "delete"),
    "stop_create": "delete_early",
    # a server is reset, rebooted, stopped and started again
    **dict.fromkeys(("power_on", "power_off", "press_power", "finish_power", "read_machine"), "power"),
    "settle_power": "shutdown",  # a guest obeys its power button late, and is started again
    # a server that runs comes into a network
    **dict.fromkeys(("follow_change", "read_affected", "finish_change"), "change"),
    "sweep_orders": "sweep",
    "audit_region": "audit",
    **dict.fromkeys(("check_images", "sweep_store"), "care"),
}

ELSEWHERE = frozenset(
    {
        *("read_import", "fetch_source", "gather_image", "convert_image", "publish_image"),
        *("finish_import", "fail_import", "clear_import"),
    }
)
"""Steps that no server's life comes to. They are struck in `tests/imports/test_faults.py`, and `fetch_source` in
`tests/imports/test_sources.py`."""

ON_EDGES = frozenset(name for name, step in STEPS.items() if step.place == "edge")

UNDO_OF = {
    "reserve_quota": "release_quota",
    "place_server": "release_claim",
    "assign_addresses": "release_addresses",
    "create_disk": "remove_disk",
    "write_seed": "remove_seed",
    "attach_ports": "detach_ports",
    "publish_dns": "withdraw_dns",
    "register_targets": "deregister_targets",
    "define_machine": "destroy_machine",
    "start_machine": "destroy_machine",
}

REFUSES = frozenset(UNDO_OF) | ON_EDGES | {"ensure_image", "wait_ready"}
"""The steps that may say no for good; in the region an undo, an end and a delete never do. An edge's no stops none."""

FAULTS: dict[str, str] = {
    "error_before": "fails, nothing done",
    "error_after": "fails, all done",
    "refused_before": "refuses for good, nothing done",
    "refused_after": "refuses for good, all done",
    "host_full": "the host fails for good, all done",
    "answer_lost": "done, no answer, tried again",
    "late": "paused until given up, then done",
    "slow": "at work until after it was given up",
    "twice": "delivered twice at once",
    "again": "delivered again after the next step",
    "after_undo": "delivered again after its undo",
    "undo_fails_once": "an undo meets a bug once",
    "undo_fails_long": "an undo fails for a long stretch",
    "delete_arrives": "the owner deletes the server",
    "killed_during": "its worker is killed meanwhile",
    "killed_after": "its worker is killed before it tells",
    "host_gone": "the host goes for good",
    "host_back": "the host goes, and comes back",
}

STEADY: frozenset[StoryName] = frozenset({"create", "power", "shutdown", "change", "silent", "sweep", "audit", "care"})
"""The stories at whose end the server runs."""

OF_POWER: frozenset[StoryName] = frozenset({"power", "shutdown"})
"""Those in which the owner switches the server, which refuse nothing and wait for its host."""

OF_LOCATION: frozenset[StoryName] = frozenset({"sweep", "audit", "care"})
"""The stories whose struck step serves no single server."""
ALONE = OF_LOCATION | {"silent"}
"""The stories that take a location of their own."""

PROCESS = frozenset({"killed_during", "killed_after", "host_gone", "host_back"})
"""The faults that take a worker in a process of its own."""

LONG = 20.0
"""Seconds; what is given up later than that is not waited for."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One place of the matrix."""

    step: str
    fault: str

    @property
    def name(self) -> str:
        return f"{self.step}:{self.fault}"

    @property
    def is_alone(self) -> bool:
        return self.is_process or STORY[self.step] in ALONE

    @property
    def is_process(self) -> bool:
        return self.fault in PROCESS


def is_undo(step: str) -> bool:
    return step in UNDO_OF.values()


def is_on_host(step: str) -> bool:
    return STEPS[step].place == "host"


def must_not_fail(step: str) -> bool:
    """An undo, or another step that gives back or ends."""
    return is_undo(step) or (STEPS[step].place == "region" and STEPS[step].within is None)


def why_not(cell: Cell) -> str | None:
    """Why a fault cannot strike a step; None when it can."""
    step, fault = cell.step, cell.fault
    if fault in ("refused_before", "refused_after") and step not in REFUSES and not is_on_host(step):
        return "it refuses nothing"
    if fault == "host_full" and (is_undo(step) or not is_on_host(step)):
        return "no step forward on a host"
    if fault == "slow" and (not is_on_host(step) or STEPS[step].run * FACTOR > LONG):
        return "as late: no fence to wait at" if not is_on_host(step) else "leaves nothing that is fenced"
    if fault == "after_undo" and step not in UNDO_OF:
        return "has no undo"
    if fault.startswith("undo_") and not must_not_fail(step):
        return "no undo"
    if fault.startswith("host_") and not is_on_host(step):
        return "runs on no host"
    if fault == "host_gone" and STORY[step] in OF_POWER:
        return "is waited for: a server that runs does not move"
    return None


def cells() -> list[Cell]:
    """The whole matrix, impossible places included."""
    return [Cell(step, fault) for step in STEPS if step not in ELSEWHERE for fault in FAULTS]
