"""Provision a server: one accepted order becomes one running server, or nothing at all.

Each step converges on its argument, so it may run again at will, and names its undo on the same line; a failure
unwinds them newest first. A host that fails is left behind and the server placed again, its addresses kept. Timeouts
and retries stand in options.py; what a failure means to the user, in failures.py.
"""

from __future__ import annotations

import itertools
from typing import NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.addresses import AddressBook
    from activities.disks import Disks
    from activities.dns import Names
    from activities.health import Health
    from activities.images import Images
    from activities.load_balancers import LoadBalancers
    from activities.machines import Machines
    from activities.placement import Placements
    from activities.ports import Ports
    from activities.quota import Quotas
    from activities.records import Records
    from activities.seeds import Seeds
    from infra.domain.errors import ResourceUnavailable
    from infra.domain.models import (
        Addresses,
        Admission,
        Claim,
        FailedOrder,
        Failure,
        FinishedOrder,
        Machine,
        PlacementRequest,
        Readiness,
        ServerOrder,
    )
    from infra.temporal.names import FAILURE_CODE, HOST_ID, PHASE
    from workflows.failures import DELETED, HOST_AWAY
    from workflows.options import DEADLINE, HOSTS_TO_TRY, RETURN_LOOKS, RETURN_PAUSE
    from workflows.saga import (
        Beside,
        Saga,
        Unwound,
        heed_cancellation,
        run,
        surely,
        tell_edges,
        together,
        unless,
        withdraw_targets,
    )


@workflow.defn
class ProvisionServer:
    """Started by the order's update-with-start; ends Completed with a running server, or Failed with nothing left."""

    def __init__(self) -> None:
        self._admission: Admission | None = None
        self._abandoned = False
        self._left: list[tuple[int, Unwound]] = []
        self._looks = 0
        self._excluded: tuple[int, ...] = ()

    @workflow.update
    async def admit(self) -> Admission:
        """The answer to the order, as soon as it is known: addresses, or why not."""
        await workflow.wait_condition(lambda: self._admission is not None)
        assert self._admission is not None
        return self._admission

    @workflow.signal
    def abandon(self) -> None:
        """The owner deletes the server: stop, and give everything back."""
        self._abandoned = True

    @workflow.run
    async def run(self, order: ServerOrder) -> None:
        try:
            ready = await unless(lambda: DELETED if self._abandoned else None, self.provision(order), DEADLINE)
        except Unwound as unwound:
            await self.give_up(order, unwound.failure)
        else:
            await surely(run(Records.finish, ready))  # it runs: nothing may fail the order any more
            workflow.upsert_search_attributes([PHASE.value_set("running")])

    async def provision(self, order: ServerOrder) -> FinishedOrder:
        async with Saga() as saga, Beside() as late:
            await saga.step(Quotas.reserve_quota, order, undo=Quotas.release_quota)
            for epoch in itertools.count(1):
                try:
                    return await self.provision_on_a_host(saga, late, PlacementRequest(order, self._excluded, epoch))
                except Unwound as unwound:
                    await self.go_elsewhere(unwound)
        raise AssertionError("counting has no end")

    async def provision_on_a_host(self, whole: Saga, late: Beside, request: PlacementRequest) -> FinishedOrder:
        order = request.order
        async with Saga() as saga:
            self._claim = await saga.step(Placements.place_server, request, undo=Placements.release_claim)
            addresses = await whole.step(AddressBook.assign_addresses, order, undo=AddressBook.release_addresses)
            machine = self._admitted(order, self._claim, addresses)
            late.begin(lambda: together(self.name(whole, order), self.serve(whole, order)))  # they outlast a host
            await together(self.prepare_disk(saga, machine), self.prepare_network(saga, machine))
            await saga.step(Machines.define_machine, machine, undo=Machines.destroy_machine)
            readiness = await self.boot(saga, machine) if order.start else None
            await late.end()
            return FinishedOrder(order, self._claim, readiness)

    async def prepare_disk(self, saga: Saga, machine: Machine) -> None:
        await saga.step(Images.ensure_image, machine, undo=None)  # a cache: it stays
        await together(
            saga.step(Disks.create_disk, machine, undo=Disks.remove_disk),
            saga.step(Seeds.write_seed, machine, undo=Seeds.remove_seed),
        )

    async def prepare_network(self, saga: Saga, machine: Machine) -> None:
        await saga.step(Ports.attach_ports, machine, undo=Ports.detach_ports)

    async def name(self, saga: Saga, order: ServerOrder) -> None:
        await saga.step(Names.publish_dns, order, undo=Names.withdraw_dns)

    async def serve(self, saga: Saga, order: ServerOrder) -> None:
        """In the books first, then at the edges that they name."""
        edges = await saga.step(LoadBalancers.register_targets, order, undo=withdraw_targets)
        await tell_edges(edges)

    async def boot(self, saga: Saga, machine: Machine) -> Readiness:
        await saga.step(Machines.start_machine, machine, undo=None)  # destroy_machine undoes both
        return await saga.step(Health.wait_ready, machine, undo=None)  # it only looks

    async def go_elsewhere(self, unwound: Unwound) -> None:
        """A host was left: it is excluded from the next try. Raises when there is to be none."""
        heed_cancellation()  # one that the failing step outran
        if unwound.left_host:
            self._left.append((self._claim.host_id, unwound))
            if len(self._left) == HOSTS_TO_TRY:
                raise unwound
            self._excluded = tuple(host_id for host_id, _ in self._left)
            self._looks = 0
        elif not self._left or unwound.failure.code != ResourceUnavailable.code:
            raise unwound
        elif self._looks < RETURN_LOOKS and any(why.failure == HOST_AWAY for _, why in self._left):
            # No other host fits: let us see whether one that went silent is back. (Counted, not timed: a story with
            # local steps that take long may read another time when it is replayed.)
            self._looks += 1
            self._excluded = tuple(host_id for host_id, why in self._left if why.failure != HOST_AWAY)
            await workflow.sleep(RETURN_PAUSE, summary="for a host to come back")
        else:
            raise self._left[0][1]  # the owner reads why the first host was left

    async def give_up(self, order: ServerOrder, failure: Failure) -> NoReturn:
        """Everything is given back: say why, to the owner in the books, to the operator in the UI."""
        await surely(run(Records.fail, FailedOrder(order, failure)))
        self._answer(Admission(refused=failure))
        workflow.upsert_search_attributes([PHASE.value_set("failed"), FAILURE_CODE.value_set(failure.code)])
        raise ApplicationError(failure.message, type=failure.code, non_retryable=True)

    def _admitted(self, order: ServerOrder, claim: Claim, addresses: Addresses) -> Machine:
        workflow.upsert_search_attributes([PHASE.value_set("deploying"), HOST_ID.value_set(str(claim.host_id))])
        self._answer(Admission(addresses=addresses))
        return Machine.of(order, claim, addresses)

    def _answer(self, admission: Admission) -> None:
        """The first answer stands: an order that was granted and failed later was still granted."""
        self._admission = self._admission or admission
