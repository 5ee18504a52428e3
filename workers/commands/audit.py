"""`puchify audit`: what is held that nobody owns, and what is owned that nobody holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from workers.commands.table import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.db.ledger import Finding, Limits
    from infra.db.pool import Connection

HEAD = ("", "SINCE", "KIND", "LOCATION", "WHAT")


def register(app: typer.Typer) -> None:
    app.command()(audit)


def audit(
    location: Annotated[str | None, typer.Option(help="Look at one location only.")] = None,
    grace: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds that something may be wrong before it is a leak [PUCHIFY_AUDIT_GRACE]."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
) -> None:
    """Compare what is held with what servers own.

    Exit 1 if anything leaks. A region audits and heals itself every minute; this looks now, and changes nothing.
    """
    from infra.config import settings
    from infra.db.ledger import Limits
    from workers.commands.books import in_books
    from workflows.audit_region import CREATE_WITHIN, DELETE_WITHIN

    limits = Limits(CREATE_WITHIN, DELETE_WITHIN)
    found = in_books(lambda connection: look(connection, location, limits))
    limit = settings().audit_grace if grace is None else grace
    typer.echo(as_object(found, limit) if as_json else "\n".join(lines(found, limit)))
    if any(finding.is_leak(limit) for finding in found):
        raise typer.Exit(1)


async def look(connection: Connection, location: str | None, limits: Limits) -> list[Finding]:
    """NotFound: there is no such location, so that a slip of the pen is not taken for a clean region."""
    from infra.db import ledger
    from infra.db.locations import locations
    from infra.domain.errors import NotFound

    if location is not None and location not in {known.name for known in await locations(connection)}:
        raise NotFound(f"there is no location {location!r}")
    return await ledger.examine(connection, location, limits)


def lines(found: Sequence[Finding], grace: float) -> list[str]:
    """A table, leaks first, and one line that sums it up."""
    by_state = sorted(found, key=lambda finding: STATES.index(state_of(finding, grace)))
    rows = [(state_of(one, grace), since(one.age), one.kind, one.location or "-", one.text) for one in by_state]
    return [*table([HEAD, *rows]), "", verdict(found, grace)] if rows else [verdict(found, grace)]


STATES = ("LEAK", "new", "pending")


def state_of(finding: Finding, grace: float) -> str:
    """``new``: wrong for less than the grace period. ``pending``: it waits for a host that is silent."""
    if finding.pending:
        return "pending"
    return "LEAK" if finding.is_leak(grace) else "new"


def verdict(found: Sequence[Finding], grace: float) -> str:
    states = [state_of(finding, grace) for finding in found]
    leaks, new, pending = map(states.count, STATES)
    told = {0: "nothing leaks", 1: "1 leak"}.get(leaks, f"{leaks} leaks")
    told += f"; {new} younger than {grace:.0f} s" if new else ""
    return told + (f"; {pending} waiting for silent hosts" if pending else "")


def since(age: float) -> str:
    """``always``: no audit was ever done."""
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if age >= 2 * seconds:
            return "always" if age == float("inf") else f"{age / seconds:.0f} {unit}"
    return f"{age:.0f} s"


def as_object(found: Sequence[Finding], grace: float) -> str:
    def told(finding: Finding) -> dict[str, object]:
        names = ("kind", "subject", "location", "server_id", "host_id", "text")
        age = None if finding.age == float("inf") else round(finding.age, 1)
        state = state_of(finding, grace).lower()
        return {"state": state, "age": age, **{name: getattr(finding, name) for name in names}}

    findings = [told(finding) for finding in found]
    return json.dumps({"leaks": any(one["state"] == "leak" for one in findings), "findings": findings}, indent=2)
