"""`puchify host ...`: the commands of hosts, and what operators see of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.commands import host_join, host_places, host_states
from workers.commands.books import in_books
from workers.commands.options import AsJson, Host
from workers.commands.table import count, table

if TYPE_CHECKING:
    from infra.db.host_views import HostUse, Observed, ShownHost
    from infra.db.pool import Connection


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Hosts: what servers run on.", no_args_is_help=True)
    commands: dict[str, Callable[..., None]] = {
        "list": list_all,
        "show": show,
        "topology": host_places.topology,
        "join": host_join.join,
        "enrol": host_join.enrol,
        "enrolments": host_join.enrolments,
        "edit": host_places.edit,
        "cordon": host_states.cordon,
        "uncordon": host_states.uncordon,
        "drain": host_states.drain,
        "lost": host_states.lost,
        "remove": host_states.remove,
    }
    for name, command in commands.items():
        group.command(name)(command)
    app.add_typer(group, name="host")


def list_all(
    wide: Annotated[bool, typer.Option("--wide", help="Also where they stand, and their overcommit.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show all hosts: their state, reports and use.

    Used and offered: cores (overcommitted), memory in MiB, disk in GiB. A host is silent when its report is too old
    for new servers. Tombstones are servers that it has to forget when it is back.
    """
    from infra.db.host_views import list_hosts

    hosts = in_books(list_hosts)
    if as_json:
        typer.echo(json.dumps({"hosts": [_use_wire(host) for host in hosts]}, indent=2))
    else:
        typer.echo("\n".join(table([_headings(wide), *(_cells(host, wide) for host in hosts)])))


def show(host: Host, as_json: AsJson = False) -> None:
    """Show all there is to know of a host.

    Its place, its state, what it offers and holds, its last report, and the servers on it.
    """

    async def work(connection: Connection) -> ShownHost:
        from infra.db.host_care import find_host
        from infra.db.host_views import show_host

        return await show_host(connection, (await find_host(connection, host)).id)

    shown = in_books(work)
    if as_json:
        servers = [{**asdict(holder), **asdict(_observed(shown, holder.id))} for holder in shown.servers]
        told = {**_use_wire(shown.use), **asdict(shown.reading), "servers": servers}
        typer.echo(json.dumps({"host": told}, indent=2))
    else:
        typer.echo("\n".join(_told(shown)))


def _use_wire(host: HostUse) -> dict[str, Any]:
    return {**asdict(host), "fresh": host.fresh}


STANDING = ("ZONE", "RACK", "SWITCH", "OVERCOMMIT")


def _headings(wide: bool) -> tuple[str, ...]:
    use = ("STATE", "DRIVER", "REPORT", "SERVERS", "CORES", "MEMORY", "DISK", "TOMBSTONES")
    return ("ID", "NAME", "LOCATION", *(STANDING if wide else ()), *use)


def _cells(host: HostUse, wide: bool) -> tuple[str, ...]:
    standing = (*_places(host), f"{host.overcommit:g}") if wide else ()
    return (
        *(str(host.id), host.name, host.location, *standing, host.state, host.driver or "-", _report(host)),
        str(host.servers),
        f"{host.used_cores}/{host.cores}",
        f"{host.used_memory_mib}/{host.memory_mib}",
        f"{host.used_disk_gib}/{host.disk_gib}",
        str(host.tombstones),
    )


def _places(host: HostUse) -> tuple[str, ...]:
    return tuple(place or "-" for place in (host.availability_zone, host.rack, host.switch))


def _report(host: HostUse) -> str:
    age = "never" if host.report_age_s is None else f"{host.report_age_s:.0f} s"
    return f"{age}, {'fresh' if host.fresh else 'silent'}"


def _told(shown: ShownHost) -> list[str]:
    use, reading = shown.use, shown.reading
    zone, rack, switch = _places(use)
    rows = [
        ("host", f"{use.name} (id {use.id})"),
        ("stands in", f"{use.location}, zone {zone}, rack {rack}, switch {switch}"),
        ("state", use.state),
        ("report", _report(use)),
        ("driver", f"{use.driver or '-'}, {use.architecture}"),
        ("cores", f"{use.used_cores} of {use.cores} used (overcommit {use.overcommit:g})"),
        ("memory", _of(use.used_memory_mib, use.memory_mib, "MiB", reading.free_memory_mib)),
        ("disk", _of(use.used_disk_gib, use.disk_gib, "GiB", reading.free_disk_gib)),
        ("cores busy", f"{reading.cpu_busy:.0%}, waiting for disks {reading.io_wait:.0%}"),
        ("network", f"{reading.net_saturation:.0%} of its busiest uplink"),
        *((f"uplink {name}", _link(link)) for name, link in sorted(reading.links.items())),
        *(("problem", problem) for problem in reading.problems),
        *((name, _fact(fact)) for name, fact in sorted(reading.facts.items()) if not name.startswith("image_")),
        ("images", f"{reading.images} cached"),  # `puchify image cache` has the rest
        ("tombstones", f"{count(use.tombstones, 'server')} to forget"),
        ("servers", str(use.servers)),
    ]
    servers = [(str(one.id), one.name, one.status, *_seen(_observed(shown, one.id))) for one in shown.servers]
    return [*table(rows), *(f"  {line}" for line in table(servers))]


def _observed(shown: ShownHost, server_id: int) -> Observed:
    from infra.db.host_views import Observed

    return shown.observed.get(server_id, Observed())


def _seen(observed: Observed) -> tuple[str, str]:
    agent = {True: "its agent speaks", False: "its agent is silent", None: ""}[observed.agent_speaks]
    return f"machine {observed.machine}" if observed.machine else "", agent


def _fact(fact: object) -> str:
    return ", ".join(f"{name} {one}" for name, one in sorted(fact.items())) if isinstance(fact, dict) else str(fact)


def _link(link: dict[str, Any]) -> str:
    if link["received"] is None:
        return "no speed known"
    return f"{link['speed_mbit']} Mbit/s, {link['received']:.0%} in, {link['sent']:.0%} out"


def _of(used: int, offered: int, unit: str, really_free: int | None) -> str:
    really = "" if really_free is None else f", {really_free} {unit} really free"
    return f"{used} of {offered} {unit} used{really}"
