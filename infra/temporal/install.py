"""Temporal's programs at pinned versions: from PATH when they are there, else built once from source and kept.

Nobody ships them as packages, so they are built by `go install` from the Go module proxy, whose checksum database
vouches for every byte. A build takes minutes and its result is good for ever: it is kept under ~/.cache/puchify by
version, put in place by a rename, under a lock, so that two installs at once do the work only once.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.temporal.go import InstallError, find_go

Log = Callable[[str], None]
STILL_BUILDING = 30.0  # seconds between two signs of life


@dataclass(frozen=True, slots=True)
class Program:
    """One pinned program: what it is called, what it is built from, and how long that takes on 2 cores."""

    name: str
    package: str
    version: str
    minutes: float
    tags: str = ""
    built_name: str = "server"  # `go install` names a program after its directory


SERVER = Program(
    "temporal-server",
    "go.temporal.io/server/cmd/server",
    "1.32.2",
    minutes=5,
    tags="disable_grpc_modules",  # without the cloud vendors' SDKs: minutes and 100 MB less
)
SQL_TOOL = Program(
    "temporal-sql-tool", "go.temporal.io/server/cmd/tools/sql", "1.32.2", 0.2, "disable_grpc_modules", "sql"
)
UI = Program("temporal-ui-server", "github.com/temporalio/ui-server/v2/cmd/server", "2.54.1", 0.5)
CLI = Program("temporal", "github.com/temporalio/cli/cmd/temporal", "1.5.1", 3.5, built_name="temporal")


@dataclass(frozen=True, slots=True)
class Binaries:
    server: Path
    sql_tool: Path
    ui: Path
    cli: Path


def ensure_binaries(log: Log, cache: Path | None = None) -> Binaries:
    """All four, built when missing (about nine minutes the first time). Blocks."""
    return Binaries(*(ensure_program(program, log, cache) for program in (SERVER, SQL_TOOL, UI, CLI)))


def ensure_program(program: Program, log: Log, cache: Path | None = None) -> Path:
    """One of them: whoever does without the UI or the CLI need not wait for it."""
    if (found := on_path(program)) is not None:
        return found
    place = cache or default_cache()
    kept = place / "bin" / f"{program.name}-{program.version}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with _alone(place / "lock", log):
            for killed in kept.parent.glob(".build-*"):  # nobody else builds now: a predecessor's
                shutil.rmtree(killed)
            if not kept.exists():  # somebody else may have built it while we waited
                _build(program, kept, find_go(log, place), log)
    return kept


def default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "puchify"


def on_path(program: Program) -> Path | None:
    """The program from PATH, if it says that it is of the pinned version."""
    found = shutil.which(program.name)
    if found is None:
        return None
    try:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    # "temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)": only the first number is the program's own.
    numbers = re.search(r"version v?(\d+\.\d+\.\d+)(?![\w.-])", said)
    return Path(found) if numbers and numbers[1] == program.version else None


def _build(program: Program, kept: Path, go: Path, log: Log) -> None:
    log(f"building {program.name} {program.version}: about {program.minutes:g} min on 2 cores, once")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".build-") as directory:
        built = Path(directory) / program.built_name
        with _signs_of_life(program, log):
            done = subprocess.run(
                [str(go), "install", "-tags", program.tags, f"{program.package}@v{program.version}"],
                cwd=directory,  # away from any go.mod
                # GOFLAGS and GOOS of somebody's own would change what is built, or where it lands.
                env={**_without("GOFLAGS", "GOOS", "GOARCH"), **_build_env(directory)},
                capture_output=True,
                text=True,
            )
        if done.returncode != 0:
            end = "\n  ".join(done.stderr.strip().splitlines()[-15:])
            raise InstallError(f"building {program.name} {program.version} failed:\n  {end}")
        built.replace(kept)
    log(f"built {program.name} {program.version} in {time.monotonic() - begun:.0f} s")


def _build_env(directory: str) -> dict[str, str]:
    # No C compiler needed; and the go command fetches the toolchain that a module asks for.
    return {"CGO_ENABLED": "0", "GOTOOLCHAIN": "auto", "GOBIN": directory}


def _without(*names: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in names}


@contextmanager
def _alone(path: Path, log: Log) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("another install is building: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _signs_of_life(program: Program, log: Log) -> Iterator[None]:
    """Say now and then that it goes on: `go install` is silent for minutes."""
    over = threading.Event()

    def tell() -> None:
        begun = time.monotonic()
        while not over.wait(STILL_BUILDING):
            elapsed = (time.monotonic() - begun) / 60
            log(f"  still building {program.name}: {elapsed:.1f} of about {program.minutes:g} min")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def main() -> int:
    def log(line: str) -> None:
        print(line, flush=True)

    try:
        binaries = ensure_binaries(log)
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    for path in (binaries.server, binaries.sql_tool, binaries.ui, binaries.cli):
        log(str(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
