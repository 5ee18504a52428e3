"""Programs that interpret what a stranger may have written, held down: e2fsck and resize2fs.

As root each run has a uid that is nobody else's, no capability, no way to gain one and no network, and is bounded in
time, memory and what it writes. The one thing of ours that it has is the file it works on, which is its own for so
long: that is handed over open, so no path of ours has to let it pass. Blocking: for threads.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path

UIDS = range(0x6F20_0000, 0x6F30_0000)  # a run draws one; far from every account, subordinate ones too
PATIENCE = 50.0  # seconds; the step that waits for it has sixty
MEMORY = 2 * 2**30  # bytes of address space: e2fsck takes a fraction of it for the largest plan


class ToolFailed(Exception):
    """It gave up, or was stopped; the message has its words."""


def run_tool(*argv: str, on: Path, fine: tuple[int, ...] = (0,), patience: float = PATIENCE) -> None:
    """Run a program on one file, whose path is its last argument. Blocking. ``fine``: the codes it may end with."""
    with on.open("r+b") as file:
        mine, limit = os.fstat(file.fileno()), max(os.fstat(file.fileno()).st_size, 1)
        uid = secrets.choice(UIDS) if os.geteuid() == 0 else None
        bounds = ("prlimit", "--core=0", f"--as={MEMORY}", f"--fsize={limit}", f"--cpu={max(1, round(patience))}", "--")
        command = (*_as_nobody(uid), *bounds, *argv, f"/dev/fd/{file.fileno()}")
        if uid is not None:
            os.fchown(file.fileno(), uid, uid)
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
            if uid is not None:
                os.fchown(file.fileno(), mine.st_uid, mine.st_gid)
    if done.returncode not in fine:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise ToolFailed(f"`{' '.join(argv)}` ended with {done.returncode}: {said[-1000:]}")


def _as_nobody(uid: int | None) -> tuple[str, ...]:
    if uid is None:
        return ()
    return (
        *("unshare", "--net", "--ipc", "--uts", "--"),
        *("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"),
        *("--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--"),
    )
