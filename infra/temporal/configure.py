"""Temporal's configuration for one machine: settings in, the files that its server and its UI read out.

Pure but for `write`. JSON is YAML, so the files need no YAML library. All four services run in one process and
listen on 127.0.0.1 only: whoever reaches the frontend is its administrator.
"""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

LOCALHOST = "127.0.0.1"
HIGHEST_MEMBERSHIP_PORT = 2**15 - 1  # Temporal's table of its own members keeps them in two signed bytes
SHARDS = 4  # fixed for ever once a database has it; one machine's load never fills them

SEARCH_ATTRIBUTES = ("ServerId", "ProjectId", "HostId", "Location", "Phase", "FailureCode")  # all of type Keyword

DYNAMIC: Mapping[str, Any] = {
    # One partition: a queue of one host has one poller process, and a task that sits in the partition which nobody
    # polls right now has to be forwarded first.
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
    # Long polls per namespace (default 1200): a thousand host workers with a few pollers each must not be refused.
    "frontend.namespaceCount": 20_000,
    # How far the clocks of several history servers may disagree; ours is one process with one clock. Every timer and
    # retry below it waits that long: with the default of 1 s, two retries after 100 ms took 2.02 s, now 0.32 s.
    "history.timerProcessorMaxTimeShift": "100ms",
    # Would tell the vendor which version runs here.
    "frontend.enableServerVersionCheck": False,
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Every port a cluster takes on 127.0.0.1; several clusters run side by side with different ones."""

    frontend: int = 7233
    history: int = 7234
    matching: int = 7235
    worker: int = 7239
    frontend_membership: int = 6933
    history_membership: int = 6934
    matching_membership: int = 6935
    worker_membership: int = 6939
    metrics: int = 7236  # Prometheus, at /metrics
    ui: int = 8233

    @classmethod
    def beginning_at(cls, first: int) -> Self:
        """Ten ports in a row, for a second cluster."""
        return cls(*range(first, first + len(fields(cls))))

    @classmethod
    def free(cls) -> Self:
        """Ten ports in a row that nobody has at this moment, below those that the system hands out by itself."""
        while True:
            ports = cls.beginning_at(random.randrange(10_000, HIGHEST_MEMBERSHIP_PORT - 20, 10))
            if not list(ports.taken()):
                return ports

    def unusable(self) -> Iterator[tuple[str, int]]:
        """Those that the server could not do with."""
        for name, port in asdict(self).items():
            if name.endswith("_membership") and port > HIGHEST_MEMBERSHIP_PORT:
                yield name, port

    def taken(self) -> Iterator[tuple[str, int]]:
        """Those that somebody else has, with what we wanted them for."""
        for name, port in asdict(self).items():
            try:
                socket.create_server((LOCALHOST, port)).close()  # with SO_REUSEADDR, as the server does
            except OSError:
                yield name, port


@dataclass(frozen=True, slots=True)
class Database:
    """Where Temporal keeps its two databases. The user must own them, and may create them (CREATEDB)."""

    host: str  # a name or an address, or the directory of a unix socket
    port: int = 5432
    user: str = "temporal"
    password: str = field(default="", repr=False)  # none for a socket with peer authentication
    store: str = "temporal"
    visibility: str = "temporal_visibility"


@dataclass(frozen=True, slots=True)
class TemporalSettings:
    state: Path  # a directory for the configuration files
    database: Database
    ports: Ports = Ports()
    namespace: str = "puchify"
    retention: timedelta = timedelta(days=7)  # how long a finished story can be read and replayed
    search_attributes: tuple[str, ...] = SEARCH_ATTRIBUTES
    dynamic: Mapping[str, Any] = field(default_factory=dict)  # on top of DYNAMIC

    @property
    def address(self) -> str:
        return f"{LOCALHOST}:{self.ports.frontend}"

    @property
    def ui_url(self) -> str:
        return f"http://{LOCALHOST}:{self.ports.ui}"

    @property
    def server_file(self) -> Path:
        return self.state / "server.yaml"

    @property
    def dynamic_file(self) -> Path:
        return self.state / "dynamic.yaml"

    @property
    def ui_file(self) -> Path:
        return self.state / "ui.yaml"


def server(settings: TemporalSettings) -> dict[str, Any]:
    ports = settings.ports
    return {
        "log": {"stdout": True, "level": "warn"},  # at info every connection and shard is told
        "persistence": {
            "defaultStore": "store",
            "visibilityStore": "visibility",
            "numHistoryShards": SHARDS,
            "datastores": {
                # Each of the four services holds a pool of its own: at most 4 x (20 + 5) connections.
                "store": {"sql": _sql(settings.database, settings.database.store, connections=20)},
                "visibility": {"sql": _sql(settings.database, settings.database.visibility, connections=5)},
            },
        },
        "global": {
            "membership": {"maxJoinDuration": "30s", "broadcastAddress": LOCALHOST},
            "metrics": {"prometheus": {"framework": "opentelemetry", "listenAddress": f"{LOCALHOST}:{ports.metrics}"}},
        },
        "services": {
            name: {
                "rpc": {
                    "grpcPort": getattr(ports, name),
                    "membershipPort": getattr(ports, f"{name}_membership"),
                    "bindOnLocalHost": True,
                }
            }
            for name in ("frontend", "history", "matching", "worker")
        },
        "clusterMetadata": {
            "enableGlobalNamespace": False,
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {
                "active": {
                    "enabled": True,
                    "initialFailoverVersion": 1,
                    "rpcName": "frontend",
                    "rpcAddress": settings.address,
                }
            },
        },
        "dcRedirectionPolicy": {"policy": "noop"},
        "archival": {"history": {"state": "disabled"}, "visibility": {"state": "disabled"}},
        "dynamicConfigClient": {"filepath": str(settings.dynamic_file), "pollInterval": "10s"},
    }


def dynamic(settings: TemporalSettings) -> dict[str, Any]:
    return {key: [{"value": value}] for key, value in {**DYNAMIC, **settings.dynamic}.items()}


def ui(settings: TemporalSettings) -> dict[str, Any]:
    return {
        "temporalGrpcAddress": settings.address,
        "host": LOCALHOST,
        "port": settings.ports.ui,
        "enableUi": True,
        "defaultNamespace": settings.namespace,
        "showTemporalSystemNamespace": False,
        "disableNewsFetch": True,  # an operator's browser asks nobody outside
        "refreshInterval": "0s",
        "hideLogs": True,  # a line for every request of every open page otherwise
        "auth": {"enabled": False},
        "cors": {
            "cookieInsecure": True,  # plain HTTP on this machine: a Secure cookie would never come back
            "unsafeAllowAllOrigins": False,
            "allowOrigins": [settings.ui_url, f"http://localhost:{settings.ports.ui}"],
        },
    }


def write(settings: TemporalSettings) -> None:
    """The three files, readable by us alone: one holds the database's password, if there is one."""
    settings.state.mkdir(parents=True, exist_ok=True)
    for path, content in (
        (settings.server_file, server(settings)),
        (settings.dynamic_file, dynamic(settings)),
        (settings.ui_file, ui(settings)),
    ):
        with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write("# Written by Puchify at every start: changes made here are lost.\n")
            json.dump(content, file, indent=2)


def _sql(database: Database, name: str, connections: int) -> dict[str, Any]:
    # Temporal builds a URL, in which a directory cannot stand for a host; a parameter of the URL overrules its host.
    by_socket = database.host.startswith("/")
    return {
        "pluginName": "postgres12_pgx",
        "databaseName": name,
        "connectAddr": f"{'localhost' if by_socket else database.host}:{database.port}",
        "connectProtocol": "tcp",
        "connectAttributes": {"host": database.host} if by_socket else {},
        "user": database.user,
        "password": database.password,
        "maxConns": connections,
        "maxIdleConns": connections,
        "maxConnLifetime": "1h",
    }
