"""Versions of the region worker: a story ends on the version that it began with, a new one begins on the current one.

Temporal's worker deployments, all stories pinned. A version that was never current makes itself current when its first
worker is there; one that was takes nothing back by a mere restart. Without a build id there are no versions: then one
code base at a time works in the location, as `puchify up` does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from temporalio.api.deployment.v1 import WorkerDeploymentInfo
from temporalio.api.enums.v1 import VersionDrainageStatus
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import WorkerDeploymentConfig

from infra.config import Settings
from infra.domain.errors import NotFound, Unavailable

PATIENCE = 30.0  # seconds
PAUSE = 0.2  # seconds between two looks for a version that Temporal is still making known


@dataclass(frozen=True, slots=True)
class Version:
    """``state``: current, draining (stories are under way), drained (it may be stopped) or new."""

    build_id: str
    state: str


def deployment_name(location: str) -> str:
    return f"region-{location}"


def deployment(settings: Settings) -> WorkerDeploymentConfig | None:
    if not settings.build_id:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(deployment_name(settings.location), settings.build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )


async def take_over(client: Client, settings: Settings) -> bool:
    """Make the running worker's version current unless it was before. True when it did. A worker without a version
    takes over from whatever version is current: nobody else would do its work."""
    if not settings.build_id:
        takes = any(one.state == "current" for one in await versions(client, settings.location))
        if takes:
            await promote(client, settings.location, "")
        return takes
    while (state := await _state_of(client, settings)) is None:  # noqa: ASYNC110  Temporal tells nobody when it knows it
        await asyncio.sleep(PAUSE)
    if state != "new":
        return False
    await promote(client, settings.location, settings.build_id)
    return True


async def promote(client: Client, location: str, build_id: str) -> None:
    """New stories begin on this version from now on; "": on workers without one. NotFound: no worker of it was ever
    seen. Unavailable: Temporal does not let it be current, and says why."""
    until = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            await client.workflow_service.set_worker_deployment_current_version(
                SetWorkerDeploymentCurrentVersionRequest(
                    namespace=client.namespace,
                    deployment_name=deployment_name(location),
                    build_id=build_id,
                    identity=client.identity,
                )
            )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise NotFound(f"no worker of version '{build_id}' was ever seen in {location}") from error
            if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                raise
            if asyncio.get_running_loop().time() > until:  # before that, its queue may still be being made known
                raise Unavailable(f"version '{build_id}' cannot be current: {error.message}") from error
            await asyncio.sleep(PAUSE)
        else:
            return


async def versions(client: Client, location: str) -> list[Version]:
    """All that were seen, the newest first; none where nobody uses versions."""
    found = await _describe(client, location)
    return _versions(found) if found else []


async def _state_of(client: Client, settings: Settings) -> str | None:
    found = await versions(client, settings.location)
    return next((one.state for one in found if one.build_id == settings.build_id), None)


async def _describe(client: Client, location: str) -> WorkerDeploymentInfo | None:
    request = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=deployment_name(location))
    try:
        return (await client.workflow_service.describe_worker_deployment(request)).worker_deployment_info
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


def _versions(found: WorkerDeploymentInfo) -> list[Version]:
    known = sorted(found.version_summaries, key=lambda summary: summary.create_time.ToNanoseconds(), reverse=True)
    current = found.routing_config.current_deployment_version.build_id
    return [Version(summary.deployment_version.build_id, _state(summary, current)) for summary in known]


def _state(summary: WorkerDeploymentInfo.WorkerDeploymentVersionSummary, current: str) -> str:
    if summary.deployment_version.build_id == current:
        return "current"
    if not summary.HasField("last_current_time"):
        return "new"
    drained = summary.drainage_status == VersionDrainageStatus.VERSION_DRAINAGE_STATUS_DRAINED
    return "drained" if drained else "draining"
