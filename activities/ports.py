"""Ports: a server's tap, routes and rules on its host."""

from __future__ import annotations

from temporalio import activity

from infra.domain.models import Machine
from infra.drivers import protocols


class Ports:
    def __init__(self, ports: protocols.Ports) -> None:
        self._ports = ports

    @activity.defn
    async def attach_ports(self, machine: Machine) -> None:
        await self._ports.attach(machine)

    @activity.defn
    async def detach_ports(self, machine: Machine) -> None:
        await self._ports.detach(machine.server_id)
