"""`puchify lab`: a region of three zones on this machine, with its network and its store, to see what a loss does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from infra.lab.lab import Lab, Status
    from infra.lab.region import MachineStatus, Region

Machine = Annotated[str, typer.Argument(metavar="HOST|ZONE", help="A machine, as h3, or z1, z2 or z3 with all in it.")]
Directory = Annotated[
    Path | None,
    typer.Option("--directory", help="Where the lab keeps all it has; default: lab in the state directory."),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="A region of three zones on this machine, to be broken.", no_args_is_help=True)
    group.callback()(_group)
    for command in (up, status, kill, cut, heal, down):
        group.command()(command)
    group.command("exec", context_settings={"ignore_unknown_options": True})(run)
    app.add_typer(group, name="lab")


def _group() -> None:
    return None


def up(
    store: Annotated[
        Literal["cephfs", "glusterfs"], typer.Option(help="What replicates the image store.")
    ] = "glusterfs",
    only_store: Annotated[
        bool, typer.Option("--only-store", help="Only the zones and the store over them, without hosts and network.")
    ] = False,
    directory: Directory = None,
) -> None:
    """Set up a region: three zones, six hosts, routers, and a store.

    Takes half a minute and 2 GB of memory, with GlusterFS; CephFS takes longer and more. Where the lab is up already,
    what is missing of it is brought back.
    """
    lab = _lab(directory)
    if only_store:
        lab.up(store)
        typer.echo("\n".join(_lines(lab.status())))
        return
    from workers.lab.handout import lines
    from workers.lab.up import up as set_up

    region = set_up(lab, store, typer.echo)
    typer.echo("\n".join(("", *_machines(region.statuses()), "", *lines(region))))


def status(directory: Directory = None) -> None:
    """Show the machines, the zones, and the store's health."""
    region = _region(directory)
    lines = _lines(region.lab.status())
    if machines := region.statuses():
        lines = [*_machines(machines), "", *lines]
    typer.echo("\n".join(lines))


def kill(machine: Machine, directory: Directory = None) -> None:
    """Switch a machine or a zone off, without a warning.

    As a power failure does: what was in memory is gone, what was on disks stays.
    """
    _region(directory).kill(machine)
    typer.echo(f"{machine} is dead; `puchify lab heal {machine}` starts it again")


def cut(machine: Machine, directory: Directory = None) -> None:
    """Cut a machine or a zone from the network; it runs on."""
    _region(directory).cut(machine)
    typer.echo(f"{machine} is cut off; `puchify lab heal {machine}` plugs it in again")


def heal(machine: Machine, directory: Directory = None) -> None:
    """Start what was killed, plug in what was cut.

    The store then heals its data by itself: `puchify lab status` says when it has.
    """
    _region(directory).heal(machine)
    typer.echo(f"{machine} runs and is plugged in")


def run(
    machine: Annotated[str, typer.Argument(metavar="MACHINE", help="Where: h1, r1, out, ctl, ...")],
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="What to run, after --.")],
    directory: Directory = None,
) -> None:
    """Run a command on a machine of the lab.

    As in: puchify lab exec out -- ssh root@203.0.113.5
    """
    from workers.lab.handout import run_on

    run_on(_region(directory), machine, command)


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


def _region(directory: Path | None) -> Region:
    from infra.lab.region import Region

    return Region(_lab(directory))


def _machines(machines: list[MachineStatus]) -> list[str]:
    from workers.commands.table import table

    rows = [("MACHINE", "WHAT", "ZONE", "STATE")]
    for one in machines:
        state = "dead" if not one.running else "up" if one.plugged else "cut off"
        rows.append((one.name, one.kind, one.zone or "-", state))
    return table(rows)


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
