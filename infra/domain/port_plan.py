"""A server's ports as its host shall have them: what is attached to whom, and what may pass.

The books make the plan at the moment in which the host asks for it, so that steps which come late, twice or out of
order all come to the same. A public port is routed; a private one is bridged into its network. Nothing in here is
secret. Addresses and ranges are text in canonical form.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.domain.firewalls import Rule


@dataclass(frozen=True, slots=True)
class PublicPort:
    """The one port that every server has, with public addresses or without. ``ipv6_network``: a /64. The generation of
    an address is how often it has changed hands: of two who announce it, routers believe the higher one."""

    mac: str
    ipv4: str | None = None
    ipv6_network: str | None = None
    ipv4_generation: int = 0
    ipv6_generation: int = 0

    @property
    def addresses(self) -> list[str]:
        """Those that the server itself has; of its network, ``::1``."""
        ipv6 = self.ipv6_network and self.ipv6_network.replace("::/64", "::1")
        return [address for address in (self.ipv4, ipv6) if address]


@dataclass(frozen=True, slots=True)
class GuestRoute:
    """A route of a network, as a guest is to have it. ``destination``: a range; ``gateway``: a member's address."""

    destination: str
    gateway: str


@dataclass(frozen=True, slots=True)
class PrivatePort:
    """A server's membership in a network.

    ``vni``: the network's identifier in overlays, unique in the installation. ``ip_range``: the network's, all of it
    reached without a gateway. ``routes``: those that its guest needs, via others. ``carries``: destinations of routes
    that lead via this member: what it forwards has such addresses, and no others that are not its own.
    """

    member_id: int
    network_id: int
    vni: int
    mac: str
    ip: str
    ip_range: str
    aliases: tuple[str, ...] = ()
    routes: tuple[GuestRoute, ...] = ()
    carries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortPlan:
    """``epoch``: of the server's claim. ``firewalls``: ids of those in effect, ``rules``: theirs all together.
    ``accepts``: what no rule names may come in (the project's choice; else only SSH and ICMP may)."""

    server_id: int
    epoch: int
    public: PublicPort
    private: tuple[PrivatePort, ...] = ()
    firewalls: tuple[int, ...] = ()
    rules: tuple[Rule, ...] = ()
    accepts: bool = False

    @property
    def members(self) -> tuple[int, ...]:
        return tuple(port.member_id for port in self.private)
