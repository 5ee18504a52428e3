"""The stories in which steps are struck: each is one server's life, played from its order to its end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network

from psycopg.errors import ForeignKeyViolation
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError

from api.stories import Stories
from infra.db import changes, network_members, networks
from infra.db.network_members import Holder
from infra.db.networks import NewNetwork
from infra.domain.changes import Change, Resource
from infra.domain.errors import Locked, NotFound, Unavailable
from infra.domain.models import Failure, ServerOrder
from infra.temporal.names import change_id, delete_id, provision_id, region_queue
from tests.faults.saboteur import Strike, Victim
from tests.faults.steps import StoryName
from tests.fix_region import Region, eventually

ALWAYS = 1000

SETTING: dict[StoryName, tuple[Strike, ...]] = {
    "create": (),
    "doomed": (Strike("wait_ready", "refused_before", ALWAYS),),
    "buried": (Strike("wait_ready", "refused_before", ALWAYS), Strike("remove_disk", "refused_before", ALWAYS)),
    "delete": (),
    "delete_early": (Strike("wait_ready", "stays", ALWAYS),),
    "power": (),
    "shutdown": (Strike("press_power", "unheard"),),
    "change": (),
    "silent": (),
    "sweep": (),
    "audit": (),
    "care": (),
}
"""What goes wrong in a story of itself."""

COMMANDS: dict[StoryName, tuple[str, ...]] = {
    "power": ("reset_server", "reboot_server", "stop_server", "start_server"),
    "shutdown": ("shutdown_server", "start_server"),
}
"""What its owner asks for, one after the other, once the server runs."""


NOW: dict[StoryName, tuple[str, str]] = {
    "audit": ("AuditRegion", "audit-region"),
    "care": ("CareForImages", "image-care"),
}
"""What a schedule does again and again, and its name there: done once more at the end."""


@dataclass(slots=True)
class Played:
    """A server's life as its owner had it. ``refused``: what the order was answered."""

    region: Region
    order: ServerOrder
    victim: Victim
    story: StoryName
    refused: Failure | None = None
    deleted: bool = False

    async def command(self, command: str) -> None:
        """Until its story has ended; of a server that is going there is none."""
        with suppress(NotFound, Locked):
            await self._carry_out(await self.region.accept(self.order, command))

    async def change(self) -> None:
        """The server comes into a network."""
        region, server_id = self.region, self.order.server_id
        async with region.pool.connection() as connection, connection.transaction():
            new = NewNetwork(region.project_id, f"of server {server_id}", IPv4Network("10.0.0.0/16"), False, {})
            network = await networks.create(connection, new)
            await networks.add_subnet(connection, region.project_id, network, "anywhere", "cloud", None)
            with suppress(ForeignKeyViolation):  # of a server that is gone there is none
                async with connection.transaction():
                    holder = Holder("anywhere", server_id=server_id)
                    await network_members.join(connection, region.project_id, network, holder)
            about = [Resource("server", server_id), Resource("network", network)]
            _, change = await changes.accept(connection, region.project_id, region.location, "attach_to_network", about)
        await self._carry_out(change)

    async def _carry_out(self, change: Change) -> None:
        with suppress(Unavailable):  # it stands, and the sweep begins it
            await Stories(self.region.client).begin_change(change)
        await _ended(self, change_id(change))

    async def delete(self) -> None:
        """As the owner asks for it: twice or too late is fine, and what Temporal does not take the sweep begins."""
        self.deleted = True
        with suppress(NotFound, Unavailable):
            await self.region.begin_delete(self.order)


async def play(region: Region, order: ServerOrder, victim: Victim, story: StoryName, plan: Sequence[Strike]) -> Played:
    """Until every story of the server has ended, and whatever the saboteur repeats has been repeated."""
    played = Played(region, order, victim, story)
    victim.plan, victim.delete = [*plan, *SETTING[story]], played.delete
    if story != "sweep":
        with suppress(Unavailable):  # the order stands, and the sweep begins it
            admission = await Stories(region.client).admit(order)
            played.refused = admission.refused if admission else None
    if story == "delete_early":
        await eventually(lambda: _waits_or_ended(played), 300)
        await played.delete()
    await _ended(played, provision_id(order.server_id))
    if story == "delete":
        await played.delete()
    if story == "change":
        await played.change()
    for command in COMMANDS.get(story, ()):
        await played.command(command)
    if story in NOW:
        await _now(region, *NOW[story])
    if played.deleted:
        await _ended(played, delete_id(order.server_id))
    await _repeated(victim)
    return played


async def depart(played: Played) -> None:
    """The owner deletes the server, unless it is gone already."""
    await played.delete()
    await _ended(played, delete_id(played.order.server_id))
    await _repeated(played.victim)


async def _repeated(victim: Victim) -> None:
    for repeat in victim.aftermath:
        await repeat


async def _now(region: Region, story: str, schedule: str) -> None:
    """One turn now; those of the schedule come when they come."""
    turn = await region.client.start_workflow(
        story,
        region.location,
        id=f"{schedule}-{region.location}-now",
        task_queue=region_queue(region.location),
    )
    with suppress(WorkflowFailureError):
        await turn.result()


async def _waits_or_ended(played: Played) -> bool:
    """A guest is waited for, or something else has ended the create before."""
    return "wait_ready" in played.victim.reached or played.deleted or await played.region.server(played.order) is None


async def _ended(played: Played, workflow_id: str) -> None:
    async def end() -> bool:
        try:
            await played.region.client.get_workflow_handle(workflow_id).result()
        except WorkflowFailureError:
            return True
        except RPCError:
            return played.deleted and await played.region.server(played.order) is None  # it never began, and never will
        return True

    await eventually(end, 600)
