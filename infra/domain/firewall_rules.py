"""The nftables texts of a host: what guards the network, the host and the guests from each other.

Three tables named ``puchify``. ``netdev``: what a guest may send (`port_guard`). ``inet``: public ports, which are
routed; ``bridge``: private ones (`host_rules` for both, and per port the chains of `port_rules`). Each text is one
transaction and converges: it may be applied again at will, on top of anything of ours. nft 1.0.6 (Debian 12) is the
oldest that has to read it. Private ports need br_netfilter, with net.bridge.bridge-nf-call-iptables at 1.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence

from infra.domain.host_rules import BEGUN, CROSS, HOOKS, LEAVE, PACE, TAKEN, Chains, bridged_chains, routed_chains
from infra.domain.port_guard import private_guard, public_guard
from infra.domain.port_names import bridge_name, member_of, private_tap_name, server_of, tap_name
from infra.domain.port_plan import PortPlan
from infra.domain.port_rules import outbound, private_inbound, public_inbound

TABLE = "puchify"
INBOUND, OUTBOUND = "in-", "out-"  # of a tap's name, for the chains about its connections
ZONES = range(1, 2**16)
"""Of connection tracking; 0 is what everybody else's connections are in."""

MAPS = (("inet", "inbound"), ("inet", "outbound"), ("inet", "networks"), ("bridge", "inbound"), ("bridge", "outbound"))
KEYED = "type ifname : verdict"
PACES = tuple((family, name) for family in ("inet", "bridge") for name in (BEGUN, TAKEN))
PACED = "{ type ifname; size 65536; flags dynamic,timeout; timeout 1m; }"

Chain = tuple[str, str]
"""Family and name."""

STANDING: frozenset[Chain] = frozenset(
    [("inet", name) for name in routed_chains((), ())] + [("bridge", name) for name in bridged_chains()]
)


def base_tables(
    uplinks: Sequence[str] = (), forbidden: Sequence[str] = (), vteps: Sequence[str] = (), pace: int = PACE
) -> str:
    """What stands once per host. A guest reaches other guests, and the world through ``uplinks`` only; there it never
    reaches the ``forbidden`` ranges (the infrastructure's, of both families), nor link-local addresses. ``vteps``: the
    ranges of tunnel ends, which are forbidden as well; the host takes tunnels from nobody else. ``pace``: connections a
    second that a port may begin, and take."""
    families = (("inet", routed_chains(uplinks, forbidden, vteps, pace)), ("bridge", bridged_chains(pace)))
    paces = (f"add set {family} {TABLE} {name} {PACED}" for family, name in PACES)
    return _text(*_ground(), *paces, *(line for family, chains in families for line in _standing(family, chains)))


def pace_again() -> str:
    """Each port begins anew. One that is busy keeps the pace that it began with, whatever the rules say by now."""
    return _text(*(f"flush set {family} {TABLE} {name}" for family, name in PACES))


def base_removal() -> str:
    """All of ours away, the servers' chains included."""
    families = ("netdev", "inet", "bridge")
    return _text(*(f"{verb} table {family} {TABLE}" for family in families for verb in ("add", "delete")))


def server_rules(plan: PortPlan) -> str:
    """All ports of a server: what it may send, and the rules in effect. Its taps and `base_tables` are there before."""
    taps = [(tap_name(plan.server_id), public_guard(plan.public))]
    taps += [(private_tap_name(port.member_id), private_guard(port)) for port in plan.private]
    guards = (line for tap, rules in taps for line in _guard(tap, rules))
    return _text(*_ground(), *guards) + server_filters(plan)


def server_filters(plan: PortPlan) -> str:
    """The part of `server_rules` that changes with firewalls; connections that were let through live on."""
    public = [(tap_name(plan.server_id), public_inbound(plan), outbound(plan, LEAVE, ("ip", "ip6")))]
    private = [
        (private_tap_name(port.member_id), private_inbound(plan), outbound(plan, CROSS, ("ip",)))
        for port in plan.private
    ]
    return _text(*_filters("inet", public), *_filters("bridge", private))


def server_removal(taps: Iterable[str]) -> str:
    """Everything about the taps away, public and private; also when some or all of it is gone already."""
    return _text(*_ground(), *(line for tap in sorted(taps) for line in _tap_removal(tap)))


def network_rules(vni: int, zone: int) -> str:
    """A private network's connections are tracked by themselves: other networks have the same addresses. Nothing
    passes its bridge before. ``zone``: of `ZONES`, on this host no other network's."""
    if zone not in ZONES:
        raise ValueError(f"a zone is from {ZONES.start} to {ZONES.stop - 1}, not {zone}")
    bridge = bridge_name(vni)
    chain = _replaced("inet", bridge, [f"ct zone set {zone}"])
    return _text(*_ground(), *chain, _listed("inet", "networks", bridge, bridge))


def network_removal(vni: int) -> str:
    """Also when it is gone already."""
    bridge = bridge_name(vni)
    return _text(*_ground(), *_unlisted("inet", "networks", bridge, bridge), *_removed("inet", bridge))


def guarded(plan: PortPlan, chains: Container[Chain]) -> bool:
    """Whether everything that the plan's ports need is among the ``chains``, and what leads to it."""
    taps = [tap_name(plan.server_id), *(private_tap_name(port.member_id) for port in plan.private)]
    networks = {("inet", bridge_name(port.vni)) for port in plan.private}
    needed = STANDING.union(networks, *(_chains_of(tap) for tap in taps))
    return all(chain in chains for chain in needed)


def taps_in(chains: Iterable[str]) -> set[str]:
    """The taps of which any of the named chains remain."""
    names = {name.removeprefix(INBOUND).removeprefix(OUTBOUND) for name in chains}
    return {name for name in names if server_of(name) is not None or member_of(name) is not None}


def _ground() -> Iterator[str]:
    for family in ("netdev", "inet", "bridge"):
        yield f"add table {family} {TABLE}"
    for family, name in MAPS:
        yield f"add map {family} {TABLE} {name} {{ {KEYED}; }}"


def _standing(family: str, chains: Chains) -> Iterator[str]:
    """All of them are there before the first rule that leads to another."""
    for name in chains:
        hook = f" {{ type filter hook {HOOKS[name]}; policy accept; }}" if name in HOOKS else ""
        yield f"add chain {family} {TABLE} {name}{hook}"
        yield f"flush chain {family} {TABLE} {name}"
    yield f"table {family} {TABLE} {{"
    for name, rules in chains.items():
        yield from _chain(name, rules)
    yield "}"


def _guard(tap: str, rules: Sequence[str]) -> Iterator[str]:
    """Named with its hook each time: the chain may be there and have lost its device with an earlier tap."""
    hook = f'{{ type filter hook ingress device "{tap}" priority -300; policy drop; }}'
    return _replaced("netdev", tap, rules, hook)


def _filters(family: str, taps: Iterable[tuple[str, Sequence[str], Sequence[str]]]) -> Iterator[str]:
    for tap, come_in, go_out in taps:
        for prefix, name, rules in ((INBOUND, "inbound", come_in), (OUTBOUND, "outbound", go_out)):
            yield from _replaced(family, prefix + tap, rules)
            yield _listed(family, name, tap, prefix + tap)


def _tap_removal(tap: str) -> Iterator[str]:
    (_, guard), (family, inbound), (_, outbound) = _chains_of(tap)
    for name, chain in (("inbound", inbound), ("outbound", outbound)):
        yield from _unlisted(family, name, tap, chain)
        yield from _removed(family, chain)
    yield from _removed("netdev", guard)


def _chains_of(tap: str) -> tuple[Chain, Chain, Chain]:
    """What it may send, what may come in, and what may go out."""
    if server_of(tap) is None and member_of(tap) is None:
        raise ValueError(f"not a guest's tap: {tap!r}")
    family = "bridge" if server_of(tap) is None else "inet"
    return ("netdev", tap), (family, INBOUND + tap), (family, OUTBOUND + tap)


def _replaced(family: str, chain: str, rules: Iterable[str], hook: str = "") -> Iterator[str]:
    """nft 1.0.6 knows no "if it is there": what was just added can be emptied, and deleted."""
    yield f"add chain {family} {TABLE} {chain} {hook}".rstrip()
    yield f"flush chain {family} {TABLE} {chain}"
    yield f"table {family} {TABLE} {{"
    yield from _chain(chain, rules)
    yield "}"


def _removed(family: str, chain: str) -> Iterator[str]:
    for verb in ("add", "flush", "delete"):
        yield f"{verb} chain {family} {TABLE} {chain}"


def _listed(family: str, name: str, interface: str, chain: str) -> str:
    """Said as a map: for `add element`, nft would first read every set of ranges that the host has."""
    return f'add map {family} {TABLE} {name} {{ {KEYED}; elements = {{ "{interface}" : goto {chain} }}; }}'


def _unlisted(family: str, name: str, interface: str, chain: str) -> Iterator[str]:
    yield f"add chain {family} {TABLE} {chain}"
    yield _listed(family, name, interface, chain)
    yield f'delete element {family} {TABLE} {name} {{ "{interface}" }}'


def _chain(name: str, rules: Iterable[str]) -> Iterator[str]:
    yield f"  chain {name} {{"
    for rule in rules:
        yield f"    {rule}"
    yield "  }"


def _text(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)
