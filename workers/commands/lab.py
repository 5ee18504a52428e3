"""`puchify lab`: three availability zones on this machine with a replicated image store, to see what a loss does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from infra.lab.lab import Lab, Status

Zone = Annotated[str, typer.Argument(help="z1, z2 or z3.")]
Directory = Annotated[
    Path | None,
    typer.Option("--directory", help="Where the lab keeps all it has; default: lab in the state directory."),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="A region of three zones on this machine, to be broken.", no_args_is_help=True)
    group.callback()(_group)
    for command in (up, status, kill, cut, heal, down):
        group.command()(command)
    app.add_typer(group, name="lab")


def _group() -> None:
    return None


def up(
    store: Annotated[Literal["cephfs", "glusterfs"], typer.Option(help="What replicates the image store.")],
    directory: Directory = None,
) -> None:
    """Set up three zones and a store over them.

    GlusterFS takes ten seconds and 0.3 GB of memory, CephFS half a minute and 0.6 GB. Where the lab is up already,
    what is missing of it is brought back.
    """
    lab = _lab(directory)
    lab.up(store)
    typer.echo("\n".join(_lines(lab.status())))


def status(directory: Directory = None) -> None:
    """Show the zones, their daemons and the store's health."""
    typer.echo("\n".join(_lines(_lab(directory).status())))


def kill(zone: Zone, directory: Directory = None) -> None:
    """Kill every process of a zone at once."""
    _lab(directory).kill(zone)
    typer.echo(f"zone {zone} is dead; `puchify lab heal {zone}` starts it again")


def cut(zone: Zone, directory: Directory = None) -> None:
    """Cut a zone from the network; it runs on."""
    _lab(directory).cut(zone)
    typer.echo(f"zone {zone} is cut off; `puchify lab heal {zone}` plugs it in again")


def heal(zone: Zone, directory: Directory = None) -> None:
    """Start a killed zone, plug a cut one in.

    The store then heals its data by itself: `puchify lab status` says when it has.
    """
    _lab(directory).heal(zone)
    typer.echo(f"zone {zone} runs and is plugged in")


def down(directory: Directory = None) -> None:
    """Remove the lab with all its data.

    Also what a killed `puchify lab up` left.
    """
    _lab(directory).down()
    typer.echo("the lab is gone")


def _lab(directory: Path | None) -> Lab:
    from infra.config import settings
    from infra.lab.lab import Lab
    from workers.local.place import Place

    return Lab(directory or Place(settings().state).lab, typer.echo)


def _lines(status: Status) -> list[str]:
    from workers.commands.table import table

    rows = [("ZONE", "ADDRESS", "STATE", "DAEMONS")]
    for zone in status.zones:
        state = "dead" if not zone.running else "up" if zone.plugged else "cut off"
        missing = f" (missing: {', '.join(zone.missing)})" if zone.running and zone.missing else ""
        rows.append((zone.name, zone.address, state, (", ".join(zone.daemons) or "-") + missing))
    mounts = [
        f"mount {name}: {path if mounted else 'not mounted: `puchify lab up` mounts it'}"
        for name, path, mounted in status.mounts
    ]
    wrong = [f"to be changed: {setting}" for setting in status.health.settings]
    use = f"to use it: PUCHIFY_IMAGE_STORE={status.mounts[0][1]} PUCHIFY_IMAGE_STORE_ENGINE={status.engine}"
    return [
        *table(rows),
        "",
        f"store {status.engine}: {status.health.word}, {status.health.text}",
        *wrong,
        *mounts,
        use,
    ]
