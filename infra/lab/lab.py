"""The lab as an operator handles it: up, down, and a zone killed, cut or healed.

Everything is found again from the state directory's path: names follow from it, processes from the namespaces they
live in. So `up` and `down` clear away what a killed predecessor left half-made, and need no note of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.domain.store_health import Health
from infra.guests.apt import missing_packages
from infra.lab.cephfs import CephFS
from infra.lab.engine import Engine, Site
from infra.lab.errors import LabError
from infra.lab.glusterfs import GlusterFS
from infra.lab.mounts import is_mounted, let_go
from infra.lab.network import Network
from infra.lab.nodes import Client, Zone

ENGINES: dict[str, Engine] = {"cephfs": CephFS(), "glusterfs": GlusterFS()}
ZONES = {"z1": "10.231.7.1", "z2": "10.231.7.2", "z3": "10.231.7.3"}
CLIENTS = {"a": "10.231.7.9", "b": "10.231.7.8"}
BASE_PACKAGES = ("util-linux", "iproute2")


@dataclass(frozen=True, slots=True)
class ZoneStatus:
    name: str
    address: str
    running: bool
    plugged: bool
    daemons: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """``mounts``: by client, where the store is seen, and whether it is."""

    engine: str
    zones: tuple[ZoneStatus, ...]
    mounts: tuple[tuple[str, Path, bool], ...]
    health: Health


class Lab:
    """``directory`` is the lab's alone: all it keeps lies below, and `down` removes it."""

    def __init__(self, directory: Path, say: Callable[[str], None] = lambda line: None) -> None:
        self.directory = directory.resolve()
        self.say = say
        prefix = f"puchify-lab-{hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:8]}"
        self.network = Network(prefix)
        home = self.directory / "zones"
        self.zones = {
            name: Zone(name, address, self.network.namespace(name), home / name) for name, address in ZONES.items()
        }
        self.clients = {
            name: Client(name, address, self.network.namespace(name), self.directory / "mounts" / name)
            for name, address in CLIENTS.items()
        }
        self.site = Site(self.directory, tuple(self.zones.values()), tuple(self.clients.values()), say)

    def up(self, name: str) -> None:
        """Set it up with that engine, or bring back whatever of it is missing. LabError: it is up with another."""
        require(name)
        with self.alone():
            self.clear()
            self.ensure(name)

    def ensure(self, name: str) -> None:
        """What `up` does, for who is alone with it."""
        there = self.engine_name()
        if there not in (None, name):
            raise LabError(f"the lab is up with {there}: take it down first (puchify lab down)")
        if there is None:
            self._create(ENGINES[name])
        else:
            self._bring_back(ENGINES[name])

    def clear(self) -> None:
        """Away with what a killed `up` left; a lab that is up stays."""
        if self.engine_name() is None:
            self._remove()

    def down(self) -> None:
        """Nothing is left: no process, namespace, mount or file."""
        require()
        with self.alone():
            self._remove()

    def kill(self, zone: str) -> None:
        """Every process of the zone at once."""
        self._zone(zone).kill()

    def cut(self, zone: str) -> None:
        """The zone's cable. Nobody is told; packets vanish."""
        self._zone(zone)
        self.network.unplug(zone)

    def heal(self, zone: str) -> None:
        """Plug its cable in, and start what does not run. The engine heals its data by itself from then on."""
        found = self._zone(zone)
        self.network.plug(zone)
        found.start()
        self.engine().start(self.site, found)

    def remount(self, client: str) -> None:
        """Nothing that this client has read before is remembered afterwards."""
        found = self.clients[client]
        found.leave()
        self._mount(self.engine(), found)

    def health(self) -> Health:
        return self.engine().health(self.site)

    def status(self) -> Status:
        engine = self.engine()
        zones = tuple(self._zone_status(engine, zone) for zone in self.zones.values())
        mounts = tuple((name, client.mount, is_mounted(client.mount)) for name, client in self.clients.items())
        return Status(engine.name, zones, mounts, engine.health(self.site))

    def engine_name(self) -> str | None:
        """None: it is not up, or was killed on the way there."""
        try:
            return str(json.loads((self.directory / "lab.json").read_text())["engine"])
        except FileNotFoundError:
            return None

    def _create(self, engine: Engine) -> None:
        (self.directory / "log").mkdir(parents=True, exist_ok=True)
        self.say("making the network and three zones")
        self._ensure_ground()
        self.say(f"setting up {engine.name}")
        engine.create(self.site)
        self._ensure_mounts(engine)
        fresh = self.directory / "lab.json.new"
        fresh.write_text(json.dumps({"engine": engine.name}))
        fresh.rename(self.directory / "lab.json")

    def _bring_back(self, engine: Engine) -> None:
        self._ensure_ground()
        for zone in self.zones.values():
            engine.start(self.site, zone)
        self._ensure_mounts(engine)

    def _ensure_ground(self) -> None:
        self.network.ensure_switch()
        for machine, address in {**ZONES, **CLIENTS}.items():
            self.network.ensure_machine(machine, address)
        for zone in self.zones.values():
            zone.start()

    def _ensure_mounts(self, engine: Engine) -> None:
        for client in self.clients.values():
            if not (is_mounted(client.mount) and client.alive()):
                self._mount(engine, client)

    def _mount(self, engine: Engine, client: Client) -> None:
        let_go(client.mount)  # first: who waits for a mount that hangs cannot be ended
        client.end()
        let_go(client.mount)  # what was just being mounted
        client.mount.mkdir(parents=True, exist_ok=True)
        engine.mount(self.site, client)

    def _remove(self) -> None:
        let_go(self.directory)  # first: who waits for a file system that hangs cannot be killed
        self.network.remove()
        let_go(self.directory)  # what was just being mounted
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def _zone(self, name: str) -> Zone:
        self.engine()
        if name not in self.zones:
            raise LabError(f"there is no zone {name!r}: it is one of {', '.join(self.zones)}")
        return self.zones[name]

    def engine(self) -> Engine:
        name = self.engine_name()
        if name is None:
            raise LabError("the lab is not up: set it up with `puchify lab up`")
        return ENGINES[name]

    def _zone_status(self, engine: Engine, zone: Zone) -> ZoneStatus:
        names = tuple(sorted(daemon.name for daemon in zone.daemons()))
        missing = tuple(name for name in engine.daemons if name not in names)
        plugged = self.network.plugged(zone.name)
        return ZoneStatus(zone.name, zone.address, zone.init() is not None, plugged, names, missing)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """LabError: another process sets it up or takes it down."""
        # The lock is on the directory above: a file of ours could not be removed while others wait for it.
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        above = os.open(self.directory.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(above, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise LabError(f"another process is setting up or taking down {self.directory}") from None
        finally:
            os.close(above)


def require(engine: str | None = None, others: Sequence[str] = ()) -> None:
    """LabError: this user or this machine cannot have a lab (with that engine, and other packages)."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces and mounts: run it as root")
    packages = (*BASE_PACKAGES, *(ENGINES[engine].packages if engine else ()), *others)
    if missing := missing_packages(packages):
        names = " ".join(missing)
        raise LabError(
            f"the lab needs packages that are not installed: {', '.join(missing)}. "
            f"Install them: apt-get install --no-install-recommends {names}  (or: make lab-setup)"
        )
