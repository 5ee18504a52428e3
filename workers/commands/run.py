"""`puchify up`, `puchify api`, `puchify worker ...`: what runs until it is told to stop."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import typer

from workers.commands import versions

Host = Literal["auto", "libvirt", "simulated"]


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(api)
    worker = typer.Typer(help="Run a worker: what carries out the steps.", no_args_is_help=True)
    worker.command()(region)
    worker.command()(host)
    worker.command()(edge)
    versions.register(worker)
    app.add_typer(worker, name="worker")


def up(
    once: Annotated[
        bool, typer.Option("--once", help="Stop again when the login is proven; exit 0 only then.")
    ] = False,
    host: Annotated[
        Host | None,
        typer.Option(help="What servers run on. Unless given, as PUCHIFY_HOST says: libvirt where it is installed."),
    ] = None,
) -> None:
    """Run everything on this machine, and log in to a server.

    PostgreSQL, Temporal, the API, a region worker, a host worker and an edge, with all state in PUCHIFY_STATE
    (.puchify). Ctrl-C stops all of it; the next run goes on where this one stopped.
    """
    from infra.config import settings
    from workers import up as story
    from workers.progress import Teller

    chosen = settings() if host is None else settings().model_copy(update={"host": host})
    if not asyncio.run(story.up(chosen, once, Teller())) and once:
        raise typer.Exit(1)


def api() -> None:
    """Run the API: where clients order servers."""
    from workers.serve import serve_api

    serve_api()


def region() -> None:
    """Run a region worker: workflows and book-keeping."""
    from workers.region import run_region
    from workers.serve import serve

    serve(run_region)


def host() -> None:
    """Run the host worker of this machine."""
    from workers.host import run_host
    from workers.serve import serve

    serve(run_host)


def edge() -> None:
    """Run the edge worker of this machine."""
    from workers.edge import run_edge
    from workers.serve import serve

    serve(run_edge)
