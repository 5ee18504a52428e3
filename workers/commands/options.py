"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.domain.quota import MOST

AsJson = Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")]
Count = Annotated[int | None, typer.Option(min=0, max=MOST)]
