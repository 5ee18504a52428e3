"""The place of one instance: what lies where in its state directory, and the settings that its processes run with.

Everything is derived from the settings and the state directory's path, so a command in another terminal finds the
instance that runs by itself.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.config import Settings
from infra.db.cluster import PostgresCluster
from infra.dns.powerdns_conf import PROGRAM
from infra.domain.errors import InvalidInput
from infra.runtime_dir import RuntimeDir
from infra.temporal.configure import Ports
from workers.wiring import driver_of

SECRETS_OF_OTHERS = {
    "api": ("host_key", "edge_key", "dns_api_key"),
    "region": ("host_key", "edge_key", "api_secret"),
    "host": ("database_url", "api_secret", "edge_key", "dns_api_key"),  # a host has no credentials of the books
    "edge": ("database_url", "api_secret", "host_key", "dns_api_key"),
}
"""Settings that a role does not get to see."""


@dataclass(frozen=True, slots=True)
class Place:
    """``state`` is absolute; all below it is ours."""

    state: Path

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def pids(self) -> Path:
        return self.state / "pids"

    @property
    def postgres(self) -> Path:
        return self.state / "postgres"

    @property
    def images(self) -> Path:
        return self.state / "images"

    @property
    def lab(self) -> Path:
        return self.state / "lab"

    @property
    def scratch(self) -> Path:
        return self.state / "scratch"

    @property
    def libvirt(self) -> Path:
        return self.state / "libvirt"

    @property
    def temporal(self) -> Path:
        return self.state / "temporal"

    @property
    def ssh_key(self) -> Path:
        return self.state / "keys" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.state / "known_hosts"

    @property
    def token(self) -> Path:
        return self.state / "token"

    @property
    def host_key(self) -> Path:
        return self.state / "host-key"

    @property
    def dns_key(self) -> Path:
        return self.state / "dns-key"

    @property
    def edge_key(self) -> Path:
        return self.state / "edge-key"

    @property
    def enrolled_key(self) -> Path:
        return self.state / "enrolled" / "key"

    @property
    def enrolled_settings(self) -> Path:
        return self.state / "enrolled" / "host.env"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def pid_file(self, name: str) -> Path:
        return self.pids / f"{name}.pid"


def of_instance(settings: Settings) -> Settings:
    """The settings with the books and the images of the instance that runs on ``state``, unless others are named."""
    sockets = RuntimeDir(settings.state).path / "pg"
    if not sockets.exists():
        return settings
    cluster = PostgresCluster(home=sockets.parent / "postgres", sockets=sockets)
    ours = {"database_url": cluster.url(), "image_store": Place(settings.state.resolve()).images}
    return settings.model_copy(update=unless_chosen(settings, ours))


def resolved(settings: Settings, place: Place, database_url: str) -> Settings:
    """The settings of all processes of the instance: absolute paths, addresses that fit each other, no ``auto``."""
    ours = {
        "database_url": database_url,
        "internal_url": api_url(settings),
        "host_key": kept_secret(place.host_key),
        "edge_key": kept_secret(place.edge_key),
        "host_path": place.state / "host",
        "image_store": place.images,
        "image_scratch": place.scratch,
        "dns_api_url": dns_api_url(settings),
        "dns_api_key": kept_secret(place.dns_key),
    }
    told = unless_chosen(settings, ours)
    for name in ("host_path", "image_store", "image_scratch"):
        told[name] = told[name].resolve()
    return settings.model_copy(update={**told, "host": driver_of(settings), "state": place.state})


def api_url(settings: Settings) -> str:
    address = f"[{settings.api_address}]" if ":" in settings.api_address else settings.api_address
    return f"{'https' if settings.api_tls_cert else 'http'}://{address}:{settings.api_port}"


def dns_api_url(settings: Settings) -> str:
    """That of a PowerDNS of our own; empty where it is not installed."""
    return f"http://127.0.0.1:{settings.dns_port + 1}" if shutil.which(PROGRAM) else ""


def runs_dns(asked: Settings, settings: Settings) -> bool:
    """Whether PowerDNS is started here: it is installed, and nobody named another, or none."""
    return "dns_api_url" not in asked.model_fields_set and bool(settings.dns_api_url)


def unless_chosen(asked: Settings, ours: Mapping[str, Any]) -> dict[str, Any]:
    """What we would set, but for what somebody set in the environment."""
    return {name: getattr(asked, name) if name in asked.model_fields_set else value for name, value in ours.items()}


def environment(settings: Settings, role: str) -> Mapping[str, str]:
    """The settings as the environment of a process of that role."""
    told = settings.model_dump(mode="json", exclude_none=True)
    told |= dict.fromkeys(SECRETS_OF_OTHERS[role], "")
    return {
        f"PUCHIFY_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in told.items()
    }


def temporal_ports(settings: Settings) -> Ports:
    """The frontend's and the UI's are settings; the others keep their usual distance to the frontend."""
    frontend = urlsplit(f"//{settings.temporal_address}").port
    ui = urlsplit(settings.temporal_ui).port
    if frontend is None or ui is None:
        raise InvalidInput("PUCHIFY_TEMPORAL_ADDRESS and PUCHIFY_TEMPORAL_UI need a port")
    usual = Ports()
    distance = frontend - usual.frontend
    return Ports(
        frontend=frontend,
        history=usual.history + distance,
        matching=usual.matching + distance,
        worker=usual.worker + distance,
        frontend_membership=usual.frontend_membership + distance,
        history_membership=usual.history_membership + distance,
        matching_membership=usual.matching_membership + distance,
        worker_membership=usual.worker_membership + distance,
        metrics=usual.metrics + distance,
        ui=ui,
    )


def kept_secret(path: Path) -> str:
    """A random secret that is made once and kept, readable by us alone."""
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    return path.read_text().strip()


def write_private(path: Path, content: str) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with open(fresh, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
    fresh.replace(path)
