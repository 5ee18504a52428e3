"""The connection to Temporal: one plugin object configures client, worker and replayer, so that they cannot differ.

It brings the data converter (pydantic's JSON for our dataclasses), the translation of our errors, and the sandbox with
all of our own modules passed through: a module loaded anew for each workflow costs 30 ms, and the policy makes that
mistake fail at construction.
"""

from __future__ import annotations

from dataclasses import replace

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.plugin import SimplePlugin
from temporalio.service import GrpcCompression
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from infra.config import Settings
from infra.domain.errors import Unavailable
from infra.temporal.failures import Failures
from infra.temporal.pulse import runtime

PASSED_THROUGH = ("activities", "infra", "workflows.failures", "workflows.options", "workflows.saga")


def sandbox() -> SandboxedWorkflowRunner:
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    policy = (
        SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
        | SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
    return SandboxedWorkflowRunner(restrictions=replace(restrictions, import_notification_policy=policy))


def plugin() -> SimplePlugin:
    return SimplePlugin(
        "puchify",
        data_converter=pydantic_data_converter,
        interceptors=[Failures()],
        workflow_runner=sandbox(),
    )


async def connect(settings: Settings, lazy: bool = False) -> Client:
    """A client. Unavailable: Temporal does not answer. ``lazy``: it connects with its first call, so that a process
    may start while Temporal is away; a worker cannot use such a client."""
    try:
        return await Client.connect(
            settings.temporal_address,
            namespace=settings.temporal_namespace,
            plugins=[plugin()],
            runtime=runtime(settings.worker_pulse),
            grpc_compression=GrpcCompression.NONE,  # it is near: packing costs more than it saves
            lazy=lazy,
        )
    except RuntimeError as cause:
        raise Unavailable("the orchestration service does not answer") from cause
