"""The ground of a machine of the lab, made when it is switched on, on the machine itself.

`python -m workers.lab.ground CACHE`: disks and libvirt, with what libvirt found out about QEMU in CACHE
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from infra.drivers.xfs import HostStorage
from workers.lab.machines import HERE, LIBVIRTD

DISKS_GIB = 32  # sparse


def prepare_host(cache: str) -> None:
    HostStorage(HERE / "disks", HERE / "disks.xfs", DISKS_GIB).open()
    shutil.rmtree(LIBVIRTD.home / "run", ignore_errors=True)
    LIBVIRTD.prepare()
    subprocess.run(("mount", "--bind", cache, str(LIBVIRTD.home / "cache")), check=True)


if __name__ == "__main__":
    prepare_host(sys.argv[1])
