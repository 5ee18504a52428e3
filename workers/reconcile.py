"""Reconciling a host with the books: what no claim confirms is cleared away, what should run is brought up, and what
its owner stopped is off, but whole.

The books are the truth. One server that cannot be helped never stands in the way of another.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from activities.fence import Fence
from activities.machines import bring_down, bring_up
from activities.ports import Ports
from infra.domain.errors import HostFailure, StaleClaim
from infra.domain.models import PARTS, Confirmed, HostClaims, Machine, Part
from infra.domain.port_plan import PortPlan
from infra.drivers.epochs import Epochs
from infra.drivers.protocols import Host
from infra.internal_api import InternalApi

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """``held``: the servers of which anything is here, and their highest epoch by then. ``claims``: of the books."""

    held: Mapping[int, int]
    claims: HostClaims


async def parts_held(host: Host) -> dict[int, list[Part]]:
    """What is here, by server."""
    held: dict[Part, Collection[int]] = {
        "machine": await host.machines.held(),
        "port": await host.ports.held(),
        "disk": await host.disks.held(),
        "seed": await host.seeds.held(),
    }
    servers = sorted(set().union(*held.values()))
    return {server_id: [part for part in PARTS if server_id in held[part]] for server_id in servers}


async def held_and_claimed(host: Host, internal_api: InternalApi, epochs: Epochs) -> Found:
    """What is here, then what should be: in this order, so that a server claimed in between is no stray."""
    held = {server_id: epochs.highest(server_id) for server_id in await parts_held(host)}
    return Found(held, await internal_api.claims())


async def clear_away(host: Host, found: Found, internal_api: InternalApi, fence: Fence) -> None:
    """Purge strays, and forget what the books have buried while this host did not do as it was told."""
    claimed = {claim.machine.server_id: claim.machine.epoch for claim in found.claims.claims}
    for server_id in sorted(found.held.keys() - claimed.keys()):
        log.warning("server %s is not this host's any more: it is purged", server_id)
        await purge(host, fence, server_id, found.held[server_id])
    for tombstone in found.claims.tombstones:
        server_id, epoch = tombstone.server_id, tombstone.epoch
        # A server that was placed here again since keeps what is its own, or left nothing.
        again = claimed.get(server_id, 0) > epoch
        gone = server_id not in found.held and fence.epochs.highest(server_id) > epoch
        if again or gone or await purge(host, fence, server_id, epoch):
            await internal_api.forgotten(tombstone)
    fence.epochs.forget(claimed.keys())


async def purge(host: Host, fence: Fence, server_id: int, epoch: int) -> bool:
    """Take everything of a server away, whatever of it resists; True when nothing did, and nothing more can come."""
    async with fence.purge(server_id, epoch) as clean:
        if clean:
            for remove in (host.machines.destroy, host.ports.detach, host.seeds.remove, host.disks.remove):
                try:
                    await remove(server_id)
                except Exception:
                    log.exception("server %s is not gone yet", server_id)
                    clean = False
        return clean


async def restore(
    host: Host,
    internal_api: InternalApi,
    ports: Ports,
    fence: Fence,
    claims: Iterable[Confirmed],
    plans: Iterable[PortPlan] = (),
) -> frozenset[int]:
    """Bring the servers back that ran when the host went down, and keep those off that rested. Which of them are not so
    yet: for another time. ``plans``: of ports, just fetched, for as long as nobody else attaches any; others are."""
    fetched = {(plan.server_id, plan.epoch): plan for plan in plans}
    down = set()
    wanted = [claim for claim in claims if claim.runs or claim.rests]
    running = await _running(host) if wanted else set()
    for claim in wanted:
        machine, bring_back = claim.machine, bring_up if claim.runs else bring_down
        try:
            async with fence.forward(machine.server_id, machine.epoch):
                if claim.runs and running is not None and machine.server_id not in running:
                    await _renew_seed(host, internal_api, machine)
                await bring_back(host, ports, machine, fetched.get((machine.server_id, machine.epoch)))
        except StaleClaim:
            continue  # its delete was quicker, or a command of its owner
        except Exception:
            log.exception("server %s should %s and does not yet", machine.server_id, "run" if claim.runs else "rest")
            down.add(machine.server_id)
    return frozenset(down)


async def _running(host: Host) -> set[int] | None:
    """None where the hypervisor does not answer: what each of them says of that is heard later."""
    try:
        return {server_id for server_id, runs in (await host.machines.held()).items() if runs}
    except HostFailure:
        return None


async def _renew_seed(host: Host, internal_api: InternalApi, machine: Machine) -> None:
    """The one that is there tells of its networks as they were; it does, on a host that has no room for another."""
    try:
        await host.seeds.write(machine.server_id, await internal_api.seed(machine))
    except HostFailure as error:
        log.warning("server %s comes up with the seed it had: %s", machine.server_id, error)


async def follow_plans(
    host: Host, ports: Ports, fence: Fence, claims: Iterable[Confirmed], plans: Collection[PortPlan]
) -> None:
    """Attach the ports again of whom the books want otherwise by now, should the step that was to do it be lost; and of
    whom a former worker left ports, as in mid-create: nobody guards what this one does not know."""
    outdated = ports.outdated(plans, await host.ports.held())
    for machine in [claim.machine for claim in claims if claim.machine.server_id in outdated]:
        try:
            async with fence.forward(machine.server_id, machine.epoch):
                await ports.attach(machine)
        except StaleClaim:
            continue
        except Exception:
            log.exception("the ports of server %s are not what they should be", machine.server_id)
