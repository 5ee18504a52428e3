"""`puchify user ...`, `puchify project ...`: who may ask, and what servers belong to, each with a quota."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workers.commands.books import in_books
from workers.commands.options import AsJson, Count
from workers.commands.table import minute, table

if TYPE_CHECKING:
    from infra.db.pool import Connection
    from infra.db.principals import Principal
    from infra.domain.quota import Limits, Scope

UserName = Annotated[str, typer.Argument(metavar="NAME", help="Made when there is none of that name.")]
ProjectName = Annotated[
    str, typer.Argument(metavar="NAME", help="Made when there is none; its limits change when it exists.")
]


DefaultNetwork = Annotated[
    bool | None,
    typer.Option(
        "--default-network/--no-default-network",
        help="Whether servers that name no network join the project's own.",
        show_default=False,
    ),
]
Inbound = Annotated[
    Literal["drop", "accept"] | None,
    typer.Option(help="What comes to a server that has no firewall, but SSH and pings."),
]


def register(app: typer.Typer) -> None:
    for name, help_, create, list_all in (
        ("user", "Users: whose keys and servers they are.", create_user, list_users),
        ("project", "Projects: what keys and servers belong to.", create_project, list_projects),
    ):
        group = typer.Typer(help=help_, no_args_is_help=True)
        group.command("create")(create)
        group.command("list")(list_all)
        if name == "project":
            group.command("edit")(edit_project)
        app.add_typer(group, name=name)


def create_user(
    name: UserName,
    max_servers: Count = None,
    max_cores: Count = None,
    max_memory: Count = None,
    max_disk: Count = None,
) -> None:
    """Make a user, and set what they may take in all projects.

    Memory and disk are in GB.
    """
    from infra.db.principals import ensure_user
    from infra.domain.quota import Limits

    _create("user", name, ensure_user, Limits.in_gb(max_servers, max_cores, max_memory, max_disk))


def create_project(
    name: ProjectName,
    max_servers: Count = None,
    max_cores: Count = None,
    max_memory: Count = None,
    max_disk: Count = None,
    default_network: DefaultNetwork = None,
    inbound_policy: Inbound = None,
) -> None:
    """Make a project, and set what its servers may take together.

    Memory and disk are in GB.
    """
    from infra.db.principals import Manners, ensure_project, set_manners
    from infra.domain.quota import Limits

    manners = Manners(default_network, inbound_policy and inbound_policy == "accept")

    async def ensure(connection: Connection, name: str) -> int:
        made = await ensure_project(connection, name)
        await set_manners(connection, name, manners)
        return made

    _create("project", name, ensure, Limits.in_gb(max_servers, max_cores, max_memory, max_disk))


def edit_project(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    default_network: DefaultNetwork = None,
    inbound_policy: Inbound = None,
) -> None:
    """Change what a project wants where its users do not say otherwise.

    Servers that are there stay in their networks; they take up an inbound policy within a minute.
    """
    from infra.db.principals import Manners, set_manners

    manners = Manners(default_network, inbound_policy and inbound_policy == "accept")
    typer.echo(f"project {name}: {in_books(lambda connection: set_manners(connection, name, manners))}")
    if inbound_policy:
        typer.echo("servers that are there take it up within a minute")


def list_users(as_json: AsJson = False) -> None:
    """Show all users, with their good keys and servers."""
    from infra.db.principals import list_users

    _list("users", list_users, as_json)


def list_projects(as_json: AsJson = False) -> None:
    """Show all projects, with their good keys and servers."""
    from infra.db.principals import list_projects

    _list("projects", list_projects, as_json)


def _create(scope: Scope, name: str, ensure: Callable[[Connection, str], Awaitable[int]], limits: Limits) -> None:
    from infra.db.limits import set_limits

    async def make(connection: Connection) -> Limits:
        async with connection.transaction():
            await ensure(connection, name)
            return await set_limits(connection, scope, name, limits)

    typer.echo(f"{scope} {name}: at most {in_books(make)}")


def _list(root: str, ask: Callable[[Connection], Awaitable[list[Principal]]], as_json: bool) -> None:
    from dataclasses import asdict

    found = in_books(ask)
    if as_json:
        typer.echo(json.dumps({root: [asdict(one) for one in found]}, indent=2, default=str))
        return
    rows = [(str(one.id), one.name, minute(one.created), str(one.keys), str(one.servers)) for one in found]
    typer.echo("\n".join(table([("ID", "NAME", "CREATED", "KEYS", "SERVERS"), *rows])))
