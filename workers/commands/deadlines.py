"""`puchify deadlines`: how long anything may take, from the very table that the workflows go by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from workflows.options import Step

HEADINGS = ("STEP", "RUNS IN", "ONE TRY", "SILENCE", "ALL TRIES", "WHY")


def register(app: typer.Typer) -> None:
    app.command()(deadlines)


def deadlines() -> None:
    """Show how long each step, and the whole, may take.

    In seconds. After ALL TRIES a step has failed: a host is left for another, or everything is undone; "ever" is only
    what no failure may stop, and what waits for nothing but the books. SILENCE: a try that says nothing is dead.
    """
    from workers.commands.table import table
    from workflows.options import STEPS

    for line in table([HEADINGS, *(_cells(name, step) for name, step in STEPS.items())]):
        typer.echo(line)
    typer.echo()
    for what, seconds in _whole():
        typer.echo(f"{seconds:>7.0f}  {what}")


def _cells(name: str, step: Step) -> tuple[str, ...]:
    beat = f"{step.silence.total_seconds():g}" if step.silence else "-"
    within = f"{step.within * step.factor:g}" if step.within else "ever"
    return name, step.place, f"{step.run * step.factor:g}", beat, within, step.why


def _whole() -> list[tuple[str, float]]:
    from api.stories import ADMISSION
    from infra.config import settings
    from workers.schedules import AUDIT_EVERY
    from workflows.audit_region import CREATE_WITHIN
    from workflows.options import (
        BEAT,
        DEADLINE,
        POWER_WITHIN,
        QUEUE,
        REBOOT_PATIENCE,
        RETURN,
        SHUTDOWN_PATIENCE,
        UNWIND,
    )

    # One audit sees it, and the first one after the grace period acts.
    audited = CREATE_WITHIN + settings().audit_grace + 2 * AUDIT_EVERY.total_seconds()
    return [
        ("an order is answered: granted, refused, or taken back because a part of the service is away", ADMISSION),
        ("a step is left waiting by its host, which is then asked for a sign of life", QUEUE),
        ("a host says nothing in the middle of a step, and is asked as well", BEAT),
        ("a silent host is waited for when no other fits", RETURN),
        ("a create runs, or begins to undo", DEADLINE),
        ("a create that was stopped, or is late, has undone everything; else it is ended by force", UNWIND),
        ("a power command is not done by its host, and has failed", POWER_WITHIN),
        ("a guest that does not shut down for a reboot is stopped", REBOOT_PATIENCE),
        ("a guest that is told to shut down and does not goes on running", SHUTDOWN_PATIENCE),
        ("a create has failed for its owner, even if its workflow was killed: the audit orders its delete", audited),
    ]
