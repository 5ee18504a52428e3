"""`puchify db`, `puchify key`, `puchify project`: what operators write into the books."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from infra.db.limits import Limits
    from infra.db.pool import Connection

T = TypeVar("T")
Limit = Annotated[int | None, typer.Option(min=0)]


def register(app: typer.Typer) -> None:
    for name, help_, commands in (
        ("db", "The books: their schema.", {"migrate": migrate}),
        ("key", "API keys.", {"create": create_key}),
        ("project", "Projects: what keys and servers belong to.", {"create": create_project}),
    ):
        group = typer.Typer(help=help_, no_args_is_help=True)
        group.callback()(_group)  # so that a group of one command is still a group
        for command, function in commands.items():
            group.command(command)(function)
        app.add_typer(group, name=name)


def _group() -> None:
    return None


def migrate() -> None:
    """Bring the books up to date.

    Refused when a migration that was applied has changed since.
    """
    from infra.config import settings
    from infra.db.migrate import migrate as apply
    from workers.local.place import of_instance

    done = asyncio.run(apply(of_instance(settings()).database_url))
    typer.echo("\n".join(f"applied {name}" for name in done) or "up to date")


def create_key(
    user: Annotated[str, typer.Option(help="Whose key it is; made when there is no such user.")],
    project: Annotated[str, typer.Option(help="The project it opens; made when there is none.")],
    name: Annotated[str, typer.Option(help="What it is for.")] = "key",
    read_only: Annotated[bool, typer.Option("--read-only", help="It may look, and change nothing.")] = False,
) -> None:
    """Make an API key and print it.

    It is shown this once: the books keep only a digest.
    """
    from infra.config import settings
    from infra.db.keys import make_key, server_secret

    async def make(connection: Connection) -> str:
        return await make_key(
            connection, server_secret(settings()), user=user, project=project, name=name, read_only=read_only
        )

    typer.echo(in_books(make))


def create_project(
    name: Annotated[str, typer.Argument(help="Made when there is none; its limits change when it exists.")],
    max_servers: Limit = None,
    max_cores: Limit = None,
    max_memory_mib: Limit = None,
    max_disk_gib: Limit = None,
) -> None:
    """Make a project, and set what its servers may take together."""
    from infra.db.keys import ensure_project
    from infra.db.limits import Limits, set_limits

    async def make(connection: Connection) -> Limits:
        async with connection.transaction():
            project_id = await ensure_project(connection, name)
            return await set_limits(
                connection, project_id, Limits(max_servers, max_cores, max_memory_mib, max_disk_gib)
            )

    limits = in_books(make)
    typer.echo(
        f"project {name}: at most {limits.servers} servers, {limits.cores} cores, {limits.memory_mib} MiB of memory, "
        f"{limits.disk_gib} GiB of disk"
    )


def in_books(work: Callable[[Connection], Awaitable[T]]) -> T:
    """Do it in the books of the settings: those named, or those of the instance that runs here."""
    from psycopg.rows import dict_row

    from infra.config import settings
    from infra.db import pool
    from workers.local.place import of_instance

    async def once() -> T:
        url = of_instance(settings()).database_url
        async with await pool.Connection.connect(url, autocommit=True, row_factory=dict_row) as connection:
            return await work(connection)

    return asyncio.run(once())
