"""`puchify explain`: why a server is where it is, why not elsewhere, and what would be if; decided again each time.

It decides on what the placement saw, which is kept for a week at most, or on the hosts as they are now.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from workers.commands.table import minute, table

if TYPE_CHECKING:
    from infra.db.pool import Connection
    from infra.domain.models import Resources
    from infra.domain.placement_explained import Explained

SHOWN = 20
GB = 1024
SIZES = {"cores": 1, "memory": GB, "disk": 1}
"""What a size may be told as: cores, and GB of memory and disk, as a server type's; and what one is in the books."""


def register(app: typer.Typer) -> None:
    app.command()(explain)


def explain(
    server: Annotated[str | None, typer.Argument(metavar="SERVER", help="Its id, or its name.")] = None,
    why_not: Annotated[str | None, typer.Option(metavar="HOST", help="Why this host was not chosen.")] = None,
    what_if: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=NUMBER", help="Had it asked for other cores, memory or disk (GB): memory=32."),
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="With the hosts as they are now. Nothing is done.")] = False,
    all_hosts: Annotated[bool, typer.Option("--all", help=f"Show every host, not only {SHOWN} of a kind.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole placement as a file, for --recompute.")] = False,
    recompute: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Decide a placement again, from its file alone.")
    ] = None,
) -> None:
    """Say why a server is on its host.

    A table of hosts: who fits, best first, with the terms of the score; then who does not, with every filter that
    drops it. --recompute prints the file again, decided anew, and exits 1 if that is not the same.
    """
    if (server is None) == (recompute is None):
        raise typer.BadParameter("give a server, or --recompute FILE")
    if as_json and why_not is not None:
        raise typer.BadParameter("--json has the whole placement: it goes without --why-not")
    if recompute is not None:
        if why_not is not None or what_if or now or all_hosts or as_json:
            raise typer.BadParameter("--recompute goes without other options: its file has all of it")
        _recompute(recompute)
        return
    assert server is not None
    from infra.domain.placement_explained import what_if as changed
    from infra.domain.placement_record import write
    from workers.commands.books import in_books

    wishes = dict(map(_wish, what_if or []))
    head, explained = in_books(lambda connection: _placed(connection, server, now))
    ranking = explained.ranking
    if wishes:
        explained = explained.of(changed(ranking, _resources(ranking.ask.resources, wishes)))
        head = f"{head}; had it been of another size:"
    if as_json:
        sys.stdout.write(write(explained.ranking))
        return
    typer.echo("\n".join([head, *explained.summary(), ""]))
    if why_not is not None:
        host_id = in_books(lambda connection: _host(connection, why_not))
        typer.echo("\n".join(explained.why_not(host_id)))
        return
    most = len(ranking.hosts) if all_hosts else SHOWN
    typer.echo("\n".join([*table(explained.rows(most)), *explained.rest(most)]))


async def _placed(connection: Connection, word: str, now: bool) -> tuple[str, Explained]:
    from infra.db.placement_lookup import kept, placed_now, server_of
    from infra.domain.placement_explained import Explained, name_of

    server_id = await server_of(connection, word)
    if now:
        moment = await placed_now(connection, server_id)
        return f"server {server_id} with the hosts as they are now", Explained(moment.ranking, moment.names, None)
    found = await kept(connection, server_id)
    end = "was refused: no host fitted"
    if found.host_id is not None:
        end = f"was placed on {name_of(found.names, found.host_id)}"
    return (
        f"server {server_id} {end}, {minute(found.created)} UTC, epoch {found.epoch}",
        Explained(found.ranking, found.names, found.host_id),
    )


async def _host(connection: Connection, word: str) -> int:
    from infra.db.host_care import find_host

    return (await find_host(connection, word)).id


def _recompute(path: Path) -> None:
    from infra.domain.placement_record import Unreadable, recompute

    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        _refuse(f"{path} cannot be read: {error}")
    try:
        again = recompute(text)
    except Unreadable as error:
        _refuse(f"{path}: {error}")
    sys.stdout.write(again)
    if again != text:
        _refuse(f"{path} says something else: it was changed since it was written, or is not in its own form")


def _wish(text: str) -> tuple[str, int]:
    """BadParameter."""
    name, _, number = text.partition("=")
    if name not in SIZES:
        raise typer.BadParameter(f"{text!r}: what can be asked for is {', '.join(SIZES)}, as in memory=32")
    try:
        size = float(number) * SIZES[name]
    except ValueError:
        size = 0
    if not 0 < size < 2**31 or size != int(size):
        raise typer.BadParameter(f"{text!r}: that is no amount of {name}")
    return name, int(size)


def _resources(asked: Resources, wishes: dict[str, int]) -> Resources:
    from infra.domain.models import Resources

    return Resources(
        cores=wishes.get("cores", asked.cores),
        memory_mib=wishes.get("memory", asked.memory_mib),
        disk_gib=wishes.get("disk", asked.disk_gib),
    )


def _refuse(why: str) -> NoReturn:
    typer.echo(f"puchify: {why}", err=True)
    raise typer.Exit(1)
