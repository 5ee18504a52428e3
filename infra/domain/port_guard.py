"""What a guest may send at all: rules where its frames leave the tap, so that no later hook sees a forged one.

Stateless: connections are not tracked there yet. Whatever is not one of the guest's own addresses ends here, and so
does what only the platform may say: DHCP offers, router advertisements, redirects, VLAN tags, foreign ethertypes. Its
private ports speak IPv4 alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from infra.domain.port_plan import PrivatePort, PublicPort

LINK_LOCAL = IPv6Network("fe80::/10")
SOLICITS, LINK_LOCALS = "10/second burst 50 packets", "100/second burst 200 packets"
"""Each may be of another address, and a neighbour more of the host's, which it keeps for 5 seconds at least."""
NOBODYS = "{ 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 }"
"""Never a sender (RFC 1122, 3927, 5771), not even of what a gateway forwards."""


def public_guard(port: PublicPort) -> list[str]:
    """A port without addresses still reaches its host over IPv6: link-local addresses are the guest's to choose."""
    own = [port.ipv4] if port.ipv4 else []
    return [*_frame(port.mac, "{ arp, ip, ip6 }"), *_ipv4(port.mac, own), *_ipv6(port.ipv6_network), "counter drop"]


def private_guard(port: PrivatePort) -> list[str]:
    own, ours = [port.ip, *port.aliases], IPv4Network(port.ip_range)
    carried = [IPv4Network(range_) for range_ in port.carries]
    apart = [str(range_) for range_ in collapse_addresses(r for r in carried if not r.supernet_of(ours))]
    around = [str(range_) for range_ in collapse_addresses(r for r in carried if r.supernet_of(ours))]
    return [
        *_frame(port.mac, "{ arp, ip }"),
        *_ipv4(port.mac, own),
        *([f"ip saddr {NOBODYS} counter drop"] if carried else []),
        *([f"ip saddr {_set(apart)} accept"] if apart else []),  # its owners are no members, wherever it lies
        *([f"ip saddr {ours} counter drop", f"ip saddr {_set(around)} accept"] if around else []),
        "counter drop",
    ]


def _frame(mac: str, kinds: str) -> list[str]:
    return [
        f"ether saddr != {mac} counter drop",
        f"ether type != {kinds} counter drop",  # said once: the rules below would look into a VLAN's frames
    ]


def _ipv4(mac: str, own: list[str]) -> list[str]:
    if not own:
        return []
    arp = f"arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp operation {{ request, reply }} arp saddr ether {mac}"
    return [
        f"{arp} arp saddr ip {_set(own)} accept",
        f"{arp} arp saddr ip 0.0.0.0 arp daddr ip {_set(own)} accept",  # RFC 5227: is my address taken?
        "meta protocol ip udp sport 67 counter drop",
        "icmp type { redirect, router-advertisement } counter drop",
        f"ip saddr {_set(own)} accept",
    ]


def _ipv6(own: str | None) -> list[str]:
    networks = [*([IPv6Network(own)] if own else []), LINK_LOCAL]
    advert, solicit_any = "icmpv6 type nd-neighbor-advert", "icmpv6 type nd-neighbor-solicit"
    solicit = f"ip6 saddr :: {solicit_any}"
    return [
        f"{solicit_any} limit rate over {SOLICITS} counter drop",
        f"ip6 saddr {LINK_LOCAL} limit rate over {LINK_LOCALS} counter drop",
        "ip6 saddr fe80::1 counter drop",
        "icmpv6 type { nd-router-advert, nd-redirect } counter drop",
        "meta protocol ip6 udp sport 547 counter drop",
        f"{advert} {_target(IPv6Network('fe80::1/128'))} counter drop",
        *(f"{advert} {_target(network)} accept" for network in networks),
        f"{advert} counter drop",
        *(f"{solicit} {_target(network)} accept" for network in networks),  # RFC 4862: is my address taken?
        "ip6 saddr :: icmpv6 type mld2-listener-report accept",
        *(f"ip6 saddr {network} accept" for network in networks),
    ]


def _target(network: IPv6Network) -> str:
    """It lies 8 bytes into ICMPv6; nft 1.0.6 has no name for it."""
    bits = network.prefixlen
    return f"@th,64,{bits} {int(network.network_address) >> (128 - bits):#x}"


def _set(ranges: Iterable[str]) -> str:
    listed = list(dict.fromkeys(ranges))
    return listed[0] if len(listed) == 1 else f"{{ {', '.join(listed)} }}"
