"""Programs run to their end, with a deadline that holds even for one that cannot be killed (D state on a dead mount).

Daemons keep what they inherit, so output goes to a file and never to a pipe that somebody would have to close.
"""

from __future__ import annotations

import subprocess
import tempfile

from infra.lab.errors import LabError

PATIENCE = 60.0
"""Seconds a program has when nobody says otherwise; the machine may be busy."""

MERCY = 2.0  # seconds
given_up: list[subprocess.Popen[bytes]] = []
"""Whoever could not be killed; kept, since forgetting a child that runs is a fault."""


def run(*argv: str, patience: float = PATIENCE, text: str = "", complaints: bool = False) -> str:
    """Run it with ``text`` as its input; what it said on stdout, and with ``complaints`` on stderr as well.

    LabError: it failed, or took longer than ``patience`` seconds.
    """
    with (
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+", errors="replace") as out,
        tempfile.TemporaryFile("w+", errors="replace") as err,
    ):
        given.write(text)
        given.seek(0)
        try:
            child = subprocess.Popen(argv, stdin=given, stdout=out, stderr=err)
        except FileNotFoundError:
            raise LabError(f"the program {argv[0]} is missing") from None
        try:
            code = child.wait(patience)
        except subprocess.TimeoutExpired:
            _give_up(child)
            raise LabError(f"`{_shown(argv)}` did not end within {patience:.0f} s") from None
        out.seek(0)
        err.seek(0)
        said, complaint = out.read(), err.read()
    if code != 0:
        last = (complaint or said).strip().splitlines()[-3:]
        raise LabError(f"`{_shown(argv)}` failed: {' / '.join(last) or f'exit code {code}'}")
    return said + complaint if complaints else said


def _give_up(child: subprocess.Popen[bytes]) -> None:
    """Kill it. One that cannot be killed now is not waited for; it goes when its mount does."""
    child.kill()
    try:
        child.wait(MERCY)
    except subprocess.TimeoutExpired:
        given_up.append(child)


def _shown(argv: tuple[str, ...]) -> str:
    # How a namespace is entered says nothing to who wants to know what failed.
    return " ".join(argv[argv.index("--") + 1 :] if argv[0] == "nsenter" else argv)
