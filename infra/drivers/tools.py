"""Programs that interpret what a stranger may have written, held down: e2fsck and resize2fs.

As root they run as nobody, without a capability, a way to gain one, or a network, bounded in time, memory and what
they write. The one thing of ours that they have is the file they work on, which is theirs for so long: it is handed
over open, so they need no path to it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

NOBODY = 65534
PATIENCE = 50.0  # seconds; the step that waits for it has sixty
MEMORY = 2 * 2**30  # bytes of address space: e2fsck takes a fraction of it for the largest plan

AS_NOBODY = (
    *("unshare", "--net", "--ipc", "--uts", "--"),
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"),
    *("--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--"),
)


class ToolFailed(Exception):
    """It gave up, or was stopped; the message has its words."""


def run_tool(*argv: str, on: Path, fine: tuple[int, ...] = (0,), patience: float = PATIENCE) -> None:
    """Run a program on one file, whose path is its last argument. Blocking. ``fine``: the codes it may end with."""
    with on.open("r+b") as file:
        mine, limit = os.fstat(file.fileno()), max(os.fstat(file.fileno()).st_size, 1)
        root = os.geteuid() == 0
        bounds = ("prlimit", "--core=0", f"--as={MEMORY}", f"--fsize={limit}", f"--cpu={max(1, round(patience))}", "--")
        command = (*(AS_NOBODY if root else ()), *bounds, *argv, f"/dev/fd/{file.fileno()}")
        if root:
            os.fchown(file.fileno(), NOBODY, NOBODY)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=patience,
                pass_fds=(file.fileno(),),
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired:
            raise ToolFailed(f"`{' '.join(argv)}` was not done after {patience:g} s") from None
        finally:
            if root:
                os.fchown(file.fileno(), mine.st_uid, mine.st_gid)
    if done.returncode not in fine:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise ToolFailed(f"`{' '.join(argv)}` ended with {done.returncode}: {said[-1000:]}")
