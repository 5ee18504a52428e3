"""Power a server: on, off, shut down, rebooted or reset, on the host where it lives.

The books say already whether it is to run, and its host goes by that from then on. A host that is away is waited for,
and a step that failed is done again; one that cannot be done in time ends as an error, and the server is ``unknown``.
A delete takes over at any time: then there is no machine any more, and nothing to do.
"""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.changes import Changes
    from activities.machines import Machines
    from activities.power import Power
    from activities.seeds import Seeds
    from infra.domain.changes import Change
    from infra.domain.models import Machine
    from infra.domain.power import Powered, Rest
    from infra.temporal.names import HOST_ID, PHASE
    from workflows.failures import failure_of
    from workflows.options import POWER_WITHIN, REBOOT_PATIENCE, RETURN_PAUSE, SHUTDOWN_PATIENCE
    from workflows.saga import run, surely


@workflow.defn
class PowerServer:
    @workflow.run
    async def run(self, change: Change) -> None:
        await surely(self.carry_out(change))

    async def carry_out(self, change: Change) -> None:
        until = workflow.time() + POWER_WITHIN
        while machine := await run(Changes.read_machine, change):
            workflow.upsert_search_attributes([HOST_ID.value_set(str(machine.host_id))])
            try:
                status = await self.do(change.command, machine)
            except ActivityError as error:
                failure = failure_of(error)  # our own bugs are raised again and wait for a fix
                if workflow.time() > until:
                    await run(Power.finish_power, Powered(change, "unknown", failure=failure))
                    break
                await workflow.sleep(RETURN_PAUSE, summary="for the host to do better")
            else:
                await run(Power.finish_power, Powered(change, status))
                if (change.command, status) == ("shutdown_server", "running"):
                    await self.see_off(change, machine)
                break
        workflow.upsert_search_attributes([PHASE.value_set("powered")])

    async def do(self, command: str, machine: Machine) -> Rest:
        match command:
            case "start_server":
                await self.boot(machine)
            case "stop_server":
                await run(Machines.power_off, machine)
                return "off"
            case "shutdown_server":
                return "off" if await run(Machines.press_power, machine) else "running"
            case "reboot_server":
                if not await self.shuts_down(machine):
                    await run(Machines.power_off, machine)
                await self.boot(machine)
            case "reset_server":
                await run(Machines.power_off, machine)
                await self.boot(machine)
            case _:
                raise NotImplementedError(command)
        return "running"

    async def boot(self, machine: Machine) -> None:
        """From a new seed: addresses, routes and networks may be others since the last one was written."""
        await run(Seeds.write_seed, machine)
        await run(Machines.power_on, machine)

    async def shuts_down(self, machine: Machine) -> bool:
        """Whether the guest obeys its power button, within the time that a reboot gives it."""
        until = workflow.time() + REBOOT_PATIENCE
        while not await run(Machines.press_power, machine):
            if workflow.time() > until:
                return False
        return True

    async def see_off(self, change: Change, machine: Machine) -> None:
        """The button was pressed and the server is free for other commands; its status follows when the guest obeys."""
        until = workflow.time() + SHUTDOWN_PATIENCE
        status: Rest = "unknown"
        while status != "off" and workflow.time() < until:
            try:
                status = "off" if await run(Machines.press_power, machine) else "running"
            except ActivityError as error:
                failure_of(error)
                status = "unknown"
                now = await run(Changes.read_machine, change)
                if now is None or now.epoch != machine.epoch:
                    return  # deleted, or another command has come
                await workflow.sleep(RETURN_PAUSE, summary="for the host to come back")
        await run(Power.settle_power, Powered(change, status, machine.epoch))
