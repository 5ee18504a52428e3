"""The books as commands reach them, and `puchify db`: their schema."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    from infra.db.pool import Connection

T = TypeVar("T")


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="The books: their schema.", no_args_is_help=True)
    group.callback()(_group)  # so that a group of one command is still a group
    group.command("migrate")(migrate)
    app.add_typer(group, name="db")


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
