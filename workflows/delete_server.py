"""Delete a server: whatever state it is in, a create under way included, it ends as nothing at all.

A delete never gives up: every step is retried for ever, and a host that does not answer gets a tombstone, so that it
forgets the server when it is back. What the owner pays for, quota and addresses, is given back either way.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.addresses import AddressBook
    from activities.disks import Disks
    from activities.dns import Names
    from activities.load_balancers import LoadBalancers
    from activities.machines import Machines
    from activities.orders import Orders
    from activities.placement import Placements
    from activities.ports import Ports
    from activities.quota import Quotas
    from activities.records import Records
    from activities.seeds import Seeds
    from infra.domain.models import DeleteOrder, Holdings, PlacementRequest
    from infra.temporal.names import PHASE
    from workflows.saga import Undo, run, surely, unwind


@workflow.defn
class DeleteServer:
    @workflow.run
    async def run(self, order: DeleteOrder) -> None:
        await surely(self.delete(order))

    async def delete(self, order: DeleteOrder) -> None:
        await run(Orders.stop_create, order)  # a create under way unwinds by itself, and then there is less to do
        holdings = await run(Records.read_holdings, order)
        await unwind(everything_held(holdings) if holdings else [])
        await run(Records.finish_delete, order)
        workflow.upsert_search_attributes([PHASE.value_set("deleted")])


def everything_held(holdings: Holdings) -> list[Undo]:
    """A server's undo list as its create would have left it, oldest first: the same steps unwind both."""
    order, machine = holdings.order, holdings.machine
    held: list[Undo] = [
        (Quotas.release_quota, order),
        (AddressBook.release_addresses, order),
        (Placements.release_claim, PlacementRequest(order, epoch=machine.epoch if machine else 0)),
    ]
    if machine is not None:
        undo = (Disks.remove_disk, Seeds.remove_seed, Ports.detach_ports, Machines.destroy_machine)
        held += [(do, machine) for do in undo]
    # A create has them before it has a machine; here nothing may lead to the server any more when that goes.
    held += [(Names.withdraw_dns, order), (LoadBalancers.deregister_targets, order)]
    return held
