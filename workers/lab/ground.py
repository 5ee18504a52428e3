"""The ground of a machine of the lab, made when it is switched on, on the machine itself.

python -m workers.lab.ground host CACHE        disks and libvirt, with what libvirt found out about QEMU in CACHE
python -m workers.lab.ground edge DIRECTORY    HAProxy's first configuration
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from infra.drivers import haproxy
from infra.drivers.xfs import HostStorage
from workers.lab.machines import HERE, LIBVIRTD

DISKS_GIB = 32  # sparse


def prepare_host(cache: str) -> None:
    HostStorage(HERE / "disks", HERE / "disks.xfs", DISKS_GIB).open()
    shutil.rmtree(LIBVIRTD.home / "run", ignore_errors=True)
    LIBVIRTD.prepare()
    subprocess.run(("mount", "--bind", cache, str(LIBVIRTD.home / "cache")), check=True)


def prepare_edge(directory: str) -> None:
    haproxy.prepare(Path(directory))


if __name__ == "__main__":
    {"host": prepare_host, "edge": prepare_edge}[sys.argv[1]](sys.argv[2])
