"""The hypervisor, through libvirt: defined, started, shut down, destroyed.

libvirt's calls block, so they run in a few threads over one connection, which is made anew when it is found broken: a
libvirtd that was restarted has the same machines. What it refuses while it lives is the host's failure, too.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import libvirt

from infra.domain.domain_xml import Accel, MachineFiles, domain_name, domain_xml, server_of_domain
from infra.domain.errors import HostUnavailable
from infra.domain.models import Machine
from infra.domain.port_names import tap_name
from infra.drivers.layout import HostLayout
from infra.drivers.threads import KeyedLocks, run

PRESS_EVERY = 2.0  # seconds: a guest whose ACPI daemon is not up yet loses the power button
UNDEFINE = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA

log = logging.getLogger(__name__)
libvirt.registerErrorHandler(lambda _, error: log.debug("libvirt: %s", error), None)  # else it prints each one

T = TypeVar("T")


class LibvirtMachines:
    def __init__(self, uri: str, layout: HostLayout, accel: Accel) -> None:
        self._uri = uri
        self._layout = layout
        self._accel = accel
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="libvirt")
        self._locks = KeyedLocks[int]()
        self._connecting = threading.Lock()
        self._connection: libvirt.virConnect | None = None

    async def define(self, machine: Machine) -> None:
        async with self._locks.hold(machine.server_id):
            files = self._layout.machine_files(machine)
            _require_parts(machine.server_id, files)
            xml = domain_xml(machine, files, self._accel)
            await self._do(lambda connection: connection.defineXML(xml))

    async def start(self, server_id: int) -> None:
        async with self._locks.hold(server_id):
            await self._do(partial(_start, server_id))

    async def shut_down(self, server_id: int, patience: float) -> bool:
        deadline = time.monotonic() + patience
        while await self._do(partial(_press_power, server_id)):
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(min(PRESS_EVERY, max(0.0, deadline - time.monotonic())))
        return True

    async def destroy(self, server_id: int) -> None:
        async with self._locks.hold(server_id):
            await self._do(partial(_destroy, server_id))
            for path in (self._layout.console(server_id), self._layout.agent_socket(server_id)):
                path.unlink(missing_ok=True)

    async def held(self) -> dict[int, bool]:
        return await self._do(_held)

    async def close(self) -> None:
        """Let go of the connection; the machines run on."""
        await run(self._threads, self._drop)
        self._threads.shutdown(wait=False)

    async def _do(self, work: Callable[[Any], T]) -> T:
        return await run(self._threads, partial(self._work, work))

    def _work(self, work: Callable[[Any], T]) -> T:
        for is_last in (False, True):
            try:
                return work(self._connected())
            except libvirt.libvirtError as error:
                if not is_last and self._is_broken():
                    self._drop()
                    continue
                log.warning("libvirt: %s", error)
                raise HostUnavailable("the host's hypervisor does not do what it is asked; try again") from error
        raise AssertionError("unreachable: the loop returns or raises")

    def _connected(self) -> Any:
        with self._connecting:
            if self._connection is None:
                self._connection = libvirt.open(self._uri)
            return self._connection

    def _is_broken(self) -> bool:
        connection = self._connection
        try:
            return connection is None or not connection.isAlive() or connection.getLibVersion() < 0
        except libvirt.libvirtError:
            return True

    def _drop(self) -> None:
        with self._connecting:
            connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except libvirt.libvirtError as error:
                log.debug("a broken connection was closed: %s", error)


def _require_parts(server_id: int, files: MachineFiles) -> None:
    """LookupError: a part was not made before; that is our bug, and no fault of the host."""
    interfaces = {name for _, name in socket.if_nameindex()}
    parts = {"disk": files.disk.exists(), "seed": files.seed.exists(), "port": tap_name(server_id) in interfaces}
    if missing := [part for part, there in parts.items() if not there]:
        raise LookupError(f"server {server_id} lacks its {' and '.join(missing)}")


def _find(connection: Any, server_id: int) -> Any:
    """The machine; None when it is not known here."""
    try:
        return connection.lookupByName(domain_name(server_id))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _start(server_id: int, connection: Any) -> None:
    domain = _find(connection, server_id)
    if domain is None:
        raise HostUnavailable("the host does not know the server's machine any more")
    if not domain.isActive():
        domain.create()


def _press_power(server_id: int, connection: Any) -> bool:
    """Whether the machine still runs."""
    domain = _find(connection, server_id)
    if domain is None or not domain.isActive():
        return False
    _unless_off(domain.shutdown)
    return True


def _destroy(server_id: int, connection: Any) -> None:
    domain = _find(connection, server_id)
    if domain is None:
        return
    if domain.isActive():
        _unless_off(domain.destroy)
    domain.undefineFlags(UNDEFINE)


def _unless_off(press: Callable[[], object]) -> None:
    """It may have ended by itself in this very moment."""
    try:
        press()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise


def _held(connection: Any) -> dict[int, bool]:
    known = ((server_of_domain(domain.name()), domain) for domain in connection.listAllDomains())
    return {server_id: bool(domain.isActive()) for server_id, domain in known if server_id is not None}
