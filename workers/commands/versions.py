"""`puchify worker versions`, `puchify worker promote`: which version of the region worker gets new orders."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from infra.temporal.versions import Version


def register(worker: typer.Typer) -> None:
    worker.command("versions")(list_all)
    worker.command("promote")(promote)


def list_all() -> None:
    """Show the region worker's versions, the newest first.

    New orders go to the current one. A draining one still has work under way; a drained one may be stopped.
    """
    from workers.commands.table import table

    found = asyncio.run(_versions())
    if not found:
        typer.echo("no versions: region workers run without PUCHIFY_BUILD_ID")
        return
    typer.echo("\n".join(table([("VERSION", "STATE"), *((one.build_id, one.state) for one in found)])))


def promote(build_id: Annotated[str, typer.Argument(metavar="VERSION", help="As in PUCHIFY_BUILD_ID.")]) -> None:
    """Give new orders to this version: the way back.

    A version that is new takes over by itself.
    """
    asyncio.run(_promote(build_id))
    typer.echo(f"new orders go to version {build_id}")


async def _versions() -> list[Version]:
    from infra.config import settings
    from infra.temporal.connect import connect
    from infra.temporal.versions import versions
    from workers.local.place import of_instance

    ours = of_instance(settings())
    return await versions(await connect(ours), ours.location)


async def _promote(build_id: str) -> None:
    from infra.config import settings
    from infra.temporal.connect import connect
    from infra.temporal.versions import promote
    from workers.local.place import of_instance

    ours = of_instance(settings())
    await promote(await connect(ours), ours.location, build_id)
