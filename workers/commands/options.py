"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.domain.quota import MOST

AsJson = Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")]
Count = Annotated[int | None, typer.Option(min=0, max=MOST)]
Host = Annotated[str, typer.Argument(metavar="HOST", help="Its id or its name.")]

# Where a host stands. Empty takes away what was said before.
Zone = Annotated[str | None, typer.Option(help="The availability zone that it stands in.")]
Rack = Annotated[str | None, typer.Option(help="The rack that it stands in.")]
Switch = Annotated[str | None, typer.Option(help="The switch that it hangs on.")]
