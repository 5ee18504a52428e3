"""PowerDNS' configuration: authoritative, out of a PostgreSQL database of its own, nothing kept in memory.

Its caches are off, so that what was written is what is answered, at once, new zones included. It serves zones that are
written through its HTTP API, which only our own may use, and zones that it transfers from their primaries.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

PROGRAM = "pdns_server"
SCHEMA = Path("/usr/share/pdns-backend-pgsql/schema/schema.pgsql.sql")
"""Of the package pdns-backend-pgsql, and so of the version that is installed."""
XFR_MB = 8
"""The most that one transfer of a secondary zone may bring: a zone of ten thousand records has two."""
DATABASE = "pdns"


@dataclass(frozen=True, slots=True)
class PowerDnsConf:
    """``sockets``: PostgreSQL's directory. ``directory``: where it keeps its control socket. ``key``: of its API, and
    ``api_clients``: the networks from where it may be used."""

    addresses: Sequence[str]
    port: int
    api_address: str
    api_port: int
    key: str
    sockets: Path
    directory: Path
    role: str = DATABASE
    database: str = DATABASE
    database_port: int = 5432
    api_clients: Sequence[str] = ("127.0.0.0/8", "::1")


def render(conf: PowerDnsConf) -> str:
    """The file pdns.conf."""
    settings = {
        "launch": "gpgsql",
        "gpgsql-host": conf.sockets,
        "gpgsql-port": conf.database_port,
        "gpgsql-dbname": conf.database,
        "gpgsql-user": conf.role,
        "gpgsql-dnssec": "no",
        "local-address": ",".join(conf.addresses),
        "local-address-nonexist-fail": "no",  # a machine without IPv6 serves IPv4
        "local-port": conf.port,
        "socket-dir": conf.directory,
        "webserver": "yes",
        "webserver-address": conf.api_address,
        "webserver-port": conf.api_port,
        "webserver-allow-from": ",".join(conf.api_clients),
        "webserver-loglevel": "none",
        "webserver-max-bodysize": 32,  # MB
        "api": "yes",
        "api-key": conf.key,
        "cache-ttl": 0,
        "query-cache-ttl": 0,
        "negquery-cache-ttl": 0,
        "zone-cache-refresh-interval": 0,
        "secondary": "yes",
        "xfr-cycle-interval": 60,
        "xfr-max-received-mbytes": XFR_MB,
        "daemon": "no",
        "guardian": "no",
        "write-pid": "no",
        "loglevel": 4,
        "log-dns-details": "no",
        "log-timestamp": "yes",
        "disable-syslog": "yes",
        "security-poll-suffix": "",  # it asks nobody about itself
        "version-string": "anonymous",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def write(conf: PowerDnsConf, user: str | None = None) -> None:
    """Into its directory, for it alone: the API's key is in there. ``user``: whom it runs as, unless as we do."""
    path = conf.directory / "pdns.conf"
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(render(conf))
    if user:
        shutil.chown(path, user, user)


def argv(directory: Path) -> tuple[str, ...]:
    """In the foreground; ``directory`` has its pdns.conf."""
    return PROGRAM, f"--config-dir={directory}"


def ensure_schema(url: str) -> None:
    """Make its tables in the database of that URL, whole or not at all; those that are there stay."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('pdns schema'))")
        row = connection.execute("SELECT to_regclass('public.domains')").fetchone()
        if row is None or row[0] is None:
            connection.execute(SCHEMA.read_text().encode())
