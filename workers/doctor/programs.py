"""The programs that are run: whether they are there, and in which version."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.db.cluster import PostgresError, find_bin
from infra.temporal.go import OLDEST, WHEEL, version_of
from infra.temporal.install import CLI, SERVER, SQL_TOOL, UI, Program, default_cache, on_path
from workers.doctor.finding import Finding, lacking, ok

OLDEST_PYTHON = (3, 11)


def python() -> Finding:
    if sys.version_info >= OLDEST_PYTHON:
        return ok("python", platform.python_version())
    return lacking("python", True, platform.python_version(), "install Python 3.11 or newer")


def postgres() -> Finding:
    try:
        return ok("postgres", _said([str(find_bin() / "postgres"), "--version"]))
    except PostgresError as error:
        return lacking("postgres", True, "not found", str(error))


def temporal() -> list[Finding]:
    return [_temporal(program) for program in (SERVER, SQL_TOOL, UI, CLI)]


def _temporal(program: Program) -> Finding:
    kept = default_cache() / "bin" / f"{program.name}-{program.version}"
    if found := on_path(program) or (kept if kept.exists() else None):
        return ok(program.name, f"{program.version} ({found})")
    mend = f"make setup builds it once, in about {program.minutes:g} min; `puchify up` does so too"
    return lacking(program.name, False, f"{program.version} is not built yet", mend)


def go() -> Finding:
    """Only needed while Temporal is not built; without one on PATH a pinned one is fetched."""
    found = shutil.which("go")
    if found and (version := version_of(Path(found))) >= OLDEST:
        return ok("go", f"{version[0]}.{version[1]} ({found})")
    return ok("go", f"none on PATH; {WHEEL} is installed when something has to be built")


def libvirt(needed: bool) -> Finding:
    return _program("libvirt", ["libvirtd", "--version"], needed, "apt-get install libvirt-daemon-system")


def qemu(needed: bool) -> Finding:
    return _program("qemu", ["qemu-system-x86_64", "--version"], needed, "apt-get install qemu-system-x86 qemu-utils")


def _program(name: str, argv: Sequence[str], needed: bool, mend: str) -> Finding:
    if shutil.which(argv[0]) is None:
        return lacking(name, needed, f"{argv[0]} not found: servers are simulated", mend)
    return ok(name, _said(argv))


def _said(argv: Sequence[str]) -> str:
    """The version that a program names, or the first line of what it says."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    line = ((done.stdout or done.stderr).strip().splitlines() or ["nothing"])[0]
    number = re.search(r"\d+(\.\d+)+", line)
    return number[0] if number else line
