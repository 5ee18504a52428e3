"""`puchify quota ...`: what users and projects may take, and what they ask for beyond that."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workers.commands.books import in_books
from workers.commands.options import AsJson, Count
from workers.commands.table import minute, table

if TYPE_CHECKING:
    from infra.db.limits import QuotaUse
    from infra.db.pool import Connection
    from infra.db.quota_requests import QuotaRequest

RequestId = Annotated[int, typer.Argument(metavar="REQUEST", help="Its id, as `puchify quota list` has it.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Quotas: what users and projects may take.", no_args_is_help=True)
    commands: dict[str, Callable[..., None]] = {
        "list": list_all,
        "set": set_limits,
        "approve": approve,
        "reject": reject,
    }
    for name, command in commands.items():
        group.command(name)(command)
    app.add_typer(group, name="quota")


def list_all(as_json: AsJson = False) -> None:
    """Show all quotas, and the open requests for more.

    Used and allowed: servers, cores, memory in GB, disk in GB. Servers whose create is under way count; --json says
    how much of it they hold.
    """
    from infra.db import limits, quota_requests

    async def look(connection: Connection) -> tuple[list[QuotaUse], list[QuotaRequest]]:
        return await limits.list_all(connection), await quota_requests.list_open(connection)

    quotas, requests = in_books(look)
    if as_json:
        typer.echo(_as_object(quotas, requests))
        return
    typer.echo("\n".join(table([QUOTA, *map(_quota_cells, quotas)])))
    if requests:
        typer.echo("\nRequests, decided by `puchify quota approve` or `reject`:\n")
        typer.echo("\n".join(table([REQUEST, *map(_request_cells, requests)])))


def set_limits(
    scope: Annotated[Literal["user", "project"], typer.Argument(metavar="user|project")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
    servers: Count = None,
    cores: Count = None,
    memory: Count = None,
    disk: Count = None,
) -> None:
    """Set what a user or a project may take.

    Memory and disk are in GB; what is not given stays. What is held already stays as well, also above a lower limit.
    """
    from infra.db import limits
    from infra.domain.quota import Limits

    new = Limits.in_gb(servers, cores, memory, disk)
    now = in_books(lambda connection: limits.set_limits(connection, scope, name, new))
    typer.echo(f"{scope} {name}: at most {now}")


def approve(request: RequestId) -> None:
    """Raise the limits to what a request asks for.

    Once, however often it is repeated; no limit is ever lowered by it.
    """
    from infra.db import quota_requests

    done = in_books(lambda connection: quota_requests.approve(connection, request))
    typer.echo(f"quota request {request} is approved: {done.scope} {done.subject} may take at least {done.limits}")


def reject(request: RequestId) -> None:
    """Say no to a request.

    It may be repeated. The limits stay as they are.
    """
    from infra.db import quota_requests

    in_books(lambda connection: quota_requests.reject(connection, request))
    typer.echo(f"quota request {request} is rejected")


def _as_object(quotas: list[QuotaUse], requests: list[QuotaRequest]) -> str:
    """As the API tells them."""
    from api.schemas.quotas import quota_request_wire, quota_wire

    told = {"quotas": list(map(quota_wire, quotas)), "quota_requests": list(map(quota_request_wire, requests))}
    return json.dumps(told, indent=2)


QUOTA = ("SCOPE", "NAME", "SERVERS", "CORES", "MEMORY", "DISK")
REQUEST = ("REQUEST", "SCOPE", "NAME", "ASKS FOR", "CREATED", "REASON")


def _quota_cells(quota: QuotaUse) -> tuple[str, ...]:
    from infra.domain.quota import shown

    amounts = ((quota.servers, 1), (quota.cores, 1), (quota.memory_mib, 1024), (quota.disk_gib, 1))
    uses = (f"{shown(one.used / unit)}/{shown(one.limit / unit)}" for one, unit in amounts)
    return (quota.scope, quota.name, *uses)


def _request_cells(request: QuotaRequest) -> tuple[str, ...]:
    # Its words are a stranger's: nothing in them may speak to the terminal.
    reason = "".join(letter if letter.isprintable() else " " for letter in request.reason)
    whose = (str(request.id), request.scope, request.subject)
    return (*whose, str(request.limits), minute(request.created), reason or "-")
