"""`puchify edge ...`: the nodes that serve load balancers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from workers.commands.books import in_books
from workers.commands.options import AsJson
from workers.commands.table import table

if TYPE_CHECKING:
    from infra.db.edges import ShownEdge

Edge = Annotated[str, typer.Argument(metavar="EDGE", help="Its id or its name.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Edges: what load balancers are served by.", no_args_is_help=True)
    commands: dict[str, Callable[..., None]] = {"add": add, "haproxy": haproxy, "list": list_all, "remove": remove}
    for name, command in commands.items():
        group.command(name)(command)
    app.add_typer(group, name="edge")


def add(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    location: Annotated[str, typer.Option(help="Where it serves.")],
) -> None:
    """Make an edge known, and print its settings.

    Its key is in them, and shown this once: the books keep only a digest.
    """
    from infra.config import settings
    from infra.db.edges import add_edge
    from infra.db.keys import digest_of, new_key, server_secret

    key = new_key()
    digest = digest_of(server_secret(settings()), key)
    edge_id = in_books(lambda connection: add_edge(connection, location, name, digest))
    typer.echo(f"PUCHIFY_EDGE_ID={edge_id}\nPUCHIFY_EDGE_KEY={key}")
    typer.echo(NEXT, err=True)


def haproxy() -> None:
    """Run HAProxy on this edge, as root.

    In PUCHIFY_EDGE_RUN, with the configuration that is there; the edge worker beside it writes it, and has it loaded.
    It is this process from then on: a unit of systemd's that runs it sees HAProxy's own end.
    """
    from infra.config import settings
    from infra.drivers.haproxy import argv, prepare, require

    directory = settings().edge_run
    require()
    prepare(directory)
    words = argv(directory)
    os.execvp(words[0], words)


def list_all(as_json: AsJson = False) -> None:
    """Show all edges, and what they serve.

    An edge is silent when it has not reported for 15 seconds; its load balancers are then another's.
    """
    from infra.db.edges import list_edges

    found = in_books(list_edges)
    if as_json:
        typer.echo(json.dumps({"edges": [{**asdict(edge), "live": edge.is_live} for edge in found]}, indent=2))
        return
    typer.echo("\n".join(table([HEADINGS, *map(_cells, found)])))
    for edge in found:
        for problem in edge.problems:
            typer.echo(f"{edge.name}: {problem}")


def remove(edge: Edge) -> None:
    """Remove an edge.

    Its key is worth nothing any more, and what it served is another's.
    """
    from infra.db.edges import remove_edge

    in_books(lambda connection: remove_edge(connection, edge))
    typer.echo(f"edge {edge} is removed")


NEXT = """\
These are settings of the edge's worker. On the edge, as root, with haproxy, nftables and FRR (puchify frr config host):
- PUCHIFY_INTERNAL_URL and PUCHIFY_TEMPORAL_ADDRESS: where the API and Temporal are
- PUCHIFY_VTEP and PUCHIFY_PRIVATE_MTU, as on hosts: for load balancers in private networks
- then both of them, all the time: puchify edge haproxy, and puchify worker edge"""
HEADINGS = ("ID", "NAME", "LOCATION", "REPORT", "LOAD BALANCERS", "SERVES")


def _cells(edge: ShownEdge) -> tuple[str, ...]:
    age = "never" if edge.report_age_s is None else f"{edge.report_age_s:.0f} s, {'live' if edge.is_live else 'silent'}"
    serves = f"{len(edge.problems)} left out" if edge.problems else "all"
    if edge.differs:
        serves = "not what it shall"
    return (str(edge.id), edge.name, edge.location, age, str(edge.load_balancers), serves)
