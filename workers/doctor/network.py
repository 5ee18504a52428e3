"""What carries packets beyond this machine: an edge's HAProxy, FRR where there are other hosts, and edges that live."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess

from psycopg import Error
from psycopg.rows import dict_row

from infra.config import Settings
from infra.db.edges import ShownEdge, list_edges
from infra.db.pool import Connection
from workers.doctor.finding import Finding, lacking, ok
from workers.local.place import of_instance

DAEMONS = ("zebra", "bgpd", "bfdd")
"""Of FRR: the kernel's routes, what spreads them, and what finds out who is dead."""

PATIENCE = 20.0
"""Seconds that a daemon has to answer."""


def findings(settings: Settings, libvirt: bool) -> list[Finding]:
    frr = [_frr(settings.vtep)] if settings.vtep else []
    return [_haproxy(libvirt), *frr, *_edges(settings)]


def _haproxy(needed: bool) -> Finding:
    if shutil.which("haproxy") is None:
        mend = "apt-get install --no-install-recommends haproxy  (or: make setup)"
        return lacking("haproxy", needed, "haproxy not found: an edge cannot balance loads", mend)
    return ok("haproxy", "installed")


def _frr(vtep: str) -> Finding:
    """Asked, and not looked for among the processes: other network namespaces have an FRR of their own."""
    conf = "`puchify frr config host` writes its /etc/frr/frr.conf"
    if shutil.which("vtysh") is None:
        found = f"vtysh not found, and PUCHIFY_VTEP is {vtep}: other hosts do not learn what is here"
        return lacking("frr", False, found, f"apt-get install frr; {conf}")
    try:
        silent = [daemon for daemon in DAEMONS if not _answers(daemon)]
    except subprocess.TimeoutExpired:  # the others are not waited for as well
        found = f"could not be asked: vtysh was silent for {PATIENCE:.0f} s, and PUCHIFY_VTEP is {vtep}"
        return lacking("frr", False, found, "systemctl restart frr")
    if len(silent) == len(DAEMONS) and os.geteuid() != 0:
        found = "could not be asked: that takes root, or the group frrvty"
        return lacking("frr", False, found, "run the doctor as root")
    if silent:
        found = f"{', '.join(silent)} not running, and PUCHIFY_VTEP is {vtep}: other hosts do not learn what is here"
        mend = f"bgpd=yes and bfdd=yes in /etc/frr/daemons, then systemctl restart frr; {conf}"
        return lacking("frr", False, found, mend)
    return ok("frr", f"{', '.join(DAEMONS)} answer")


def _answers(daemon: str) -> bool:
    done = subprocess.run(("vtysh", "-d", daemon, "-c", "show version"), capture_output=True, timeout=PATIENCE)
    return done.returncode == 0


def _edges(settings: Settings) -> list[Finding]:
    """Nothing where the books are not to be had from here, as before the first `puchify up`."""
    try:
        known = asyncio.run(_known(of_instance(settings).database_url))
    except Error:
        return []
    if not known:
        return []
    silent = [edge for edge in known if not edge.is_live]
    if not silent:
        return [ok("edges", f"all {len(known)} report")]
    mend = (
        "on an edge both have to run: puchify edge haproxy, and puchify worker edge, whose log says why it does not "
        "report; one that is gone for good: puchify edge remove"
    )
    return [lacking("edges", False, "; ".join(map(_told, silent)), mend)]


async def _known(url: str) -> list[ShownEdge]:
    connecting = Connection.connect(url, autocommit=True, row_factory=dict_row, connect_timeout=5)
    async with await connecting as connection:
        return await list_edges(connection)


def _told(edge: ShownEdge) -> str:
    age = "never reported" if edge.report_age_s is None else f"has not reported for {edge.report_age_s:.0f} s"
    left = f", and nobody serves its {edge.load_balancers} load balancers" if edge.load_balancers else ""
    return f"{edge.name} in {edge.location} {age}{left}"
