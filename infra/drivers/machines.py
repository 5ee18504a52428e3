"""The hypervisor, through libvirt: defined, started, shut down, destroyed.

libvirt's calls block, so they run in a few threads over one connection. A libvirtd that was restarted has the same
machines. What it refuses while it lives is the host's failure, too. A machine may end, by itself or by another hand,
between any two calls: that is found, never taken for a failure.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar
from xml.etree import ElementTree as ET

import libvirt
from pyroute2 import IPRoute

from infra.domain.domain_xml import (
    PRIVATE_MTU,
    Accel,
    MachineFiles,
    domain_name,
    domain_xml,
    member_of_mac,
    private_nic,
    server_of_domain,
)
from infra.domain.models import Machine, MachineState
from infra.domain.port_names import private_tap_name, tap_name
from infra.drivers.layout import HostLayout
from infra.drivers.libvirt_connection import LibvirtConnection
from infra.drivers.links import link_named
from infra.drivers.protocols import PartsMissing
from infra.drivers.threads import KeyedLocks, run

PRESS_EVERY = 2.0  # seconds: a guest whose ACPI daemon is not up yet loses the power button
LOOK_EVERY = 0.2
LOOKS = 15  # at whether a guest has let go of a NIC, before that is for another time
UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
)
GONE, NOT_NOW = libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID
NO_SUCH_DEVICE, REFUSED = libvirt.VIR_ERR_DEVICE_MISSING, libvirt.VIR_ERR_INTERNAL_ERROR
ENDED_BADLY = {
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED,  # as when QEMU is killed
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED,
    libvirt.VIR_DOMAIN_SHUTOFF_DAEMON,  # a libvirtd that came back could not take it over
}

T = TypeVar("T")


class LibvirtMachines:
    def __init__(self, uri: str, layout: HostLayout, accel: Accel, private_mtu: int = PRIVATE_MTU) -> None:
        self._layout = layout
        self._accel = accel
        self._private_mtu = private_mtu
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="libvirt")
        self._locks = KeyedLocks[int]()
        self._connection = LibvirtConnection(uri)

    async def define(self, machine: Machine) -> None:
        async with self._locks.hold(machine.server_id):
            files = self._layout.machine_files(machine)
            _require_parts(machine.server_id, files)
            _require_ports(machine.server_id, machine.members)
            xml = domain_xml(machine, files, self._accel, private_mtu=self._private_mtu)
            await self._do(lambda connection: connection.defineXML(xml))

    async def unplug(self, server_id: int, keep: Collection[int]) -> None:
        async with self._locks.hold(server_id):
            await self._do(partial(_unplug, server_id, keep))

    async def plug(self, server_id: int, members: Collection[int]) -> None:
        async with self._locks.hold(server_id):
            await self._do(partial(_plug, server_id, members, self._private_mtu))

    async def rejoin(self, server_id: int, members: Collection[int]) -> bool:
        """Plug those NICs of these memberships in anew that a running machine has no tap for any more, though there is
        one. False: that is so of its public NIC, which stays as it is. PartsMissing."""
        async with self._locks.hold(server_id):
            loose = await self._do(partial(_loose_taps, server_id))
            ends = [member for member in members if private_tap_name(member) in loose]
            await self._do(partial(_let_go, server_id, ends))
            for _ in range(LOOKS):
                if not await self._do(partial(_has_any, server_id, ends)):
                    break
                await asyncio.sleep(LOOK_EVERY)
            await self._do(partial(_plug, server_id, members, self._private_mtu))
            return tap_name(server_id) not in loose

    async def start(self, server_id: int) -> None:
        async with self._locks.hold(server_id):
            await self._do(partial(_start, server_id))

    async def shut_down(self, server_id: int, patience: float) -> bool:
        press = time.monotonic()
        deadline = press + patience
        while await self._do(partial(_is_on, server_id)):
            if (now := time.monotonic()) >= press:
                await self._do(partial(_press_power, server_id))
                press = now + PRESS_EVERY
            if now >= deadline:
                return False
            await asyncio.sleep(LOOK_EVERY)
        return True

    async def destroy(self, server_id: int) -> None:
        async with self._locks.hold(server_id):
            await self._do(partial(_destroy, server_id))
            for path in (self._layout.console(server_id), self._layout.agent_socket(server_id)):
                path.unlink(missing_ok=True)

    async def held(self) -> dict[int, bool]:
        return {server_id: state in ("running", "paused") for server_id, state in (await self.states()).items()}

    async def states(self) -> dict[int, MachineState]:
        return await self._do(_states)

    async def close(self) -> None:
        """Let go of the connection; the machines run on."""
        await run(self._threads, self._connection.close)
        self._threads.shutdown(wait=False)

    async def _do(self, work: Callable[[Any], T]) -> T:
        return await run(self._threads, partial(self._connection.do, work))


def _require_parts(server_id: int, files: MachineFiles) -> None:
    """PartsMissing: which."""
    interfaces = {name for _, name in socket.if_nameindex()}
    parts = {"disk": files.disk.exists(), "seed": files.seed.exists(), "port": tap_name(server_id) in interfaces}
    if missing := [part for part, there in parts.items() if not there]:
        raise PartsMissing(f"server {server_id} lacks its {' and '.join(missing)}")


def _require_ports(server_id: int, members: Collection[int]) -> None:
    """PartsMissing: which."""
    interfaces = {name for _, name in socket.if_nameindex()}
    if missing := [member for member in members if private_tap_name(member) not in interfaces]:
        raise PartsMissing(f"server {server_id} lacks its port of membership {missing[0]}")


def _find(connection: Any, server_id: int) -> Any:
    """The machine; None when it is not known here."""
    with _unless(GONE):
        return connection.lookupByName(domain_name(server_id))
    return None


def _start(server_id: int, connection: Any) -> None:
    domain = _find(connection, server_id)
    if domain is None:
        raise PartsMissing(f"server {server_id} is started, but is not known here")
    if domain.isActive():
        if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:  # as libvirt does with one whose disk cannot be written
            domain.resume()
        return
    domain.create()


def _unplug(server_id: int, keep: Collection[int], connection: Any) -> None:
    """A guest lets go of a NIC that it was asked for when it is up to it, or never: nobody waits for that. It is asked
    again each time, which QEMU may refuse as it has asked already."""
    domain = _find(connection, server_id)
    for flag in _affected(domain):
        for member, alias in sorted(_nics(domain, flag).items()):
            if member not in keep and flag == libvirt.VIR_DOMAIN_AFFECT_LIVE:
                _ask_for(domain, alias)
            elif member not in keep:
                with _unless(GONE, NOT_NOW, NO_SUCH_DEVICE):
                    domain.detachDeviceFlags(_nic_xml(member), flag)


def _ask_for(domain: Any, alias: str) -> None:
    with _unless(GONE, NOT_NOW, NO_SUCH_DEVICE, REFUSED):
        domain.detachDeviceAlias(alias, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _loose_taps(server_id: int, connection: Any) -> set[str]:
    """Those that a running machine has a NIC for, and that nobody has open: QEMU does for as long as it runs, unless
    somebody deleted its tap. Nobody starts the machine meanwhile."""
    domain = _find(connection, server_id)
    if domain is None or not _is_active(domain):
        return set()
    with IPRoute() as netlink:
        links = {tap: link_named(netlink, tap) for tap in _taps(domain)}
    return {tap for tap, link in links.items() if link is not None and not link.get("carrier")}


def _taps(domain: Any) -> set[str]:
    return {_said(nic, "target", "dev") for nic in _interfaces(domain, 0)}


def _let_go(server_id: int, members: Collection[int], connection: Any) -> None:
    """The guest is asked to; how the machine starts next time stays as it is."""
    domain = _find(connection, server_id)
    nics = _live_nics(domain)
    for member in sorted(nics.keys() & set(members)):
        _ask_for(domain, nics[member])


def _has_any(server_id: int, members: Collection[int], connection: Any) -> bool:
    return not _live_nics(_find(connection, server_id)).keys().isdisjoint(members)


def _live_nics(domain: Any) -> dict[int, str]:
    live = libvirt.VIR_DOMAIN_AFFECT_LIVE
    return _nics(domain, live) if live in _affected(domain) else {}


def _plug(server_id: int, members: Collection[int], mtu: int, connection: Any) -> None:
    domain = _find(connection, server_id)
    for flag in _affected(domain):
        for member in sorted(set(members) - _nics(domain, flag).keys()):
            _require_ports(server_id, [member])
            with _unless(GONE, NOT_NOW):
                domain.attachDeviceFlags(_nic_xml(member, mtu), flag)


def _affected(domain: Any) -> list[int]:
    """What is to be changed of a machine: how it starts next time, and itself if it runs."""
    if domain is None:
        return []
    return [libvirt.VIR_DOMAIN_AFFECT_CONFIG, *([libvirt.VIR_DOMAIN_AFFECT_LIVE] if _is_active(domain) else [])]


def _nics(domain: Any, flag: int) -> dict[int, str]:
    """The memberships that the machine has a NIC for: one that runs, or starts next time. With libvirt's names of them,
    where it runs."""
    nics = _interfaces(domain, libvirt.VIR_DOMAIN_XML_INACTIVE if flag == libvirt.VIR_DOMAIN_AFFECT_CONFIG else 0)
    named = ((member_of_mac(_said(nic, "mac", "address")), _said(nic, "alias", "name")) for nic in nics)
    return {member: alias for member, alias in named if member is not None}


def _interfaces(domain: Any, flags: int) -> list[ET.Element]:
    with _unless(GONE):
        return ET.fromstring(domain.XMLDesc(flags)).findall("devices/interface")
    return []


def _said(nic: ET.Element, tag: str, attribute: str) -> str:
    found = nic.find(tag)
    return "" if found is None else found.get(attribute, "")


def _nic_xml(member_id: int, mtu: int = PRIVATE_MTU) -> str:
    return ET.tostring(private_nic(member_id, mtu), encoding="unicode")


def _is_on(server_id: int, connection: Any) -> bool:
    domain = _find(connection, server_id)
    return domain is not None and _is_active(domain)


def _press_power(server_id: int, connection: Any) -> None:
    domain = _find(connection, server_id)
    if domain is not None:
        with _unless(GONE, NOT_NOW):
            domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)


def _destroy(server_id: int, connection: Any) -> None:
    domain = _find(connection, server_id)
    if domain is None:
        return
    with _unless(GONE, NOT_NOW):
        domain.destroy()
    with _unless(GONE):
        domain.undefineFlags(UNDEFINE)


def _states(connection: Any) -> dict[int, MachineState]:
    """In one call, however many there are."""
    told = connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE)
    known = ((server_of_domain(domain.name()), stats) for domain, stats in told)
    return {
        server_id: state_of(stats["state.state"], stats["state.reason"])
        for server_id, stats in known
        if server_id is not None
    }


def state_of(state: int, reason: int) -> MachineState:
    """libvirt's word for it in ours. One that is about to go off still runs."""
    if state in (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PMSUSPENDED):
        return "paused"
    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        return "crashed" if reason in ENDED_BADLY else "off"
    return "crashed" if state == libvirt.VIR_DOMAIN_CRASHED else "running"


def _is_active(domain: Any) -> bool:
    with _unless(GONE):
        return bool(domain.isActive())
    return False


@contextmanager
def _unless(*codes: int) -> Iterator[None]:
    """Pass over the errors that only say: it is so already."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() not in codes:
            raise
