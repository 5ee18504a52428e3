"""The machine that was measured on: what a reader of the figures has to know of it, not whose it is."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from infra.db.cluster import find_bin
from infra.temporal.install import SERVER

LIBRARIES = ("temporalio", "psycopg", "fastapi", "uvicorn", "uvloop", "pydantic", "httpx")


def facts() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "processor": _first(Path("/proc/cpuinfo"), r"model name\s*:\s*(.+)"),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "kernel": platform.release(),
        "kvm": os.access("/dev/kvm", os.R_OK | os.W_OK) and not Path("/sys/module/kvm_pvm").exists(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    found = {name: metadata.version(name) for name in LIBRARIES}
    found["python"] = platform.python_version()
    found["temporal server"] = SERVER.version
    found["postgresql"] = _said(str(find_bin() / "postgres"), "--version")
    found["qemu"] = _said("qemu-system-x86_64", "--version")
    found["libvirt"] = _said("libvirtd", "--version")
    return found


def load() -> float:
    """The load average of the last minute: what else the machine was doing, and we."""
    return round(os.getloadavg()[0], 2)


def _first(path: Path, pattern: str) -> str:
    found = re.search(pattern, path.read_text())
    return found[1].strip() if found else "unknown"


def _said(*argv: str) -> str:
    """The first version number that a program prints of itself."""
    try:
        told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "none"
    found = re.search(r"\d+\.\d+(\.\d+)?", told)
    return found[0] if found else "unknown"
