"""One run of a tool on content that nobody vouches for: it sees its own libraries and the files named, and no more.

bubblewrap gives it namespaces of its own (user, mount, pid, ipc, uts, network) without root, seccomp the system calls
it may make, prlimit its memory, time and file size. When we are root the run has a uid that is nobody else's: the files
are given to it for as long as it runs, and shown to it where no directory of ours is in the way. It ends with all that
it started when its caller is cancelled, and when this process dies.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from infra.drivers.seccomp import filter_file

# Where root shows the files to the run, in a mount namespace of its own: the first that none of the files lies under.
STAGES = (Path("/mnt"), Path("/media"), Path("/srv"), Path("/opt"))
UIDS = range(0x6F00_0000, 0x6F10_0000)  # a run draws one; far from every account, subordinate ones too
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # of bubblewrap; the tool has none of it
LAST_WORDS = 4096  # bytes of what the tool says on stderr that are kept
PIECE = 65536  # bytes
LIBRARY = re.compile(r"(?:=> |^\s*)(/\S+) \(0x", re.M)


class ConfinementFailed(Exception):
    """The run did not begin: bubblewrap is missing, or this machine does not let it make its namespaces."""


@dataclass(frozen=True, slots=True)
class Bounds:
    memory: int  # bytes of address space
    cpu: int  # seconds of all threads together
    file_size: int  # bytes, of every file that is written to
    open_files: int = 64
    stack: int = 2**20  # bytes, of every thread


@dataclass(frozen=True, slots=True)
class Ended:
    """``status``: the tool's exit status, or 128 and the signal's number. ``words``: the end of its stderr."""

    status: int
    words: str


async def run_confined(
    program: Path,
    *arguments: str,
    bounds: Bounds,
    readable: Mapping[str, Path] | None = None,
    writable: Mapping[str, Path] | None = None,
    heard: Callable[[bytes], None] = lambda said: None,
) -> Ended:
    """Run ``program`` to its end. ``readable`` and ``writable``: files or directories by the path it sees them at.

    ``heard`` is given what it says on stdout. The time that it has is the caller's (`asyncio.timeout`), who has to be
    on the event loop of the main thread. ConfinementFailed: it could not be begun.
    """
    reads, writes = _resolved(readable), _resolved(writable)
    program, libraries = _closure(program)
    with ExitStack() as stack:
        rules, (status, told) = filter_file(), os.pipe()
        os.set_blocking(status, False)
        for file in (rules, status):
            stack.callback(os.close, file)
        try:
            before: list[str] = []
            if os.geteuid() == 0:
                loan = stack.enter_context(_lent((*reads.values(), *writes.values())))
                before = loan.command()
                reads, writes = ({at: loan.shown(path) for at, path in some.items()} for some in (reads, writes))
            box = _bubblewrap({**libraries, **reads}, writes, rules, told)
            argv = [*_limits(bounds), *before, *box, "--", str(program), *arguments]
            process = await _start(argv, (rules, told))
        finally:
            os.close(told)
        words = await _attended(process, heard)
        return Ended(_status(status, words), words)


async def _start(argv: Sequence[str], files: Sequence[int]) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            cwd="/",
            pass_fds=files,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfinementFailed(f"{argv[0]}: {error.strerror}") from error


async def _attended(process: asyncio.subprocess.Process, heard: Callable[[bytes], None]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    words = asyncio.create_task(_last_words(process.stderr))
    try:
        while said := await process.stdout.read(PIECE):
            heard(said)
        await process.wait()
        return (await words).decode(errors="replace").strip()
    finally:
        # bubblewrap dies, and with it the first process of the namespace, and with that every other in it.
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
        words.cancel()


async def _last_words(stream: asyncio.StreamReader) -> bytes:
    words = b""
    while said := await stream.read(PIECE):
        words = (words + said)[-LAST_WORDS:]
    return words


def _status(file: int, words: str) -> int:
    """What bubblewrap told of the tool, apart from its own status, if the tool was begun."""
    with suppress(BlockingIOError):
        for line in os.read(file, PIECE).splitlines():
            told = json.loads(line)
            if "exit-code" in told:
                return int(told["exit-code"])
    raise ConfinementFailed(words or "bubblewrap was killed")


def _resolved(files: Mapping[str, Path] | None) -> dict[str, Path]:
    return {inside: path.resolve(strict=True) for inside, path in (files or {}).items()}


@cache
def _closure(program: Path) -> tuple[Path, dict[str, Path]]:
    """A program of the system's, and it with the libraries that it is linked with (ldd has its own loader say them)."""
    if not program.exists():
        raise ConfinementFailed(f"{program} is not there")
    program = program.resolve()
    listed = subprocess.run(("ldd", str(program)), capture_output=True, text=True, env={**ENVIRONMENT, "LC_ALL": "C"})
    if listed.returncode != 0:
        raise ConfinementFailed(f"{program}: {listed.stderr.strip() or listed.stdout.strip()}")
    libraries = {library: Path(library).resolve(strict=True) for library in LIBRARY.findall(listed.stdout)}
    return program, {str(program): program, **libraries}


# Arguments: the stage, how many files, then for each its path and its name under the stage; then the command.
STAGING = """
set -e
stage=$1 count=$2; shift 2
mount -t tmpfs -o mode=0755,size=1m,nosuid,nodev none "$stage"
while [ "$count" -gt 0 ]; do
  if [ -d "$1" ]; then mkdir "$stage/$2"; else : >"$stage/$2"; fi
  mount --bind "$1" "$stage/$2"
  shift 2; count=$((count - 1))
done
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Loan:
    """Root's files in the hands of a run that is not root: a uid that owns them for a while, and where it sees them.

    It would not get at them by their own paths, which may lead through directories that are only root's.
    """

    uid: int
    stage: Path
    paths: tuple[Path, ...]

    def shown(self, path: Path) -> Path:
        return self.stage / str(self.paths.index(path))

    def command(self) -> list[str]:
        """Show the files in a mount namespace that nobody else sees, then be root no more."""
        pairs = [word for path in self.paths for word in (str(path), self.shown(path).name)]
        shell = ["sh", "-c", STAGING, "sh", str(self.stage), str(len(self.paths)), *pairs]
        dropped = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "--inh-caps=-all"]
        return ["unshare", "--mount", "--propagation=private", "--", *shell, *dropped, "--no-new-privs"]


@contextmanager
def _lent(paths: tuple[Path, ...]) -> Iterator[Loan]:
    """The files belong to a uid of the run's own, until it has ended."""
    stage = next((one for one in STAGES if one.is_dir() and not any(path.is_relative_to(one) for path in paths)), None)
    if stage is None:
        raise ConfinementFailed(f"none of {', '.join(map(str, STAGES))} can be used to show files to a confined tool")
    loan = Loan(secrets.choice(UIDS), stage, paths)
    owners = {path: path.stat() for path in paths}
    try:
        for path in paths:
            os.chown(path, loan.uid, loan.uid)
        yield loan
    finally:
        for path, owner in owners.items():
            with suppress(FileNotFoundError):
                os.chown(path, owner.st_uid, owner.st_gid)


def _limits(bounds: Bounds) -> list[str]:
    return [
        "prlimit",
        f"--as={bounds.memory}",
        f"--cpu={bounds.cpu}",
        f"--fsize={bounds.file_size}",
        f"--nofile={bounds.open_files}",
        f"--stack={bounds.stack}",
        "--core=0",
    ]


def _bubblewrap(readable: Mapping[str, Path], writable: Mapping[str, Path], rules: int, told: int) -> list[str]:
    command = ["bwrap", "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    command += ["--unshare-cgroup-try", "--hostname", "confined", "--uid", "65534", "--gid", "65534"]
    command += ["--cap-drop", "ALL", "--die-with-parent", "--clearenv", "--chdir", "/"]
    command += ["--setenv", "MALLOC_ARENA_MAX", "1"]  # else each thread takes 64 MiB of the address space, and more
    command += ["--dev-bind", "/dev/null", "/dev/null"]
    command += ["--seccomp", str(rules), "--json-status-fd", str(told)]
    for option, files in (("--ro-bind", readable), ("--bind", writable)):
        for inside, path in files.items():
            command += [option, str(path), inside]
    return [*command, "--remount-ro", "/"]
