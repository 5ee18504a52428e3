"""The lab's network: one switch, and a network namespace with an `eth0` for each machine on it.

The switch is a bridge in a namespace of its own, so nothing of the lab appears in the network of this machine: the
addresses cannot collide with anybody's, and two labs may use the same. Names of namespaces begin with the lab's prefix.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, netns
from pyroute2.netlink.exceptions import NetlinkError

from infra.lab.processes import end_all

NAMESPACES = Path("/run/netns")
SWITCH = "switch"
BRIDGE = "lab"
PREFIX_LENGTH = 24


@dataclass(frozen=True, slots=True)
class Network:
    """``prefix``: what the names of this lab's namespaces begin with."""

    prefix: str

    def namespace(self, machine: str) -> Path:
        return NAMESPACES / f"{self.prefix}-{machine}"

    def ensure_switch(self) -> None:
        with self._inside(SWITCH) as netlink:
            if _link(netlink, BRIDGE) is None:
                netlink.link("add", ifname=BRIDGE, kind="bridge", br_stp_state=0)
            _up(netlink, "lo")
            _up(netlink, BRIDGE)

    def ensure_machine(self, machine: str, address: str) -> None:
        """Give it a namespace, and a cable to the switch; the switch's end bears the machine's name."""
        with self._inside(machine) as inside, self._inside(SWITCH) as switch:
            if _link(switch, machine) is None:
                peer = {"ifname": "eth0", "net_ns_fd": self.namespace(machine).name}
                switch.link("add", ifname=machine, kind="veth", peer=peer)
            bridge = _link(switch, BRIDGE)
            switch.link("set", index=_link(switch, machine)["index"], master=bridge["index"], state="up")
            _up(inside, "lo")
            inside.addr("replace", index=_link(inside, "eth0")["index"], address=address, prefixlen=PREFIX_LENGTH)
            _up(inside, "eth0")

    def ensure_namespace(self, machine: str) -> None:
        """For a machine without a cable to the switch."""
        if not self.namespace(machine).exists():
            netns.create(self.namespace(machine).name)

    def plug(self, machine: str) -> None:
        with self._inside(SWITCH) as switch:
            _up(switch, machine)

    def unplug(self, machine: str) -> None:
        """From now on packets vanish: nobody is told that the machine cannot be reached."""
        with self._inside(SWITCH) as switch:
            switch.link("set", index=_link(switch, machine)["index"], state="down")

    def plugged(self, machine: str) -> bool:
        if not self.namespace(SWITCH).exists():
            return False
        with self._inside(SWITCH) as switch:
            link = _link(switch, machine)
            return link is not None and link["state"] == "up"

    def remove(self) -> None:
        """With every process in it; the cables and the bridge go with their namespaces."""
        for namespace in sorted(NAMESPACES.glob(f"{self.prefix}-*")):
            _remove(namespace)

    def remove_machine(self, machine: str) -> None:
        """Its namespace, with the processes in it, and its cable: the kernel takes its time to miss one end."""
        if self.namespace(machine).exists():
            _remove(self.namespace(machine))
        with self._inside(SWITCH) as switch:
            if (port := _link(switch, machine)) is not None:
                switch.link("del", index=port["index"])

    @contextmanager
    def _inside(self, machine: str) -> Iterator[IPRoute]:
        self.ensure_namespace(machine)
        with IPRoute(netns=self.namespace(machine).name) as netlink:
            yield netlink


def _remove(namespace: Path) -> None:
    end_all(namespace)
    try:
        netns.remove(namespace.name)
    except OSError as error:
        if error.errno != errno.EINVAL:  # killed between the file and the mount: it is only a file
            raise
        namespace.unlink(missing_ok=True)


def _link(netlink: IPRoute, name: str) -> Any:
    try:
        return netlink.link("get", ifname=name)[0]
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


def _up(netlink: IPRoute, name: str) -> None:
    netlink.link("set", index=_link(netlink, name)["index"], state="up")
