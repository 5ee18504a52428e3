"""`puchify host cordon, uncordon, drain, lost, remove`: how a host is taken out of service, for a while or for good.

Every command converges, so it may be repeated and stopped at any moment: what it has told the books stays told.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from workers.commands.books import in_books
from workers.commands.options import Host
from workers.commands.table import count, table

if TYPE_CHECKING:
    from infra.db.host_care import Holder, KnownHost, State
    from infra.db.pool import Connection

LOOK_EVERY = 1.0  # seconds, while a command waits for servers to go


def cordon(host: Host) -> None:
    """Let no new servers come to a host.

    Those that it has stay, and are served as before.
    """
    known, holders = in_books(lambda connection: _put(connection, host, "cordoned"))
    typer.echo(f"host {known.name} is cordoned: no new servers come to it; on it: {len(holders)}")


def uncordon(host: Host) -> None:
    """Let servers come to a host again.

    After cordon, drain and lost. What ran on a host that was lost is known again with its next report.
    """
    known, _ = in_books(lambda connection: _put(connection, host, "accepting"))
    typer.echo(f"host {known.name} takes servers")


def drain(
    host: Host,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it is empty. Ctrl-C stops only the wait.")] = False,
) -> None:
    """Let a host become empty.

    No new servers come to it; creates that were on their way there may finish. Says which servers are on it: it is
    empty when their owners have deleted them.
    """

    async def work(connection: Connection) -> None:
        known, holders = await _put(connection, host, "draining")
        typer.echo(f"host {known.name} is draining: no new servers come to it")
        typer.echo("\n".join(_told(holders)))
        if wait and holders:
            await _until_empty(connection, known, holders)

    in_books(work)


def lost(
    host: Host,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without, say what it would mean.")] = False,
) -> None:
    """Say that a host will not be back soon.

    No new servers come to it, and creates that wait for it go elsewhere at once. What runs on it becomes unknown, and
    stays its own: `uncordon` takes the host back as it is. One that will never be back: `remove --lost`.
    """

    async def work(connection: Connection) -> None:
        from infra.db.host_care import find_host, lose_host, servers_on

        known = await find_host(connection, host)
        holders = await servers_on(connection, known.id)
        if not yes:
            _told_doubt(known, holders)
            raise typer.Exit(1)
        doubted = await lose_host(connection, known.id)
        typer.echo(f"host {known.name} is lost: no new servers come to it, and nothing waits for it")
        typer.echo(f"{count(len(holders), 'server')} on it: {doubted} became unknown")

    in_books(work)


def remove(
    host: Host,
    lost: Annotated[bool, typer.Option("--lost", help="It will never be back: its servers are deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --lost: do it. Without, say what would be lost.")] = False,
) -> None:
    """Take a host out of the books, for good.

    Refused while it holds servers. Its key stops working, and what it had to forget is forgotten with it.
    """

    if yes and not lost:
        raise typer.BadParameter("it belongs to --lost")

    async def work(connection: Connection) -> None:
        from infra.db.host_care import find_host, remove_host, servers_on

        known = await find_host(connection, host)
        if lost and not yes:
            _told_loss(known, await servers_on(connection, known.id))
            raise typer.Exit(1)
        buried = await (_give_up(connection, known) if lost else remove_host(connection, known.id))
        typer.echo(f"host {known.name} is removed: its key is refused from now on")
        if buried:
            typer.echo(f"it had not yet forgotten {count(buried, 'server')}: see to it that it never runs them again")

    in_books(work)


async def _put(connection: Connection, word: str, state: State) -> tuple[KnownHost, list[Holder]]:
    from infra.db.host_care import find_host, servers_on, set_state

    known = await find_host(connection, word)
    await set_state(connection, known.id, state)
    return known, await servers_on(connection, known.id)


async def _until_empty(connection: Connection, known: KnownHost, holders: list[Holder]) -> None:
    from infra.db.host_care import servers_on

    while holders:
        await asyncio.sleep(LOOK_EVERY)
        before, holders = holders, await servers_on(connection, known.id)
        here = {holder.id for holder in holders}
        for gone in (holder for holder in before if holder.id not in here):
            typer.echo(f"server {gone.id} ({gone.name}) is gone")
    typer.echo(f"host {known.name} is empty")


async def _give_up(connection: Connection, known: KnownHost) -> int:
    """Delete whatever is there or still comes, wait for the end of it, and remove the host."""
    from infra.db.host_care import lose_host, remove_host, servers_on
    from infra.db.orders import order_delete
    from infra.domain.errors import HostInUse, NotFound

    await lose_host(connection, known.id)
    told: set[int] = set()
    while True:
        for holder in await servers_on(connection, known.id):
            with suppress(NotFound):  # it went meanwhile
                await order_delete(connection, holder.project_id, holder.id)
            if holder.id not in told:
                typer.echo(f"server {holder.id} ({holder.name}) is being deleted")
                told.add(holder.id)
        try:
            return await remove_host(connection, known.id)
        except HostInUse:
            await asyncio.sleep(LOOK_EVERY)


def _told(holders: list[Holder]) -> list[str]:
    if not holders:
        return ["it is empty"]
    rows = [(str(holder.id), holder.name, holder.status) for holder in holders]
    return [f"{count(len(holders), 'server')} on it:", *(f"  {line}" for line in table(rows))]


def _told_doubt(known: KnownHost, holders: list[Holder]) -> None:
    typer.echo("\n".join(_told(holders)))
    typer.echo(
        f"Nothing was done. If host {known.name} will not be back soon, `puchify host lost {known.id} --yes` keeps new"
        " servers away from it, and those that run become unknown. They stay on it."
    )


def _told_loss(known: KnownHost, holders: list[Holder]) -> None:
    typer.echo("\n".join(_told(holders)))
    typer.echo(
        f"Nothing was done. If host {known.name} will never be back, `puchify host remove {known.id} --lost --yes`"
        " deletes what is on it and removes it."
    )
