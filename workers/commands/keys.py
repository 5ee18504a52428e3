"""`puchify key ...`: API keys, from the one moment at which they are shown to their end."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from workers.commands.books import in_books
from workers.commands.options import AsJson
from workers.commands.table import minute, table

if TYPE_CHECKING:
    from infra.db.keys import ApiKey

T = TypeVar("T")
KeyId = Annotated[int, typer.Argument(metavar="ID", help="As `puchify key list` has it.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="API keys.", no_args_is_help=True)
    commands: dict[str, Callable[..., None]] = {"create": create, "list": list_all, "revoke": revoke, "rotate": rotate}
    for name, command in commands.items():
        group.command(name)(command)
    app.add_typer(group, name="key")


def create(
    user: Annotated[str, typer.Option(help="Whose key it is; made when there is no such user.")],
    project: Annotated[str, typer.Option(help="The project it opens; made when there is none.")],
    name: Annotated[str, typer.Option(help="What it is for.")] = "key",
    read_only: Annotated[bool, typer.Option("--read-only", help="It may look, and change nothing.")] = False,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 90d from now, or 2030-01-31 at 00:00 UTC. Without: never.")
    ] = None,
) -> None:
    """Make an API key and print it.

    It is shown this once: the books keep only a digest.
    """
    from infra.config import settings
    from infra.db.keys import make_key, server_secret
    from infra.domain.spans import parse_moment

    ends = None if expires is None else _read("--expires", lambda: parse_moment(expires, datetime.now(UTC)))
    secret = server_secret(settings())
    key = in_books(
        lambda connection: make_key(
            connection, secret, user=user, project=project, name=name, read_only=read_only, expires=ends
        )
    )
    typer.echo(key)


def list_all(as_json: AsJson = False) -> None:
    """Show all keys: whose they are, what they may, and when they end.

    Never the keys themselves. The last use is known to the minute.
    """
    from dataclasses import asdict

    from infra.db.keys import list_keys

    keys = in_books(list_keys)
    if as_json:
        typer.echo(json.dumps({"keys": [asdict(key) for key in keys]}, indent=2, default=_iso))
    else:
        typer.echo("\n".join(table([HEADINGS, *map(_cells, keys)])))


def revoke(key: KeyId) -> None:
    """End a key, now and for good.

    It may be repeated.
    """
    from infra.db.keys import revoke_key

    in_books(lambda connection: revoke_key(connection, key))
    typer.echo(f"key {key} is revoked: it is refused from now on")


def rotate(
    key: KeyId,
    overlap: Annotated[
        str, typer.Option(help="How long the old one is still good: 30m, 24h, 7d; 0s: not at all.")
    ] = "24h",
) -> None:
    """Print a new key that takes the place of another.

    It has the same rights, and as long a life as the old one was made for. The old one ends after the overlap. A key
    is rotated once: then its successor is.
    """
    from infra.config import settings
    from infra.db.keys import rotate_key, server_secret
    from infra.domain.spans import parse_span

    span = _read("--overlap", lambda: parse_span(overlap))
    secret = server_secret(settings())
    done = in_books(lambda connection: rotate_key(connection, secret, key, span))
    typer.echo(done.key)
    typer.echo(f"key {done.id} takes the place of key {key}, which ends at {minute(done.old_expires)} UTC", err=True)


def _read(option: str, read: Callable[[], T]) -> T:
    from infra.domain.errors import InvalidInput

    try:
        return read()
    except ValueError as cause:
        raise InvalidInput.field(option, str(cause)) from cause


HEADINGS = ("ID", "NAME", "USER", "PROJECT", "MAY", "CREATED", "EXPIRES", "LAST USED", "REVOKED", "REPLACES")


def _cells(key: ApiKey) -> tuple[str, ...]:
    return (
        *(str(key.id), key.name, key.user, key.project, "read" if key.read_only else "read, write"),
        *map(minute, (key.created, key.expires, key.last_used, key.revoked)),
        str(key.replaces or "-"),
    )


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
