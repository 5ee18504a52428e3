"""The text of frr.conf, out of values alone: for a host or an edge, a router, and the world outside.

eBGP over interfaces without addresses of their own (RFC 5549), an AS number to each host. Routers learn every /32 and
/64; hosts are told a default route and where the other hosts are. The metric of a kernel route goes along as MED, and
routers compare it across AS numbers: of two who announce one address the lower metric wins, which is that
of whoever has it newest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from infra.frr.values import Bfd, Fabric, HostRouting, RouterRouting, UpstreamRouting


def host_conf(host: HostRouting, fabric: Fabric) -> str:
    """Also an edge's: it announces the addresses of its balancers as a host does those of its servers."""
    pools4, pools6 = fabric.of_version(4), fabric.of_version(6)
    lists = [
        *_prefixes("POOL4", (f"{pool} ge 32" for pool in pools4)),
        *_prefixes("VTEP4", (f"{vteps} ge 32" for vteps in fabric.vteps)),
        *_prefixes("DEFAULT4", ["0.0.0.0/0"]),
        *_prefixes("POOL6", (f"{pool} ge 64" for pool in pools6)),
        *_prefixes("DEFAULT6", ["::/0"]),
    ]
    maps = [
        *_map("KERNEL4", "ip", ["POOL4"]),
        *_map("KERNEL6", "ipv6", ["POOL6"]),
        *_map("OUT4", "ip", ["POOL4", "VTEP4"]),
        *_map("IN4", "ip", ["DEFAULT4", "VTEP4"]),
        *_map("OUT6", "ipv6", ["POOL6"]),
        *_map("IN6", "ipv6", ["DEFAULT6"]),
    ]
    bgp = [
        *_speaker(host.asn, host.router_id),
        *_group("FABRIC", host.uplinks),
        *_family(
            "ipv4 unicast",
            f"network {host.router_id}/32",
            "redistribute kernel route-map KERNEL4",
            *_exchange("FABRIC", "IN4", "OUT4"),
        ),
        *_family(
            "ipv6 unicast",
            "redistribute kernel route-map KERNEL6",
            *_exchange("FABRIC", "IN6", "OUT6"),
        ),
        *_family("l2vpn evpn", "neighbor FABRIC activate", "advertise-all-vni"),
        "exit",
    ]
    return _conf(host.name, lists, maps, bgp, _bfd(fabric.bfd))


def router_conf(router: RouterRouting, fabric: Fabric) -> str:
    """It has an end for packets to addresses that nobody announces, and tells the world only of whole pools."""
    pools4, pools6 = fabric.of_version(4), fabric.of_version(6)
    upstream = router.upstream
    statics = [
        *(f"ip route {pool} blackhole" for pool in pools4),
        *(f"ipv6 route {pool} blackhole" for pool in pools6),
        f"ip route 0.0.0.0/0 {upstream.ipv4}",
        f"ipv6 route ::/0 {upstream.ipv6}",
        "!",
    ]
    lists = [
        *_prefixes("AGG4", pools4),
        *_prefixes("VTEP4", (f"{vteps} ge 32" for vteps in fabric.vteps)),
        *_prefixes("POOL4", (f"{pool} ge 32" for pool in pools4)),
        *_prefixes("AGG6", pools6),
        *_prefixes("POOL6", (f"{pool} ge 64" for pool in pools6)),
    ]
    maps = [
        *_map("TOHOST4", "ip", ["VTEP4"]),
        *("route-map TOHOST6 deny 10", "exit"),
        *_map("FROMHOST4", "ip", ["POOL4", "VTEP4"]),
        *_map("FROMHOST6", "ipv6", ["POOL6"]),
        *_map("TOWORLD4", "ip", ["AGG4"]),
        *_map("TOWORLD6", "ipv6", ["AGG6"]),
    ]
    peer = [f"neighbor {router.peer} activate", f"neighbor {router.peer} next-hop-self"] if router.peer else []
    bgp = [
        *_speaker(router.asn, router.router_id),
        " bgp always-compare-med",
        *_group("HOSTS", router.downlinks),
        *_peer(router.peer),
        *_neighbour(upstream.ipv4, upstream.asn),
        *_neighbour(upstream.ipv6, upstream.asn),
        *_family(
            "ipv4 unicast",
            *(f"network {pool}" for pool in pools4),
            *_serve("HOSTS", "FROMHOST4", "TOHOST4"),
            *peer,
            f"neighbor {upstream.ipv4} activate",
            f"neighbor {upstream.ipv4} route-map TOWORLD4 out",
        ),
        *_family(
            "ipv6 unicast",
            *(f"network {pool}" for pool in pools6),
            *_serve("HOSTS", "FROMHOST6", "TOHOST6"),
            *peer,
            f"neighbor {upstream.ipv6} activate",
            f"neighbor {upstream.ipv6} route-map TOWORLD6 out",
        ),
        *_family("l2vpn evpn", "neighbor HOSTS activate"),
        "exit",
    ]
    return _conf(router.name, statics, lists, maps, bgp, _bfd(fabric.bfd))


def upstream_conf(upstream: UpstreamRouting, fabric: Fabric) -> str:
    bgp = _speaker(upstream.asn, upstream.router_id)
    for address in upstream.routers:
        bgp += _neighbour(address, 0)
    for version in (4, 6):
        inside = [one for one in upstream.routers if ip_address(one).version == version]
        bgp += _family(f"ipv{version} unicast", *(f"neighbor {address} activate" for address in inside))
    return _conf(upstream.name, [*bgp, "exit"], _bfd(fabric.bfd))


def _conf(name: str, *parts: Iterable[str]) -> str:
    head = ["frr version 8.4", "frr defaults datacenter", f"hostname {name}", "log syslog warnings", "!"]
    body = [line for part in parts for line in (*part, "!")]
    return "\n".join([*head, *body, "end"]) + "\n"


def _prefixes(name: str, entries: Iterable[str]) -> list[str]:
    family = "ipv6" if name.endswith("6") else "ip"
    return [f"{family} prefix-list {name} seq {seq} permit {entry}" for seq, entry in enumerate(entries, 5)]


def _map(name: str, family: str, lists: Sequence[str]) -> list[str]:
    lines = []
    for number, prefixes in enumerate(lists, 1):
        lines += [f"route-map {name} permit {number}0", f" match {family} address prefix-list {prefixes}", "exit"]
    return lines


def _speaker(asn: int, router_id: str) -> list[str]:
    return [
        f"router bgp {asn}",
        f" bgp router-id {router_id}",
        " no bgp default ipv4-unicast",
        " no bgp ebgp-requires-policy",
        " bgp bestpath as-path multipath-relax",
    ]


def _group(name: str, interfaces: Iterable[str]) -> list[str]:
    """BFD finds a silent neighbour, the timers one whose BFD is stuck; a lost session is tried again every second."""
    options = ("remote-as external", "bfd profile fabric", "timers 3 9", "timers connect 1")
    return [
        f" neighbor {name} peer-group",
        *(f" neighbor {name} {option}" for option in options),
        *(f" neighbor {interface} interface peer-group {name}" for interface in interfaces),
    ]


def _peer(interface: str | None) -> list[str]:
    if interface is None:
        return []
    return [f" neighbor {interface} interface remote-as internal", f" neighbor {interface} bfd profile fabric"]


def _neighbour(address: str, asn: int) -> list[str]:
    """``asn`` 0: any but our own."""
    options = (f"remote-as {asn or 'external'}", "bfd profile fabric", "timers 3 9", "timers connect 1")
    return [f" neighbor {address} {option}" for option in options]


def _family(name: str, *lines: str) -> list[str]:
    return [" !", f" address-family {name}", *(f"  {line}" for line in lines), " exit-address-family"]


def _exchange(group: str, accepted: str, told: str) -> list[str]:
    return [
        f"neighbor {group} activate",
        f"neighbor {group} route-map {accepted} in",
        f"neighbor {group} route-map {told} out",
    ]


def _serve(group: str, accepted: str, told: str) -> list[str]:
    return [f"neighbor {group} default-originate", *_exchange(group, accepted, told)]


def _bfd(bfd: Bfd) -> list[str]:
    return [
        "bfd",
        " profile fabric",
        f"  transmit-interval {bfd.interval}",
        f"  receive-interval {bfd.interval}",
        f"  detect-multiplier {bfd.multiplier}",
        " exit",
        "exit",
    ]
