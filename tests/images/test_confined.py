"""A confined tool has what it was given and nothing else; tried from inside, as the tool would."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from infra.drivers.confined import ConfinementFailed, run_confined
from infra.drivers.seccomp import filter_file
from tests.images.inside import BOUNDS, LIBRARY, PYTHON, inside

ROOT = Path(__file__).parents[2]
SLEEP = "import os, time; os.fork(); os.fork(); time.sleep(600)"


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG"])
async def test_it_opens_no_socket(family: str) -> None:
    printed, _ = await inside(
        f"import socket\ntry: socket.socket(socket.{family}, socket.SOCK_RAW)\nexcept OSError as e: print(e.errno)"
    )
    assert printed == "1\n"  # EPERM


@pytest.mark.parametrize(
    "name",
    ["/etc/shadow", "/etc/passwd", "/proc/self/status", "/sys/kernel", "/dev/mem", "/tmp", "/run", "/home", "/root"],
)
async def test_it_sees_nothing_of_the_system(name: str) -> None:
    printed, _ = await inside("import os, sys; print(os.path.lexists(sys.argv[1]))", name)
    assert printed == "False\n"


async def test_it_sees_no_file_beside_its_own(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.write_text("mine")
    other.write_text("not mine")
    tree = "import os; print(*(n for d, _, names in os.walk('/') for n in names if d[:4] not in ('/usr', '/lib')))"
    printed, _ = await inside(tree, readable={"/given/own": own})
    assert sorted(printed.split()) == ["null", "own"]


async def test_it_reads_what_it_was_given(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("mine")
    own.chmod(0o600)
    printed, _ = await inside("print(open('/own').read())", readable={"/own": own})
    assert printed == "mine\n"


async def test_it_cannot_write_to_what_it_may_read(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("mine")
    await inside("open('/own', 'r+').write('changed')", readable={"/own": own})
    assert own.read_text() == "mine"


@pytest.mark.parametrize("name", ["/new", "/usr/new", f"{LIBRARY}/new", "/dev/new"])
async def test_it_makes_no_file_of_its_own(name: str) -> None:
    _, ended = await inside("import sys; open(sys.argv[1], 'w')", name)
    assert ended.status == 1
    assert "Read-only file system" in ended.words or "Permission denied" in ended.words


async def test_it_writes_to_what_it_was_given(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.touch(0o600)
    await inside("open('/own', 'w').write('written')", writable={"/own": own})
    assert own.read_text() == "written"


async def test_its_files_belong_to_whom_they_belonged(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.touch()
    before = own.stat()
    await inside("raise SystemExit(1)", writable={"/own": own})
    assert (own.stat().st_uid, own.stat().st_gid) == (before.st_uid, before.st_gid)


async def test_nothing_of_our_environment_is_in_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUCHIFY_SECRET", "x")
    printed, _ = await inside("import os; print(*sorted(set(os.environ) - {'PWD', 'LC_CTYPE'}))")  # which they set
    assert printed == "MALLOC_ARENA_MAX\n"


async def test_its_threads_share_what_memory_it_may_have() -> None:
    """As qemu-img begins them where the disks are slow: each with an arena of its own, they would not fit."""
    threads = """if True:
        import threading
        all_begun = threading.Event()
        def work():
            held = bytes(100_000)
            all_begun.wait()
        begun = [threading.Thread(target=work) for _ in range(64)]
        for thread in begun: thread.start()
        all_begun.set()
        for thread in begun: thread.join()
        print(len(begun))
    """
    printed, ended = await inside(threads, bounds=replace(BOUNDS, memory=2**28))
    assert printed == "64\n", ended.words


async def test_it_inherits_no_file(tmp_path: Path) -> None:
    program = "import os\nfor n in range(3, 60):\n  try: print(n, os.fstat(n))\n  except OSError: pass"
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        printed, _ = await inside(program)
    assert printed == ""


@pytest.mark.parametrize(
    "call",
    [
        "unshare(0x10000000)",  # a user namespace, and with it capabilities
        "setns(0, 0)",
        "mount(b'none', b'/usr', b'tmpfs', 0, 0)",
        "ptrace(16, 1, 0, 0)",
        "chroot(b'/usr')",
        "syscall(425, 8, 0)",  # io_uring_setup
        "syscall(250, 0, 0)",  # keyctl
        "syscall(321, 0, 0, 0)",  # bpf
        "syscall(56, 0x10000000 | 17, 0, 0, 0, 0)",  # clone of a user namespace
        "syscall(165, b'none', b'/usr', b'tmpfs', 0, 0)",  # mount
        "syscall(101, 16, 1, 0, 0)",  # ptrace
    ],
)
async def test_it_may_not_make_calls_that_no_tool_needs(call: str) -> None:
    printed, _ = await inside(
        f"import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nprint(c.{call}, ctypes.get_errno())"
    )
    assert printed == "-1 1\n"


async def test_a_call_that_the_filter_cannot_look_into_is_not_there() -> None:
    """clone3 has its flags in memory; libc does without it when it is told ENOSYS."""
    printed, _ = await inside(
        "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nprint(c.syscall(435, 0, 0), ctypes.get_errno())"
    )
    assert printed == "-1 38\n"


async def test_it_has_threads(tmp_path: Path) -> None:
    printed, _ = await inside("import threading as t; a = t.Thread(target=print, args=('there',)); a.start(); a.join()")
    assert printed == "there\n"


async def test_it_is_nobody_inside() -> None:
    printed, _ = await inside("import os; print(os.getuid(), os.geteuid(), os.getgid(), os.getpid() < 10)")
    assert printed == "65534 65534 65534 True\n"


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 what is waited for happens in other processes
            await asyncio.sleep(0.02)


def of_a_run(parent: int | None = None) -> list[psutil.Process]:
    """The confined tool's own processes, seen from outside: four when all have begun."""
    found = []
    for process in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.Error):
            if SLEEP in process.cmdline() and process.exe().startswith("/usr/bin/python3"):
                found.append(process)
    return found


async def running(run: Awaitable[object]) -> asyncio.Task[object]:
    task = asyncio.ensure_future(run)
    await until(lambda: len(of_a_run()) == 4)
    assert isinstance(task, asyncio.Task)
    return task


async def ended(task: asyncio.Task[object]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_it_is_not_root_outside_either() -> None:
    task = await running(inside(SLEEP))
    uids = {id for process in of_a_run() for id in process.uids()}
    groups = {id for process in of_a_run() for id in process.gids()}
    await ended(task)
    assert 0 not in uids | groups


async def test_it_has_namespaces_of_its_own() -> None:
    task = await running(inside(SLEEP))
    process = of_a_run()[0].pid
    kinds = ("user", "mnt", "pid", "ipc", "uts", "net")
    shared = [k for k in kinds if os.readlink(f"/proc/{process}/ns/{k}") == os.readlink(f"/proc/self/ns/{k}")]
    await ended(task)
    assert shared == []


async def test_it_has_no_capability_and_gains_none() -> None:
    task = await running(inside(SLEEP))
    with open(f"/proc/{of_a_run()[0].pid}/status") as file:  # noqa: ASYNC230
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
    await ended(task)
    assert [status[set] for set in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == ["0" * 16] * 5
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


async def test_all_of_it_ends_with_its_caller_cancelled() -> None:
    task = await running(inside(SLEEP))
    processes = of_a_run()
    await ended(task)
    await until(lambda: not any(process.is_running() for process in processes))


async def test_all_of_it_ends_at_its_time() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await inside(SLEEP)
    assert time.monotonic() - began < 60
    await until(lambda: not of_a_run())


async def test_all_of_it_ends_with_a_process_that_is_killed() -> None:
    program = f"import asyncio; from tests.images.inside import inside; asyncio.run(inside({SLEEP!r}))"
    caller = subprocess.Popen((sys.executable, "-c", program), cwd=ROOT)  # noqa: ASYNC220
    try:
        await until(lambda: len(of_a_run(caller.pid)) == 4)
        processes = of_a_run(caller.pid)
    finally:
        caller.send_signal(signal.SIGKILL)
        caller.wait()
    await until(lambda: not any(process.is_running() for process in processes))


async def test_its_memory_is_bounded() -> None:
    _, ended = await inside("bytearray(2**29)")
    assert "MemoryError" in ended.words


async def test_what_it_writes_is_bounded(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.touch()
    await inside("import os; f = os.open('/own', 1)\nwhile True: os.write(f, bytes(2**16))", writable={"/own": own})
    assert own.stat().st_size == BOUNDS.file_size


async def test_its_processor_time_is_bounded() -> None:
    _, ended = await inside("while True: pass", bounds=replace(BOUNDS, cpu=1))
    assert ended.status in (128 + signal.SIGXCPU, 128 + signal.SIGKILL)


async def test_its_open_files_are_bounded() -> None:
    _, ended = await inside("import os; [os.pipe() for _ in range(100)]")
    assert "Too many open files" in ended.words


async def test_how_it_ended_is_told() -> None:
    _, ended = await inside("import sys; sys.stderr.write('x' * 10**6 + 'last words'); sys.exit(7)")
    assert ended.status == 7
    assert ended.words.endswith("last words")
    assert len(ended.words) <= 4096


async def test_a_tool_that_could_not_be_begun_is_no_bad_end() -> None:
    with pytest.raises(ConfinementFailed):
        await run_confined(PYTHON, bounds=replace(BOUNDS, memory=2**20))


async def test_a_tool_that_is_missing_could_not_be_begun() -> None:
    with pytest.raises(ConfinementFailed, match="not there"):
        await run_confined(Path("/usr/bin/no-such-tool"), bounds=BOUNDS)


def test_the_filter_is_a_program_of_some_size() -> None:
    file = filter_file()
    try:
        size = os.fstat(file).st_size
    finally:
        os.close(file)
    assert size % 8 == 0
    assert 100 < size // 8 < 4096


PLAIN_USER = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from infra.drivers.confined import Bounds, run_confined
target = Path(sys.argv[1], "target")
target.touch()
program = "import os; open('/target', 'w').write(f'{os.getuid()} {os.path.exists(\\"/etc\\")}')"
asyncio.run(run_confined(
    Path("/usr/bin/python3"), "-I", "-S", "-c", program, bounds=Bounds(2**29, 20, 2**20),
    readable={sys.argv[2]: Path(sys.argv[2])}, writable={"/target": target}))
print(os.getuid(), target.read_text())
"""


@contextmanager
def readable_copy() -> Iterator[str]:
    """The confinement's own files where a plain user can read them, which the checkout may not be."""
    with tempfile.TemporaryDirectory() as copy:
        for name in ("__init__.py", "drivers/__init__.py", "drivers/confined.py", "drivers/seccomp.py"):
            Path(copy, "infra", name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / "infra" / name, Path(copy, "infra", name))
        os.chmod(copy, 0o777)
        yield copy


@pytest.mark.skipif(os.getuid() != 0, reason="a plain user already")
def test_a_plain_user_can_confine_too() -> None:
    with readable_copy() as copy:
        printed = subprocess.run(
            ("setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", PYTHON, "-c", PLAIN_USER, copy, LIBRARY),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert printed == "65533 65534 False\n"
