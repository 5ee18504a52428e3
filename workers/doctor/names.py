"""Whether names will be answered: by a PowerDNS of `puchify up`, by another one that is named, or by nobody."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from pathlib import Path

from infra.config import Settings
from infra.dns.powerdns_conf import PROGRAM, SCHEMA
from infra.drivers.powerdns import PowerDns
from workers.doctor.finding import Finding, lacking, ok
from workers.doctor.ports import holder_of

KEPT = "zones and servers' names are kept only: nobody answers for them"
INSTALL = "apt-get install --no-install-recommends pdns-server pdns-backend-pgsql  (or: make setup)"


def findings(settings: Settings) -> list[Finding]:
    if "dns_api_url" in settings.model_fields_set:
        return [_of_another(settings)]
    if shutil.which(PROGRAM) is None:
        return [lacking("powerdns", False, f"{PROGRAM} not found: {KEPT}", INSTALL)]
    if not SCHEMA.exists():
        return [lacking("powerdns", True, "its backend for PostgreSQL is missing", INSTALL)]
    port = [] if holder_of(settings.state) else [_port(settings)]
    return [ok("powerdns", _version()), *port]


def _of_another(settings: Settings) -> Finding:
    if not settings.dns_api_url:
        mend = "unset PUCHIFY_DNS_API_URL to have them answered by a PowerDNS of our own, or name another"
        return lacking("powerdns", False, KEPT, mend)
    if asyncio.run(PowerDns(settings.dns_api_url, settings.dns_api_key).answers()):
        return ok("powerdns", f"{settings.dns_api_url} answers")
    mend = "start it, or set PUCHIFY_DNS_API_URL and PUCHIFY_DNS_API_KEY to what it has"
    return lacking("powerdns", False, f"{settings.dns_api_url} does not let us in", mend)


def _version() -> str:
    done = subprocess.run((PROGRAM, "--version"), capture_output=True, text=True, timeout=20)
    said = (done.stdout + done.stderr).split()
    return next((word for word in said if word[:1].isdigit() and word.count(".") >= 2), "installed")


def _port(settings: Settings) -> Finding:
    """The name server's on each of its addresses, for datagrams and connections; its web server's on loopback."""
    try:
        for address in settings.dns_address:
            _take(address, settings.dns_port, socket.SOCK_DGRAM)
            _take(address, settings.dns_port, socket.SOCK_STREAM)
        _take("127.0.0.1", settings.dns_port + 1, socket.SOCK_STREAM)
    except OSError as error:
        told = f"{settings.dns_port} and the next cannot be had: {error.strerror}"
        return lacking("ports of PowerDNS", True, told, "stop whoever has them, or set PUCHIFY_DNS_PORT to another")
    return ok("ports of PowerDNS", f"{settings.dns_port} and the next are free")


def _take(address: str, port: int, kind: socket.SocketKind) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if family == socket.AF_INET6 and not Path("/proc/net/if_inet6").exists():
        return  # it then answers on IPv4 only
    with socket.socket(family, kind) as one:
        if kind == socket.SOCK_STREAM:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((address, port))
