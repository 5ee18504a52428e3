"""A Temporal cluster on one machine: prepared, started by a supervisor, and furnished with our namespace.

`prepare` before the server runs (files, databases), then `server_argv` and `ui_argv` for whoever supervises, then
`furnish` once it answers (namespace, search attributes). Each converges and is cheap when there is nothing to do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    DescribeNamespaceRequest,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from infra.temporal import configure
from infra.temporal.configure import TemporalSettings
from infra.temporal.install import Binaries
from infra.temporal.schema import ensure_schemas

KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
LAGGING = {RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.UNAVAILABLE}

Answer = TypeVar("Answer")


class TemporalError(Exception):
    """Temporal cannot be started here, or does not answer; the message says what to do."""


@dataclass(frozen=True, slots=True)
class TemporalCluster:
    settings: TemporalSettings
    binaries: Binaries

    async def prepare(self) -> None:
        """Write the configuration and bring the databases up to date; the database server must answer."""
        self._check_ports()
        configure.write(self.settings)
        await ensure_schemas(self.settings.database, self.binaries.sql_tool)

    def server_argv(self) -> tuple[str, ...]:
        # Without an authorizer, which has to be said: it listens on this machine only.
        return (
            str(self.binaries.server),
            "--config-file",
            str(self.settings.server_file),
            "--allow-no-auth",
            "start",
        )

    def ui_argv(self) -> tuple[str, ...]:
        path = self.settings.ui_file
        return (str(self.binaries.ui), "--root", str(path.parent), "--config", ".", "--env", path.stem, "start")

    async def ready(self) -> bool:
        """Whether the frontend serves, and the services behind it answer."""
        try:
            client = await self._client()
            await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace="temporal-system"), timeout=timedelta(seconds=2)
            )
        except (RPCError, RuntimeError):  # RuntimeError: the SDK's for a refused connection
            return False
        return True

    async def ui_ready(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(configure.LOCALHOST, self.settings.ports.ui)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def wait_healthy(self, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not await self.ready():
            if time.monotonic() > deadline:
                raise TemporalError(f"Temporal at {self.settings.address} did not answer within {seconds:g} s")
            await asyncio.sleep(0.05)

    async def furnish(self, namespace: str | None = None) -> None:
        """Converge on the namespace (ours unless named), its retention and its search attributes; usable on return."""
        name = namespace or self.settings.namespace
        client = await self._client(name)
        if await self._ensure_namespace(client, name) | await self._ensure_search_attributes(client, name):
            await self._wait_usable(client, name)

    def _check_ports(self) -> None:
        ports = self.settings.ports
        if high := [f"{port} ({name})" for name, port in ports.unusable()]:
            raise TemporalError(f"Temporal takes no such port as {', '.join(high)}: choose one below 32768")
        if taken := [f"{port} ({name})" for name, port in ports.taken()]:
            raise TemporalError(f"somebody else listens on port {', '.join(taken)}: stop it, or choose other ports")

    async def retention(self, namespace: str) -> timedelta:
        client = await self._client(namespace)
        found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
        return found.config.workflow_execution_retention_ttl.ToTimedelta()

    async def _ensure_namespace(self, client: Client, name: str) -> bool:
        retention = Duration()
        retention.FromTimedelta(self.settings.retention)
        try:
            found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=name))
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            await client.workflow_service.register_namespace(
                RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=retention)
            )
            return True
        if found.config.workflow_execution_retention_ttl != retention:
            await client.workflow_service.update_namespace(
                UpdateNamespaceRequest(
                    namespace=name, config=NamespaceConfig(workflow_execution_retention_ttl=retention)
                )
            )
        return False

    async def _ensure_search_attributes(self, client: Client, name: str) -> bool:
        # The frontend's cache of namespaces lags behind a registration.
        found = await _patiently(
            lambda: client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=name))
        )
        missing = [one for one in self.settings.search_attributes if one not in found.custom_attributes]
        if missing:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=name, search_attributes=dict.fromkeys(missing, KEYWORD))
            )
        return bool(missing)

    async def _wait_usable(self, client: Client, name: str) -> None:
        query = " AND ".join(f"{one} = ''" for one in self.settings.search_attributes)
        request = CountWorkflowExecutionsRequest(namespace=name, query=query)
        await _patiently(lambda: client.workflow_service.count_workflow_executions(request))

    async def _client(self, namespace: str = "default") -> Client:
        return await Client.connect(self.settings.address, namespace=namespace)


async def _patiently(ask: Callable[[], Awaitable[Answer]], seconds: float = 15.0) -> Answer:
    """Ask again until what was just registered is known everywhere: the frontend's caches lag by a few seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await ask()
        except RPCError as error:
            if error.status not in LAGGING or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.1)
