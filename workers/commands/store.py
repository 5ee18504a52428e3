"""`puchify store`: the image store marked as ours, its mount checked, and what replicates it asked how it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from infra.drivers.store.self_check import Mount

Engine = Literal["directory", "cephfs", "glusterfs"]
# Parsed by ourselves: typer looks at a path at once, and whoever looks at a mount that hangs, hangs with it.
Where = Annotated[
    Path, typer.Argument(parser=Path, metavar="PATH", help="Where the store is mounted.", show_default=False)
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="The image store: its mount and what is below it.", no_args_is_help=True)
    group.command("init")(init)
    group.command("check")(check)
    group.command("health")(health)
    app.add_typer(group, name="store")


def init(
    path: Where,
    take_over: Annotated[bool, typer.Option("--take-over", help="Also a store that is marked as another's.")] = False,
) -> None:
    """Mark a store as that of these books, so that it is cared for.

    Unneeded images are taken out of it from then on, and no other store is ever swept.
    """
    from infra.db import image_care
    from infra.drivers.store.mount import ImageStore
    from workers.commands.books import in_books

    ours = in_books(image_care.installation)
    store = ImageStore(path, settle=0)

    async def mark() -> str | None:
        before = await store.marker()
        if before is None or take_over:
            await store.mark(ours)
        return before

    before = asyncio.run(mark())
    if before not in (None, ours) and not take_over:
        typer.echo(f"the store at {path} is that of {before}: --take-over makes it that of {ours}", err=True)
        raise typer.Exit(1)
    typer.echo(f"the store at {path} is that of {ours}")


def check(
    path: Where,
    second: Annotated[
        Path | None,
        typer.Option(parser=Path, metavar="PATH", help="The same store, mounted once more or from another host."),
    ] = None,
    tiny: Annotated[
        Path | None,
        typer.Option(parser=Path, metavar="DIR", help="A directory of its kind that is soon full, as by a quota."),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="A host's mount: writes have to be refused.")] = False,
    quorum_lost: Annotated[
        bool, typer.Option("--quorum-lost", help="While too few zones are there: no write may be acknowledged.")
    ] = False,
    engine: Annotated[Engine | None, typer.Option(help="What it is on [PUCHIFY_IMAGE_STORE_ENGINE].")] = None,
    owner: Annotated[str | None, typer.Option(help="Whose mark it has to bear.", show_default=False)] = None,
    patience: Annotated[float, typer.Option(min=1, help="Seconds of silence after which a point has failed.")] = 30,
) -> None:
    """Try out on a mount what an image store has to rely on.

    One line for each point: ok, failed or skipped, and why. Exit 1 if any failed. It writes up to 5 GiB, nearly all of
    it holes, and leaves nothing.
    """
    from infra.config import settings
    from infra.drivers.store.self_check import Mount

    chosen = engine or settings().image_store_engine
    mount = Mount(path.absolute(), chosen, owner, _absolute(second), _absolute(tiny), read_only)
    if asyncio.run(_checked(mount, quorum_lost, patience)):
        raise typer.Exit(1)


async def _checked(mount: Mount, quorum_lost: bool, patience: float) -> int:
    """Says each point when it is known; how many failed."""
    from infra.drivers.store import self_check

    failed = 0
    async for point in (
        self_check.check_quorum_lost(mount, patience) if quorum_lost else self_check.check(mount, patience)
    ):
        typer.echo(f"{point.outcome:8} {point.point:15} {point.text}")
        failed += point.outcome == "failed"
    return failed


def health() -> None:
    """Ask what replicates the store how it is.

    healthy, healing or degraded: it serves. Exit 1 on no quorum and where nothing is known.
    """
    from infra.config import settings
    from infra.drivers.store import engines

    ours = settings()
    told = asyncio.run(
        engines.health(engines.EngineOf(ours.image_store_engine, ours.image_store_volume, ours.image_store_conf))
    )
    typer.echo(f"{told.word}: {told.text}")
    for wrong in told.settings:
        typer.echo(f"to be changed: {wrong}")
    if told.word in ("no quorum", "unknown"):
        raise typer.Exit(1)


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()
