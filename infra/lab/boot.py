"""What a machine of the lab does when it is switched on: programs that run to their end, and daemons that are kept.

Kept in a file of the machine's, as an operating system's is: whoever switches it on again needs to know nothing of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from infra.lab.nodes import Node

FILE = "boot.json"
PATIENCE = 120.0  # seconds for a step


@dataclass(frozen=True, slots=True)
class Step:
    """``kept``: a daemon, started again whenever it ends."""

    argv: tuple[str, ...]
    kept: bool = False


def write(node: Node, *steps: Step) -> None:
    node.directory.mkdir(parents=True, exist_ok=True)
    verbs: list[tuple[Literal["keep", "run"], tuple[str, ...]]] = [
        ("keep" if step.kept else "run", step.argv) for step in steps
    ]
    (node.directory / FILE).write_text(json.dumps(verbs))


def perform(node: Node) -> None:
    """LabError: a step failed, and says why."""
    try:
        verbs = json.loads((node.directory / FILE).read_text())
    except FileNotFoundError:
        return
    for verb, argv in verbs:
        if verb == "keep":
            node.keep(*argv)
        else:
            node.run(*argv, patience=PATIENCE)
