"""A host's ground, made when it is switched on: `python -m workers.lab.ground CACHE`, on the host itself.

What libvirt found out about QEMU is the same on all hosts of the lab, and finding it out takes seconds: CACHE is theirs
together.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from infra.drivers.xfs import HostStorage
from workers.lab.machines import HERE, LIBVIRTD

DISKS_GIB = 32  # sparse


def prepare(cache: str) -> None:
    HostStorage(HERE / "disks", HERE / "disks.xfs", DISKS_GIB).open()
    shutil.rmtree(LIBVIRTD.home / "run", ignore_errors=True)
    LIBVIRTD.prepare()
    subprocess.run(("mount", "--bind", cache, str(LIBVIRTD.home / "cache")), check=True)


if __name__ == "__main__":
    prepare(sys.argv[1])
