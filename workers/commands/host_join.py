"""`puchify host join, enrol, enrolments`: how a machine becomes a host.

The region's side prints one line; run on the new machine, it lets that machine in, once.
"""

from __future__ import annotations

import json
import platform
import shlex
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from workers.commands.books import in_books
from workers.commands.options import AsJson, Rack, Switch, Zone
from workers.commands.table import table

if TYPE_CHECKING:
    from infra.config import Settings
    from infra.db.enrolments import Enrolment

LONGEST = 7 * 24 * 60  # minutes
EVERYBODYS = ("0.0.0.0", "::")


def join(
    location: Annotated[str, typer.Option(help="Where it serves.")],
    name: Annotated[str | None, typer.Option(help="What it is called. Without: as the machine is.")] = None,
    zone: Zone = None,
    rack: Rack = None,
    switch: Switch = None,
    overcommit: Annotated[float, typer.Option(help="Virtual cores that it offers for a real one.")] = 4,
    expires: Annotated[int, typer.Option(min=1, max=LONGEST, help="Minutes within which it may enrol.")] = 60,
    url: Annotated[str | None, typer.Option(help="Where it reaches the region's API.")] = None,
) -> None:
    """Print the line that makes a machine a host.

    It is run there, once: the token in it is good for one machine. Another machine needs TLS: without --url, the
    address is PUCHIFY_INTERNAL_URL, or where the API listens.
    """
    from infra.config import settings
    from infra.db.enrolments import note_enrolment
    from infra.db.keys import server_secret
    from infra.domain.topology import Standing
    from workers.enrolling import check_url, is_elsewhere

    address = (url or _own_url(settings())).rstrip("/")
    check_url(address)
    standing = Standing(name, zone, rack, switch, overcommit)
    secret, lasts = server_secret(settings()), timedelta(minutes=expires)
    token = in_books(lambda connection: note_enrolment(connection, secret, location, standing, lasts))
    typer.echo(f"puchify host enrol {token} --url {address}")
    typer.echo(f"Run this on the new machine within {expires} minutes; it works there once.", err=True)
    if not is_elsewhere(address):
        typer.echo("The address is this machine's own: for another, say --url https://...", err=True)


def enrol(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="As `puchify host join` printed it.")],
    url: Annotated[str, typer.Option(help="Where the region's API is.")],
    name: Annotated[
        str | None, typer.Option(help="What it is called, where the region has not said. Without: as the machine is.")
    ] = None,
) -> None:
    """Make this machine a host of a region.

    It makes its own key, gets to know who it is, and writes what its worker needs below PUCHIFY_STATE. It may be
    repeated: the same machine is answered the same. PUCHIFY_API_TLS_CERT: the region's certificate, where nobody else
    vouches for it.
    """
    from infra.config import settings
    from workers import enrolling

    address = url.rstrip("/")
    host, file = enrolling.enrol(settings(), address, token, name)
    typer.echo(f"This machine is host {host.name} (id {host.id}) of {host.location}: {file}")
    typer.echo(f"Start its worker:  (set -a; . {shlex.quote(str(file))}; exec puchify worker host)")
    if enrolling.is_elsewhere(address) and not enrolling.is_elsewhere(host.temporal_address):
        typer.echo(
            f"The region says that Temporal is at {host.temporal_address}, which is not there from here: set "
            "PUCHIFY_TEMPORAL_ADDRESS there, or in that file.",
            err=True,
        )


def enrolments(
    revoke: Annotated[int | None, typer.Option(metavar="ID", help="Take this one back.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show who may still become a host, or take an enrolment back.

    Those that are open: neither used nor expired. Never their tokens.
    """
    from dataclasses import asdict

    from infra.db.enrolments import open_enrolments, revoke_enrolment

    if revoke is not None:
        in_books(lambda connection: revoke_enrolment(connection, revoke))
        typer.echo(f"enrolment {revoke} is taken back: its token is refused from now on")
        return
    found = in_books(open_enrolments)
    if as_json:
        typer.echo(json.dumps({"enrolments": [asdict(one) for one in found]}, indent=2))
    else:
        typer.echo("\n".join(table([HEADINGS, *map(_cells, found)])))


HEADINGS = ("ID", "NAME", "LOCATION", "ZONE", "RACK", "SWITCH", "OVERCOMMIT", "AGE", "EXPIRES")


def _cells(one: Enrolment) -> tuple[str, ...]:
    places = (one.availability_zone, one.rack, one.switch)
    return (
        *(str(one.id), one.name or "-", one.location, *(place or "-" for place in places), f"{one.overcommit:g}"),
        *(f"{one.age_s / 60:.0f} min", f"in {one.expires_in_s / 60:.0f} min"),
    )


def _own_url(ours: Settings) -> str:
    from workers.local.place import api_url

    if "internal_url" in ours.model_fields_set:
        return ours.internal_url
    if ours.api_address in EVERYBODYS:
        ours = ours.model_copy(update={"api_address": platform.node()})
    return api_url(ours)
