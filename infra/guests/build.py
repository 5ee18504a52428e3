"""Guest images, built once and kept: `ensure_image("tiny")` answers with a directory that holds a bootable disk.

A cache entry is named after the image and a hash over the sources that make it, so an edited builder never meets an
old disk. It appears by one rename, under a lock that a build's own child processes hold too: what has the final name
is complete, and of two builders one waits and then finds the work done. The same sources and packages give the same
disk, byte by byte; packages are the newest of their release. `python -m infra.guests.build tiny` builds too.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

from infra.guests.apt import PACKAGES, missing_packages, mmdebstrap_arguments
from infra.guests.grub import embed_grub
from infra.guests.kernel import extract_vmlinux

__all__ = ["GUESTS", "PACKAGES", "BuildFailed", "BuildImpossible", "GuestImage", "ensure_image", "missing_packages"]

CACHE = Path("~/.cache/puchify/images")
HERE = Path(__file__).parent
SHARED = ("apt.py", "build.py", "disk.sh", "grub.py", "initramfs-init", "kernel.py")
TAIL = 15  # lines of a failed script that its error repeats

Log = Callable[[str], None]
_log = logging.getLogger(__name__)


class BuildImpossible(Exception):
    """This machine cannot build images as it is; the message says what to change."""


class BuildFailed(Exception):
    """A builder's script ended with an error; the message ends with its last lines."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an image is made: its script, the sources that decide its content, and what is told about it."""

    script: str
    sources: tuple[str, ...]  # files and directories beside this module, besides the shared ones
    suite: str
    min_disk_gb: int
    os_flavor: str
    os_version: str
    has_agent: bool
    description: str


def _debian(suite: str, version: str) -> Recipe:
    return Recipe(
        script="debian.sh",
        sources=("debian.sh", "debian"),
        suite=suite,
        min_disk_gb=2,
        os_flavor="debian",
        os_version=version,
        has_agent=False,
        description=f"Debian {version}",
    )


RECIPES = {
    "tiny": Recipe(
        script="tiny.sh",
        sources=("tiny.sh", "tiny", "agent/puchify-agent"),
        suite="trixie",
        min_disk_gb=1,
        os_flavor="unknown",  # the wire knows distributions only
        os_version="1",
        has_agent=True,
        description="Tiny 1 (busybox, dropbear)",
    ),
    "debian-12": _debian("bookworm", "12"),
    "debian-13": _debian("trixie", "13"),
}
GUESTS = tuple(RECIPES)


@dataclass(frozen=True, slots=True)
class GuestImage:
    """A finished image. `directory` holds disk.raw (sparse), vmlinux, initrd, cmdline and image.json."""

    name: str
    directory: Path
    digest: str  # sha256 of disk.raw
    disk_bytes: int
    min_disk_gb: int
    cmdline: str
    os_flavor: str
    os_version: str
    has_agent: bool
    description: str

    @property
    def disk(self) -> Path:
        return self.directory / "disk.raw"

    @property
    def kernel(self) -> Path:
        return self.directory / "vmlinux"

    @property
    def initrd(self) -> Path:
        return self.directory / "initrd"

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read `directory`/image.json; FileNotFoundError when there is no finished image."""
        told = json.loads((directory / "image.json").read_text())
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in told.items() if key in known}, directory=directory)

    def save(self) -> None:
        told = {key: value for key, value in asdict(self).items() if key != "directory"}
        told["files"] = {"disk": self.disk.name, "kernel": self.kernel.name, "initrd": self.initrd.name}
        (self.directory / "image.json").write_text(json.dumps(told, indent=2) + "\n")


def ensure_image(name: str, cache: Path | None = None, log: Log = _log.info) -> GuestImage:
    """The image `name` out of `cache`, built first when it is not there (tiny 20 s, debian 1 to 2 minutes)."""
    cache = (cache or CACHE).expanduser().absolute()
    directory = cache / f"{name}-{cache_key(name)}"
    if not directory.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with _build_lock(cache / f".{directory.name}.lock", log) as lock:
            if not directory.exists():
                _build(name, directory, lock, log)
    return GuestImage.load(directory)


def cache_key(name: str, here: Path = HERE) -> str:
    """The first 12 hex digits of a sha256 over the names and contents of all that makes the image `name`."""
    digest = hashlib.sha256()
    for source in source_files(here, name):
        content = source.read_bytes()
        digest.update(f"{source.relative_to(here)} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def source_files(here: Path, name: str) -> list[Path]:
    """All files below `here` that decide what the image `name` is."""
    named = [here / source for source in (*SHARED, *RECIPES[name].sources)]
    return sorted(file for path in named for file in (path, *path.rglob("*")) if file.is_file())


@contextmanager
def _build_lock(path: Path, log: Log) -> Iterator[int]:
    # The file is never removed, so two builders can never hold two of it.
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(f"waiting for another build ({path.name})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _build(name: str, directory: Path, lock: int, log: Log) -> None:
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a build that was killed: whoever holds the lock owns it
    partial.mkdir()
    try:
        _make_image(name, partial, lock, log)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    log(f"{directory.name}: ready")


def _make_image(name: str, out: Path, lock: int, log: Log) -> None:
    recipe = RECIPES[name]
    log(f"{out.name}: building {recipe.description} from {recipe.suite} packages")
    run_script(recipe, out, lock, log)
    (out / "vmlinux").write_bytes(extract_vmlinux((out / "vmlinuz").read_bytes()))
    subprocess.run(("strip", "-s", str(out / "vmlinux")), check=True, stderr=subprocess.DEVNULL)
    embed_grub(out / "disk.raw", (out / "grub-core").read_bytes())
    shutil.rmtree(out / "work")
    for scrap in ("vmlinuz", "grub-core"):
        (out / scrap).unlink()
    with (out / "disk.raw").open("rb") as disk:
        digest = hashlib.file_digest(disk, "sha256").hexdigest()
    GuestImage(
        name=name,
        directory=out,
        digest=digest,
        disk_bytes=(out / "disk.raw").stat().st_size,
        min_disk_gb=recipe.min_disk_gb,
        cmdline=(out / "cmdline").read_text().strip(),
        os_flavor=recipe.os_flavor,
        os_version=recipe.os_version,
        has_agent=recipe.has_agent,
        description=recipe.description,
    ).save()


def run_script(recipe: Recipe, out: Path, lock: int, log: Log) -> None:
    """Run the recipe's script; its output goes to `log` line by line."""
    check_machine()
    command = ("bash", str(HERE / recipe.script), str(out), recipe.suite, *mmdebstrap_arguments(recipe.suite))
    tail: list[str] = []
    # The children inherit the lock: should this process be killed, nobody builds beside what is still running.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", pass_fds=(lock,)
    ) as script:
        assert script.stdout is not None
        for line in script.stdout:
            log(line.rstrip())
            tail = [*tail, line][-TAIL:]
    if script.returncode != 0:
        raise BuildFailed(f"{recipe.script} ended with status {script.returncode}:\n{''.join(tail)}")


def check_machine() -> None:
    """Say everything at once that keeps this machine from building images."""
    problems = []
    if os.geteuid() != 0:
        problems.append("building guest images needs root (packages are unpacked with their owners)")
    if missing := missing_packages():
        problems.append(f"packages are missing: run `apt-get install {' '.join(missing)}`")
    if problems:
        raise BuildImpossible("; ".join(problems))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.guests.build", description="Build a guest image.")
    parser.add_argument("name", choices=GUESTS)
    parser.add_argument("--cache", type=Path, help=f"default: {CACHE}")
    chosen = parser.parse_args()
    try:
        image = ensure_image(chosen.name, chosen.cache, print)
    except (BuildImpossible, BuildFailed) as problem:
        raise SystemExit(str(problem)) from None
    print(image.directory)


if __name__ == "__main__":
    main()
