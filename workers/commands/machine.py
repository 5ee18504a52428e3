"""`puchify doctor`, `puchify clean`: this machine, and what an instance left on it."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(doctor)
    app.command()(clean)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
) -> None:
    """Say what this machine can and cannot do.

    With the mend for each. Exit 1 if `puchify up` could not work.
    """
    from dataclasses import asdict

    from infra.config import settings
    from workers.doctor import examine
    from workers.doctor.report import lines, works

    findings = examine(settings())
    if as_json:
        typer.echo(json.dumps({"works": works(findings), "findings": [asdict(one) for one in findings]}, indent=2))
    else:
        typer.echo("\n".join(lines(findings)))
    if not works(findings):
        raise typer.Exit(1)


def clean() -> None:
    """Remove the state: servers, books and keys.

    What a killed `puchify up` left running on this machine is stopped first.
    """
    from infra.config import settings
    from workers.local.clean import clean_up
    from workers.progress import Teller

    asyncio.run(clean_up(settings(), Teller()))
