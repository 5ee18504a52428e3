"""`puchify frr config ...`: the configuration of FRR for a machine of the fabric, its /etc/frr/frr.conf."""

from __future__ import annotations

import platform
from dataclasses import replace
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="FRR: what carries addresses and private networks across hosts.", no_args_is_help=True)
    config = typer.Typer(help="Print the configuration of FRR for a machine.", no_args_is_help=True)
    config.callback()(_group)
    config.command()(host)
    group.add_typer(config, name="config")
    app.add_typer(group, name="frr")


def _group() -> None:
    return None


def host(
    asn: Annotated[int, typer.Option(help="Its own AS number: private ones of four bytes begin at 4200000000.")],
    router_id: Annotated[str, typer.Option(help="Its address on the fabric (on lo), which ends its VXLANs too.")],
    uplink: Annotated[
        list[str] | None, typer.Option(help="An interface to a router; repeatable. Default: PUCHIFY_UPLINKS.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Default: this machine's.")] = None,
    vteps: Annotated[
        list[str] | None,
        typer.Option(help="A network that router ids of hosts are from; repeatable. Default: PUCHIFY_VTEPS."),
    ] = None,
) -> None:
    """Print frr.conf for a host, or an edge.

    It announces the public addresses of PUCHIFY_ADDRESS_POOLS as the host worker makes routes to them, and carries
    private networks by EVPN. Needs bgpd=yes and bfdd=yes in /etc/frr/daemons; it never changes with a server.
    """
    from infra.config import settings
    from infra.frr.config import host_conf
    from infra.frr.values import Fabric, HostRouting

    told = settings()
    routing = HostRouting(name or platform.node(), asn, router_id, tuple(uplink or told.uplinks))
    routing.check()
    fabric = Fabric(tuple(told.address_pools))
    if chosen := vteps or told.vteps:
        fabric = replace(fabric, vteps=tuple(chosen))
    typer.echo(host_conf(routing, fabric), nl=False)
