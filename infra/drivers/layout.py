"""Where everything of a host lies: one directory of disks, images and seeds, and a short one for sockets.

What is being made lies in ``tmp`` and gets its name when it is finished, by one rename. So a name is a promise, and
after a crash whatever is in ``tmp`` is nobody's. Directories can be passed but not listed by others: QEMU runs as a
user of its own.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.domain.domain_xml import MachineFiles
from infra.domain.models import Machine
from infra.drivers.image_locks import ImageLocks

GIB = 2**30
DIGEST = re.compile(r"[0-9a-f]{64}")
SOCKET_LIMIT = 107  # bytes: sun_path without its end


@dataclass(frozen=True, slots=True)
class HostLayout:
    """``root`` is on a file system with reflink; ``run`` is short. Both absolute and passable by the user of QEMU."""

    root: Path
    run: Path

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    def prepare(self) -> None:
        """Make the directories, and drop what an earlier process was about to make."""
        if len(bytes(self.agent_socket(2**53))) > SOCKET_LIMIT:
            raise ValueError(f"the path {self.run} is too long for sockets: use a shorter one")
        for name in ("images", "grown", "disks", "seeds", "consoles", "tmp"):
            (self.root / name).mkdir(mode=0o711, parents=True, exist_ok=True)
            (self.root / name).chmod(0o711)
        self._drop_unfinished()
        (self.run / "agents").mkdir(mode=0o711, parents=True, exist_ok=True)

    def image(self, digest: str) -> Path:
        return self.root / "images" / digest

    def grown(self, digest: str, size_gib: int) -> Path:
        return self.root / "grown" / f"{digest}-{size_gib}.raw"

    def grown_of(self, digest: str) -> list[Path]:
        return list((self.root / "grown").glob(f"{digest}-*.raw"))

    @property
    def locks(self) -> Path:
        return self.root / "images.lock"

    def disk(self, server_id: int) -> Path:
        return self.root / "disks" / f"{server_id}.raw"

    def seed(self, server_id: int) -> Path:
        return self.root / "seeds" / f"{server_id}.iso"

    def console(self, server_id: int) -> Path:
        return self.root / "consoles" / f"{server_id}.log"

    def agent_socket(self, server_id: int) -> Path:
        return self.run / "agents" / str(server_id)

    def unfinished(self, finished: Path) -> Path:
        """Where a file is made that will be called ``finished``: on the same file system."""
        return self.tmp / f"{finished.parent.name}-{finished.name}"

    def machine_files(self, machine: Machine) -> MachineFiles:
        image = self.image(machine.image.digest)
        kernel, initrd, cmdline = (image / name for name in ("vmlinux", "initrd", "cmdline"))
        direct = all(path.exists() for path in (kernel, initrd, cmdline))
        return MachineFiles(
            disk=self.disk(machine.server_id),
            seed=self.seed(machine.server_id),
            agent_socket=self.agent_socket(machine.server_id),
            serial_log=self.console(machine.server_id),
            kernel=kernel if direct else None,
            initrd=initrd if direct else None,
            cmdline=cmdline.read_text().strip() if direct else None,
        )

    def _drop_unfinished(self) -> None:
        """But what another process is making of an image: it holds it meanwhile."""
        locks = ImageLocks(self.locks)
        for path in self.tmp.iterdir():
            digest = DIGEST.search(path.name)
            with locks.try_hold(digest.group() if digest else path.name, alone=True) as nobodys:
                if nobodys and path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif nobodys:
                    path.unlink(missing_ok=True)


def servers_in(directory: Path, prefix: str = "") -> Iterator[int]:
    """The servers whose files lie in ``directory``: ``<prefix><server id>.<anything>``."""
    for path in directory.iterdir():
        number = path.name.removeprefix(prefix).partition(".")[0]
        if path.name.startswith(prefix) and number.isdigit():
            yield int(number)


def offered_gib(storage: Path) -> int:
    """What servers' disks may grow to, all together: a sixteenth is left to images, logs and the file system itself."""
    room = os.statvfs(storage)
    return room.f_blocks * room.f_frsize * 15 // 16 // GIB
