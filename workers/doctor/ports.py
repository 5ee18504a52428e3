"""Whether the ports are free that `puchify up` would take."""

from __future__ import annotations

import fcntl
import socket
from pathlib import Path

from infra.config import Settings
from workers.doctor.finding import Finding, lacking, ok
from workers.local.place import temporal_ports


def findings(settings: Settings) -> list[Finding]:
    if holder := holder_of(settings.state):
        return [ok("ports", f"in use by the Puchify that runs here (pid {holder})")]
    return [_api(settings), _temporal(settings)]


def holder_of(state: Path) -> str:
    """The pid of the `puchify up` that runs on ``state``; empty when none does."""
    try:
        with (state / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return ""
    except BlockingIOError:
        return (state / "lock").read_text().strip()
    return ""


def _api(settings: Settings) -> Finding:
    address = (settings.api_address, settings.api_port)
    family = socket.AF_INET6 if ":" in settings.api_address else socket.AF_INET
    try:
        socket.create_server(address, family=family).close()
    except OSError as error:
        mend = "stop whoever has it, or set PUCHIFY_API_PORT to another"
        return lacking("port of the API", True, f"{settings.api_port} cannot be had: {error.strerror}", mend)
    return ok("port of the API", f"{settings.api_port} is free")


def _temporal(settings: Settings) -> Finding:
    ports = temporal_ports(settings)
    taken = sorted({port for _, port in (*ports.taken(), *ports.unusable())})
    if taken:
        mend = "stop whoever has them, or set PUCHIFY_TEMPORAL_ADDRESS and PUCHIFY_TEMPORAL_UI to other ports"
        return lacking("ports of Temporal", True, f"{', '.join(map(str, taken))} cannot be had", mend)
    return ok("ports of Temporal", f"{ports.frontend} and its nine others are free")
