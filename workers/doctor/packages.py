"""Which of the packages in infra/packages.txt are missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import infra
from infra.guests.apt import missing_packages
from workers.doctor.finding import Finding, lacking, ok

LIST = Path(infra.__file__).with_name("packages.txt")
ALWAYS = ("Engines", "Python")
"""The groups that a simulated host needs as well."""
NEVER = ("Lab", "Names")
"""The groups that no server needs: without them `puchify lab` and its tests cannot be had, and nobody answers for
names."""


def findings(libvirt: bool) -> list[Finding]:
    if shutil.which("dpkg-query") is None:
        return [lacking("packages", False, "this is no Debian: unknown", f"install the counterparts of {LIST}")]
    return [_of(group, names, group not in NEVER and (libvirt or group in ALWAYS)) for group, names in groups().items()]


def groups() -> dict[str, list[str]]:
    """The packages by group. A group begins with ``# <Group>: <why>``, its packages follow, one a line."""
    found: dict[str, list[str]] = {}
    for line in LIST.read_text().splitlines():
        if line.startswith("# ") and ":" in line:
            current = found.setdefault(line[2:].partition(":")[0], [])
        elif line and not line.startswith("#"):
            current.append(line)
    return found


def _of(group: str, names: list[str], needed: bool) -> Finding:
    name = f"packages: {group[:1].lower()}{group[1:]}"
    if missing := missing_packages(names):
        target = "lab-setup" if group == "Lab" else "setup"
        mend = f"apt-get install --no-install-recommends {' '.join(missing)}  (or: make {target})"
        return lacking(name, needed, f"{len(missing)} missing: {', '.join(missing)}", mend)
    return ok(name, f"all {len(names)} installed")
