"""`puchify host edit, topology`: what a host is called and where it stands, and all of them as a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.commands.books import in_books
from workers.commands.options import Host, Rack, Switch, Zone
from workers.commands.table import count

if TYPE_CHECKING:
    from infra.db.host_care import Edited
    from infra.db.host_views import HostUse
    from infra.db.pool import Connection


def edit(
    host: Host,
    name: Annotated[str | None, typer.Option(help="What it is called from now on.")] = None,
    zone: Zone = None,
    rack: Rack = None,
    switch: Switch = None,
    overcommit: Annotated[float | None, typer.Option(help="Virtual cores that it offers for a real one.")] = None,
) -> None:
    """Note another name, place or overcommit of a host.

    What is not given stays; '' takes a zone, rack or switch away. What the host holds it keeps, also above what it
    offers from now on.
    """
    from infra.domain.topology import Standing

    standing = Standing(name, zone, rack, switch, overcommit)
    if standing == Standing():
        raise typer.BadParameter("say what is to change: --name, --zone, --rack, --switch or --overcommit")

    async def work(connection: Connection) -> Edited:
        from infra.db.host_care import edit_host, find_host

        return await edit_host(connection, (await find_host(connection, host)).id, standing)

    typer.echo("\n".join(_told_change(in_books(work))))


def topology(
    location: Annotated[str | None, typer.Option(help="This one only.")] = None,
) -> None:
    """Show where all hosts stand, as a tree.

    Location, availability zone, rack, switch. Free is what new servers may take: of hosts that take any.
    """
    from infra.db.host_views import list_hosts

    hosts = in_books(lambda connection: list_hosts(connection, location))
    typer.echo("\n".join(tree(hosts)) or "there are no hosts")


NAMES = {"availability_zone": "zone"}


def _told_change(edited: Edited) -> Iterator[str]:
    for column, (old, new) in edited.changed.items():
        yield f"host {edited.name}: {NAMES.get(column, column)} {_shown(old)} -> {_shown(new)}"
    if not edited.changed:
        yield f"host {edited.name}: it is so already"
    if edited.used_cores > edited.cores:
        yield f"it holds {edited.used_cores} cores and offers {edited.cores}: no new servers come until some have gone"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else value or "none"


LEVELS: tuple[tuple[str, Callable[[HostUse], str]], ...] = (
    ("location", lambda host: host.location),
    ("zone", lambda host: host.availability_zone),
    ("rack", lambda host: host.rack),
    ("switch", lambda host: host.switch),
)


def tree(hosts: Sequence[HostUse]) -> Iterator[str]:
    """A line for each place and each host, indented."""
    placed = sorted(hosts, key=lambda host: (*(place(host) for _, place in LEVELS), host.name))
    yield from _branch(placed, 0)


def _branch(hosts: Sequence[HostUse], level: int) -> Iterator[str]:
    indent = "  " * level
    if level == len(LEVELS):
        yield from (f"{indent}{host.name}  {_standing(host)}{_free([host])}" for host in hosts)
        return
    noun, place = LEVELS[level]
    for name, group in groupby(hosts, key=place):
        here = list(group)
        taking = sum(host.takes_servers for host in here) or "none"
        yield f"{indent}{noun} {name or '-'}: {count(len(here), 'host')}, {taking} taking servers{_free(here)}"
        yield from _branch(here, level + 1)


def _standing(host: HostUse) -> str:
    silent = "" if host.fresh else ", silent"
    return f"{host.state}{silent}, {count(host.servers, 'server')}"


def _free(hosts: Sequence[HostUse]) -> str:
    taking = [host for host in hosts if host.takes_servers]
    if not taking:
        return ""
    cores, memory_mib, disk_gib = (sum(max(0, free(host)) for host in taking) for free in FREE)
    return f"; free: {count(cores, 'core')}, {memory_mib / 1024:.1f} GiB memory, {disk_gib} GiB disk"


# Below zero where more is held than is offered by now.
FREE: tuple[Callable[[HostUse], int], ...] = (
    lambda host: host.cores - host.used_cores,
    lambda host: host.memory_mib - host.used_memory_mib,
    lambda host: host.disk_gib - host.used_disk_gib,
)
