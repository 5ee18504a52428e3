"""`puchify frr config ...`: the configuration of FRR for a machine of the fabric, its /etc/frr/frr.conf."""

from __future__ import annotations

import platform
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
        str, typer.Option(help="The network that the router ids of all hosts are from.")
    ] = "10.255.0.0/24",
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
    typer.echo(host_conf(routing, Fabric(tuple(told.address_pools), vteps)), nl=False)
