"""Delete a server: whatever state it is in, a create under way included, it ends as nothing at all.

A delete never gives up: every step is retried for ever, and a host that does not answer gets a tombstone, so that it
forgets the server when it is back. The machine does not wait for name servers and edges, nor they for it; addresses are
given back, with all else that the owner pays for, once no name leads to them.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.addresses import AddressBook
    from activities.disks import Disks
    from activities.dns import Names
    from activities.machines import Machines
    from activities.orders import Orders
    from activities.placement import Placements
    from activities.ports import Ports
    from activities.quota import Quotas
    from activities.records import Records
    from activities.seeds import Seeds
    from infra.domain.models import DeleteOrder, Holdings, PlacementRequest, ServerOrder
    from infra.temporal.names import PHASE
    from workflows.saga import Undo, run, surely, together, unwind, withdraw_targets


@workflow.defn
class DeleteServer:
    @workflow.run
    async def run(self, order: DeleteOrder) -> None:
        await surely(self.delete(order))

    async def delete(self, order: DeleteOrder) -> None:
        await run(Orders.stop_create, order)  # a create under way unwinds by itself, and then there is less to do
        holdings = await run(Records.read_holdings, order)
        if holdings is not None:
            await together(unwind(leading_to(holdings.order)), unwind(on_its_host(holdings)))
            await unwind(owned(holdings.order))
        await run(Records.finish_delete, order)
        workflow.upsert_search_attributes([PHASE.value_set("deleted")])


# A server's undo lists as its create would have left them, oldest first: the same steps unwind both.


def owned(order: ServerOrder) -> list[Undo]:
    return [(Quotas.release_quota, order), (AddressBook.release_addresses, order)]


def leading_to(order: ServerOrder) -> list[Undo]:
    return [(Names.withdraw_dns, order), (withdraw_targets, order)]


def on_its_host(holdings: Holdings) -> list[Undo]:
    machine = holdings.machine
    claim = PlacementRequest(holdings.order, epoch=machine.epoch if machine else 0)
    held: list[Undo] = [(Placements.release_claim, claim)]
    if machine is not None:
        undo = (Disks.remove_disk, Seeds.remove_seed, Ports.detach_ports, Machines.destroy_machine)
        held += [(do, machine) for do in undo]
    return held
