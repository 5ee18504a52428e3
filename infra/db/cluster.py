"""A local PostgreSQL cluster of Puchify's own: made, configured and started without touching any other.

It listens on a unix socket only, in a directory that root, its own system user and PowerDNS' can enter, and maps the
connecting system user to database roles (peer): no password exists, and no port is taken. Everything is durable:
the ledger of who holds what, and Temporal's histories, live here.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from infra.runtime_dir import RuntimeDir

SYSTEM_USER = "postgres"
SUPERUSER = "postgres"
ROLES = {"puchify": "LOGIN", "temporal": "LOGIN CREATEDB", "pdns": "LOGIN"}
"""Temporal makes and renames its own databases."""
NAME_SERVER = "pdns"
"""The system user of PowerDNS, which may be the role of that name and no other."""
STOP_SIGNAL = signal.SIGINT  # "fast": SIGTERM would wait until every client has gone
DEATH_SIGNAL = signal.SIGQUIT  # "immediate": takes the backends along even when nobody is left to wait for them

SETTINGS: dict[str, str] = {
    "listen_addresses": "",  # unix socket only: nobody reaches it over a network
    "unix_socket_permissions": "0777",  # the directory is the gate, and peer the lock
    "max_connections": "300",  # Temporal holds up to 100, each API and worker process up to 20
    "shared_buffers": "256MB",  # the working set of one region; the page cache has the rest
    "fsync": "on",
    "synchronous_commit": "on",  # a 201 that was answered survives the power cut
    "full_page_writes": "on",
    "wal_compression": "lz4",  # full-page images shrink by half: fewer bytes to sync
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",  # few checkpoints: each one makes the next commits slower
    "random_page_cost": "1.1",  # solid state
    "effective_io_concurrency": "32",
    "jit": "off",  # the queries are short; compiling them costs more than running them
    "autovacuum_naptime": "15s",  # queue tables churn: small and often beats rare and long
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",  # the supervisor keeps it in a file
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
    "log_min_duration_statement": "500ms",
    "log_lock_waits": "on",
    "update_process_title": "off",
}


class PostgresError(Exception):
    """PostgreSQL is missing, cannot be set up, or does not answer; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class PostgresCluster:
    """A cluster's place: `home` holds `data` (PGDATA), `sockets` the unix socket; both reachable by `user`."""

    home: Path
    sockets: Path
    user: str | None = SYSTEM_USER  # None: run as whoever we are (we are not root then)
    port: int = 5432  # only a part of the socket's name
    settings: dict[str, str] = field(default_factory=dict)  # on top of SETTINGS

    @classmethod
    def within(cls, runtime: RuntimeDir, source: Path, settings: dict[str, str] | None = None) -> PostgresCluster:
        """The cluster whose files lie in `source`, seen through an open runtime directory."""
        user = SYSTEM_USER if os.geteuid() == 0 else None  # postgres refuses to run as root
        sockets = runtime.directory("pg", user)
        if user and (name_server := _user_of(NAME_SERVER)):
            os.chown(sockets, -1, name_server.pw_gid)
            sockets.chmod(0o710)
        return cls(
            home=runtime.bind(source, "postgres", user),
            sockets=sockets,
            user=user,
            settings=settings or {},
        )

    @property
    def data(self) -> Path:
        return self.home / "data"

    def url(self, database: str = "puchify", role: str = "puchify") -> str:
        """For libpq and its kin; the role is granted by who connects, not by a password."""
        return f"postgresql://{role}@/{database}?host={self.sockets}&port={self.port}"

    def argv(self) -> tuple[str, ...]:
        """Run the server in the foreground (as `user`)."""
        return (str(self._bin() / "postgres"), "-D", str(self.data), "-k", str(self.sockets), "-p", str(self.port))

    def ensure_initialised(self) -> bool:
        """Make the cluster if there is none, and write its configuration; true when it was made now."""
        made = not (self.data / "PG_VERSION").exists()
        if made:
            self._initdb()
        self._write("postgresql.conf", (f"{key} = '{value}'" for key, value in {**SETTINGS, **self.settings}.items()))
        self._write("pg_hba.conf", ["local all all peer map=puchify"])
        self._write("pg_ident.conf", self._ident())
        return made

    async def ready(self) -> bool:
        """Whether it answers a query now."""
        try:
            async with await psycopg.AsyncConnection.connect(self.url("postgres", SUPERUSER), connect_timeout=5) as one:
                await one.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    async def wait_ready(self, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not await self.ready():
            if time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL in {self.home} did not answer within {seconds:g} s: see its log")
            await asyncio.sleep(0.05)

    async def ensure_databases(self, owners: dict[str, str]) -> None:
        """Converge on ROLES and on these databases (name -> owning role); cheap when all is there."""
        async with await psycopg.AsyncConnection.connect(
            self.url("postgres", SUPERUSER),
            autocommit=True,  # CREATE DATABASE refuses a transaction
        ) as admin:
            roles = {row[0] for row in await (await admin.execute("SELECT rolname FROM pg_roles")).fetchall()}
            for role in sorted(ROLES.keys() - roles):
                await admin.execute(sql.SQL("CREATE ROLE {} " + ROLES[role]).format(sql.Identifier(role)))
            names = {row[0] for row in await (await admin.execute("SELECT datname FROM pg_database")).fetchall()}
            for name in sorted(owners.keys() - names):
                await admin.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owners[name]))
                )

    def _bin(self) -> Path:
        version = self.data / "PG_VERSION"
        return find_bin(version.read_text().strip() if version.exists() else None)

    def _initdb(self) -> None:
        # Made beside and renamed, so that a killed initdb never looks like a cluster.
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        argv = [str(self._bin() / "initdb"), "-D", str(fresh), "-U", SUPERUSER, "--encoding=UTF8", "--locale=C.UTF-8"]
        user = pwd.getpwnam(self.user) if self.user else None
        done = subprocess.run(
            [*argv, "--auth=reject", "--data-checksums"],
            cwd="/",  # ours may be out of its reach
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise PostgresError(f"initdb failed in {self.home}: {(done.stderr or done.stdout).strip()}")
        fresh.rename(self.data)

    def _ident(self) -> Iterable[str]:
        """System users who may be any role of ours: ourselves, and the cluster's own user."""
        ours = {pwd.getpwuid(os.geteuid()).pw_name, *([self.user] if self.user else [])}
        yield from (f"puchify {user} {role}" for user in sorted(ours) for role in (SUPERUSER, *ROLES))
        if self.user and _user_of(NAME_SERVER):
            yield f"puchify {NAME_SERVER} {NAME_SERVER}"

    def _write(self, name: str, lines: Iterable[str]) -> None:
        path = self.data / name
        path.write_text("# Written by Puchify at every start: changes made here are lost.\n" + "\n".join(lines) + "\n")
        if self.user:
            shutil.chown(path, self.user, self.user)


def _user_of(name: str) -> pwd.struct_passwd | None:
    """None: the package that brings it is not installed."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def find_bin(version: str | None = None) -> Path:
    """Where PostgreSQL's server programs are: of that major version, or the newest there is."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if version is not None:
        debian = [path for path in debian if path.parts[-3] == version]
    if debian:
        return debian[-1].parent
    if (found := shutil.which("initdb")) and shutil.which("postgres"):
        return Path(found).resolve().parent
    raise PostgresError(f"PostgreSQL's server programs are missing: install the package postgresql-{version or 15}")
