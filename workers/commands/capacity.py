"""`puchify capacity`: what is free where, and how many servers of each type still fit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from workers.commands.options import AsJson
from workers.commands.table import table

if TYPE_CHECKING:
    from infra.db.capacity import Capacity
    from infra.domain.capacity import Room

PLACE = ("LOCATION", "ZONE", "RACK")
HEAD = (*PLACE, "HOSTS", "CORES", "MEMORY", "DISK", "BIGGEST")


def register(app: typer.Typer) -> None:
    app.command()(capacity)


def capacity(
    location: Annotated[str | None, typer.Option(help="Of one location only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is free, by location, zone and rack.

    Of hosts that take servers now (beside them, how many there are): free cores (overcommitted), memory and disk, and
    the biggest server type that fits on one host. Then how many servers of each type would still fit, if only of that.
    """
    from infra.db.capacity import capacity as of_books
    from workers.commands.books import in_books

    found = in_books(lambda connection: of_books(connection, location))
    typer.echo(_as_object(found) if as_json else "\n".join(_lines(found)))


def _lines(found: list[Capacity]) -> list[str]:
    rooms = [(_place(one.location, room), room) for one in found for room in one.rooms]
    plans = list(found[0].rooms[0].fits)
    free = [(*place, *_free(room)) for place, room in rooms]
    fits = [(*place, *(str(room.fits[plan]) for plan in plans)) for place, room in rooms]
    return [*table([HEAD, *free]), "", "still fit:", *table([(*PLACE, *plans), *fits])]


def _place(location: str, room: Room) -> tuple[str, ...]:
    return (location, *("all" if name is None else name or "-" for name in (room.zone, room.rack)))


def _free(room: Room) -> tuple[str, ...]:
    return (
        f"{room.open}/{room.hosts}",
        str(room.free.cores),
        f"{room.free.memory_mib / 1024:.1f} GiB",
        f"{room.free.disk_gib} GiB",
        room.biggest or "nothing",
    )


def _as_object(found: list[Capacity]) -> str:
    from dataclasses import asdict

    return json.dumps({"locations": [asdict(one) for one in found]}, indent=2)
