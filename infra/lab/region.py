"""The machines of the lab's region: switched on, killed, cut off and healed, one by one or with their zone.

A killed machine loses power: its cables fall silent first, so nobody hears its sockets close, and what its kernel held
is gone when it is switched on again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from infra.frr.config import host_conf, router_conf, upstream_conf
from infra.lab import boot
from infra.lab.cables import Cables
from infra.lab.errors import LabError
from infra.lab.lab import Lab
from infra.lab.nodes import Node, Seat, there
from infra.lab.places import (
    CORE,
    FABRIC,
    LEAVES,
    PLACES,
    Place,
    host_routing,
    outside_routing,
    router_routing,
)
from infra.lab.routing import start_frr

IMAGES = Path("/run/images")
"""Where a machine sees the image store."""
BOOTED = Path("/run/booted")
OWN = (("sysfs", "/sys"), ("tmpfs", "/dev/shm"), ("tmpfs", "/var/tmp"))
"""A machine's own: its interfaces in /sys, and what daemons leave on this machine when they are killed."""


@dataclass(frozen=True, slots=True)
class MachineStatus:
    name: str
    kind: str
    zone: str
    running: bool
    plugged: bool


class Region:
    """The machines around a store; they are there once `switch_on` was called for them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.cables = Cables(lab.network)
        self.nodes = {name: self._node(place) for name, place in PLACES.items()}

    def ensure_core(self) -> None:
        """Routers and the world: they only route, and carry no trace of a run."""
        self.cables.ensure_core()
        for place in CORE:
            self.switch_on(place.name)

    def switch_on(self, name: str) -> None:
        """Whole, or not at all: one that did not come up to the end is started afresh. It is plugged in, too. LabError:
        it cannot be."""
        place, node = PLACES[name], self.nodes[name]
        if place in LEAVES:
            self.cables.mend(name)
        if self._booted(name):
            if place.management:
                self.lab.network.plug(name)
            return
        node.kill()
        if place in LEAVES or place.management:
            self.lab.network.remove_machine(name)  # with its interfaces, routes and rules: a reboot loses them
        if place.management:
            self.lab.network.ensure_machine(name, place.management)
        if place in LEAVES:
            self.cables.pull(name)
            self.lab.network.ensure_namespace(name)
            self.cables.ensure_leaf(place)
        if place in CORE:
            self.cables.lighten(name)
        self._start(place, node)

    def kill(self, name: str) -> None:
        for place in self._meant(name):
            if place in CORE:
                self.cables.darken(place.name)
            self._cut(place)
            self.nodes[place.name].kill()
            if place in CORE:
                self.cables.forget(place.name)
        if name in self.lab.zones:
            self.lab.kill(name)

    def cut(self, name: str) -> None:
        """Its cables, to the fabric and to the switch. Nobody is told; packets vanish. LabError: not those of routers
        and the world, which are everybody's."""
        meant = self._meant(name)
        if any(place in CORE for place in meant):
            raise LabError(
                f"{name} cannot be cut off: cut who hangs on it, or take its power (puchify lab kill {name})"
            )
        for place in meant:
            self._cut(place)
        if name in self.lab.zones:
            self.lab.cut(name)

    def heal(self, name: str) -> None:
        """Switch on what was killed, mend what was cut."""
        if name in self.lab.zones:
            self.lab.heal(name)
        each(lambda place: self.switch_on(place.name), self._meant(name))

    def statuses(self) -> list[MachineStatus]:
        return [self._status(place) for place in PLACES.values() if self._there(place)]

    def mount_images(self, name: str) -> None:
        """On the machine, for itself alone."""
        node = self.nodes[name]
        node.run("mkdir", "-p", str(IMAGES))
        seat = Seat(node, IMAGES)
        if not seat.mounted():
            self.lab.engine().mount(self.lab.site, seat)

    def _start(self, place: Place, node: Node) -> None:
        node.start()
        node.directory.chmod(0o711)  # QEMU's user passes through
        for kind, point in OWN:
            node.run("mount", "-t", kind, kind, point)
        if place.kind != "control":
            start_frr(node, _routing(place))
        if place.kind in ("host", "control") and (node.directory / boot.FILE).exists():
            self.mount_images(place.name)
        boot.perform(node)
        node.run("touch", str(BOOTED))

    def _cut(self, place: Place) -> None:
        if place in LEAVES:
            self.cables.cut(place.name)
        if place.management:
            self.lab.network.unplug(place.name)

    def _meant(self, name: str) -> list[Place]:
        there = [place for place in PLACES.values() if self._there(place)]
        if not there:
            self.lab.engine()
        found = [place for place in there if name in (place.name, place.zone)]
        if not found and name not in self.lab.zones:
            names = ", ".join((*self.lab.zones, *(place.name for place in there)))
            raise LabError(f"there is no machine or zone {name!r}: it is one of {names}")
        return found

    def _there(self, place: Place) -> bool:
        return self.nodes[place.name].directory.exists()

    def _booted(self, name: str) -> bool:
        init = self.nodes[name].init()
        return init is not None and there(init, BOOTED).exists()

    def _status(self, place: Place) -> MachineStatus:
        plugged = not place.management or self.lab.network.plugged(place.name)
        whole = plugged and (place not in LEAVES or self.cables.whole(place.name))
        return MachineStatus(place.name, place.kind, place.zone, self._booted(place.name), whole)

    def _node(self, place: Place) -> Node:
        home = self.lab.directory / "machines" / place.name
        return Node(place.name, place.management, self.lab.network.namespace(place.name), home, (Path.home(),))


def each(work: Callable[[Place], None], places: Iterable[Place]) -> None:
    """At once; the first failure is everybody's."""
    if not (chosen := list(places)):
        return
    with ThreadPoolExecutor(len(chosen)) as threads:
        list(threads.map(work, chosen))


def _routing(place: Place) -> str:
    match place.kind:
        case "router":
            return router_conf(router_routing(place), FABRIC)
        case "outside":
            return upstream_conf(outside_routing(), FABRIC)
    return host_conf(host_routing(place), FABRIC)
