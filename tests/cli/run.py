"""`puchify` as a user runs it: a process of its own, with nothing of our environment but what the test gives it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 240  # seconds: `up` on a busy machine
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "workers.cli", *words]


def environment(**settings: object) -> dict[str, str]:
    """``settings``: by name, as in infra/config.py."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PUCHIFY_")}
    given = {f"PUCHIFY_{name.upper()}": str(value) for name, value in settings.items()}
    # A width of one's own: help is wrapped to it.
    return {**ours, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "TERMINAL_WIDTH": "80", **given}


def puchify(*words: str, **settings: object) -> Ended:
    done = subprocess.run(
        argv(*words), env=environment(**settings), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)
