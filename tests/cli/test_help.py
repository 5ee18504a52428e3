"""Help is good reading, and changes only when somebody means it: golden/<command>.txt is the exact output.

``PUCHIFY_GOLDEN=write pytest tests/cli/test_help.py`` writes them anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.cli.run import puchify
from workers.cli import app

GOLDEN = Path(__file__).with_name("golden")
COMMANDS = (
    *(
        "",
        "up",
        "api",
        "worker",
        "worker region",
        "worker host",
        "worker edge",
        "worker versions",
        "worker promote",
        "db",
        "db migrate",
    ),
    *("key", *(f"key {command}" for command in ("create", "list", "revoke", "rotate"))),
    *("user", "user create", "user list", "project", "project create", "project edit", "project list"),
    *("quota", *(f"quota {command}" for command in ("list", "set", "approve", "reject"))),
    *("image", "image build", "image cache", "doctor", "clean", "audit", "capacity", "deadlines", "explain", "host"),
    *("catalog", "catalog apply", "catalog show"),
    *("edge", "edge add", "edge haproxy", "edge list", "edge remove"),
    *("frr", "frr config", "frr config host"),
    *("store", "store init", "store check", "store health"),
    *("lab", *(f"lab {command}" for command in ("up", "status", "kill", "cut", "heal", "exec", "down"))),
    *(f"host {command}" for command in ("list", "show", "topology", "join", "enrol", "enrolments", "edit")),
    *(f"host {command}" for command in ("cordon", "uncordon", "drain", "lost", "remove")),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str) -> None:
    ended = CliRunner().invoke(app, [*command.split(), "--help"], prog_name="puchify", env={"COLUMNS": "80"})
    assert ended.exit_code == 0
    golden = GOLDEN / f"{command.replace(' ', '-') or 'puchify'}.txt"
    if os.environ.get("PUCHIFY_GOLDEN") == "write":
        golden.write_text(ended.output)
    assert ended.output == golden.read_text()
    summaries = ended.output.partition("Commands:")[2]
    assert "..." not in summaries  # one that was cut says nothing


def test_no_command_asks_for_help() -> None:
    ended = puchify()
    assert ended.code == 2
    assert ended.err == (GOLDEN / "puchify.txt").read_text()
