"""A server's ways to networks: taps that QEMU opens, what leads to them, and the rules that guard them.

Order: taps, down; the rules of all of them, in one transaction; then what they are connected to. So a guest never has a
port without rules, and no packet is attracted before there is somewhere to put it; taking away goes the other way
round. The kernel takes long to take a link away, so that is done beside everything else. What somebody else upsets is
mended (`port_looks`). All of it lives in the network namespace of the calling process.
"""

from __future__ import annotations

import asyncio
import logging
import pwd
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from infra.beside import end
from infra.domain import firewall_rules
from infra.domain.errors import HostFailure, HostUnavailable
from infra.domain.host_rules import PACE
from infra.domain.port_names import bridge_name, private_tap_name, server_of, tap_name
from infra.domain.port_plan import PortPlan
from infra.drivers import nft, public_ports
from infra.drivers.connections import crowding, prepare_table
from infra.drivers.links import remove_link
from infra.drivers.port_looks import Look, is_held, look, problems_of, strays_in
from infra.drivers.private_networks import PrivateNetworks
from infra.drivers.threads import KeyedLocks, run

SECOND_LOOK = 1.0
"""Seconds after an attach: by then FRR has done what it may do to entries that another host had, too."""

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HostNetwork:
    """``uplinks``: where guests may be forwarded to. ``pools``: the networks that servers' addresses are from.
    ``forbidden``: ranges that guests never reach. ``vtep``: this host's address in the tunnels of private networks; "":
    there are no other hosts. ``vteps``: the ranges that those of all hosts are from. ``private_mtu``: bytes. ``owner``:
    the user who opens taps. ``pace``: connections a second that a port may begin, and take. ``idle``: seconds without a
    packet until one is forgotten."""

    uplinks: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    vtep: str = ""
    private_mtu: int = 1450
    owner: str = "libvirt-qemu"
    vteps: tuple[str, ...] = ()
    pace: int = PACE
    idle: int = 1800

    def rules(self) -> str:
        """What stands once per host, as a text for nft."""
        return firewall_rules.base_tables(self.uplinks, self.forbidden, self.vteps, self.pace)


class HostPorts:
    def __init__(self, network: HostNetwork) -> None:
        self.network = network
        user = pwd.getpwnam(network.owner)
        self._owner = (user.pw_uid, user.pw_gid)
        self._private = PrivateNetworks(self._owner, network.vtep, network.private_mtu)
        self._makers = ThreadPoolExecutor(4, thread_name_prefix="ports")
        self._removers = ThreadPoolExecutor(8, thread_name_prefix="ports-gone")
        self._locks = KeyedLocks[int]()
        self._attached: dict[int, PortPlan] = {}
        """By this process; at its start the worker attaches whoever is here."""
        self._members: dict[int, dict[int, int]] = {}
        """By server: the private taps that are here of it, and the network each is in; 0: nobody knows any more."""
        self._loose: set[int] = set()
        self._second_looks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Make the host a router for its guests: forwarding, base rules, and an end for packets to absent guests."""
        await self._do(self._open)

    async def close(self) -> None:
        """Take the ground away when no server stands on it; as long as one does, everything stays as it is."""
        await end(self._second_looks.copy())
        if not await self.held():
            await self._do(self._close)
        self._makers.shutdown(wait=False)
        self._removers.shutdown(wait=False)

    async def attach(self, plan: PortPlan) -> None:
        async with self._locks.hold(plan.server_id):
            await self._make(plan, self._attached.pop(plan.server_id, None))
            self._attached[plan.server_id] = plan
        if plan.private and self.network.vtep:
            task = asyncio.create_task(self._look_again(plan), name=f"second look at server {plan.server_id}")
            self._second_looks.add(task)
            task.add_done_callback(self._second_looks.discard)

    async def detach(self, server_id: int) -> None:
        async with self._locks.hold(server_id):
            self._attached.pop(server_id, None)
            members = dict(self._members.get(server_id, {}))
            await self._take_away(members, server_id)
            self._members.pop(server_id, None)

    async def guard(self) -> set[int]:
        """Attach again whose rules somebody took away (a restart of the nftables service flushes all of them)."""
        known = dict(self._attached)
        chains = await self._do(partial(nft.chains, firewall_rules.TABLE))
        bare = {server: "firewall rules" for server, plan in known.items() if not firewall_rules.guarded(plan, chains)}
        return await self._make_again(known, bare)

    async def mend(self) -> set[int]:
        """The same for all that is to be there, which takes as long as there are servers; and clear away what is
        nobody's."""
        known = dict(self._attached)
        # A chain that somebody emptied is there, and looks well: those of the host are said again each time.
        await self._do(partial(nft.apply, self._base()))
        seen = await self._do(look)
        tunnels, mtu = bool(self.network.vtep), self.network.private_mtu
        wrong = {server: what for server, plan in known.items() if (what := problems_of(plan, seen, tunnels, mtu))}
        mended = await self._make_again(known, wrong)
        self._loose = {server for server, plan in known.items() if not is_held(plan, seen)}
        await self._clear(seen)
        return mended

    async def _make_again(self, known: Mapping[int, PortPlan], wrong: Mapping[int, str]) -> set[int]:
        """``known``: what was attached before anybody looked; who has changed since is somebody's work."""
        for server_id in sorted(wrong):
            async with self._locks.hold(server_id):
                if self._attached.get(server_id) is known[server_id]:
                    log.warning("server %s lacks %s", server_id, wrong[server_id])
                    try:
                        await self._make(known[server_id])
                    except HostFailure:
                        log.exception("the ports of server %s could not be mended", server_id)
        return set(wrong)

    def loose(self) -> dict[int, tuple[int, ...]]:
        """The servers of which some tap was gone, or nobody's, when all was looked at last, as of one that is off; with
        their members."""
        return {server: plan.members for server in self._loose if (plan := self._attached.get(server))}

    def hindrances(self) -> list[str]:
        """What the host lacks, in words."""
        return [*self._private.hindrances(), *crowding()]

    async def held(self) -> set[int]:
        return await self._do(self._held)

    async def _make(self, plan: PortPlan, before: PortPlan | None = None) -> None:
        """All that the plan has, then away with what it has no more. ``before``: what was made of the server last."""
        wanted = {port.member_id: port.vni for port in plan.private}
        here = self._members.setdefault(plan.server_id, {})
        here.update(wanted)
        stale = {member: vni for member, vni in here.items() if member not in wanted}
        if stale:  # off before its rules are another's
            await self._do(partial(self._disconnect, stale))
        await self._do(partial(self._attach, plan, before))
        if stale:
            await self._take_away(stale)
            self._members[plan.server_id] = wanted

    async def _take_away(self, members: Mapping[int, int], server_id: int | None = None) -> None:
        """Private ports, and the public one with all else of a server where that is named."""
        await self._do(partial(self._disconnect, members, server_id))
        taps = _taps(members, server_id)
        await self._do(partial(nft.apply, firewall_rules.server_removal(taps)))
        await self._remove_all(partial(_remove_link, tap) for tap in taps)
        for member_id, vni in members.items():
            self._private.forget(vni, member_id)
        await self._remove_empty(set(members.values()) - {0})

    async def _look_again(self, plan: PortPlan) -> None:
        await asyncio.sleep(SECOND_LOOK)
        async with self._locks.hold(plan.server_id):
            if self._attached.get(plan.server_id) is plan:
                try:
                    await self._do(partial(self._tell_again, plan))
                except Exception:  # a task that nobody waits for
                    log.exception("the second look at server %s failed, the next is soon", plan.server_id)

    async def _clear(self, seen: Look) -> None:
        """Private taps and rules of no server, and networks without members here; those of others are let through."""
        strays = {member: vni for member, vni in strays_in(seen).items() if not self._private.is_expected(member)}
        if strays:
            log.warning("the private ports %s are nobody's: they are taken away", sorted(strays))
            await self._take_away(strays)
        others = [vni for vni in seen.networks if not self._private.has_expected(vni)]
        await self._remove_empty(others)
        for vni in others:
            if ("inet", bridge_name(vni)) not in seen.chains:
                await self._do(partial(self._track, vni))

    async def _remove_empty(self, vnis: Iterable[int]) -> None:
        await self._remove_all(partial(self._remove_if_empty, vni) for vni in vnis)

    async def _do(self, work: Callable[[], T]) -> T:
        return await _unless_unavailable(self._makers, work)

    async def _remove_all(self, works: Iterable[Callable[[], None]]) -> None:
        """At the same time, all of them to their end: nothing may be taken away that somebody makes afterwards."""
        removals = (_unless_unavailable(self._removers, work) for work in works)
        for result in await asyncio.gather(*removals, return_exceptions=True):
            if result is not None:
                raise result

    def _open(self) -> None:
        network = self.network
        nft.apply(self._base() + firewall_rules.pace_again())
        prepare_table(network.pace, network.idle)
        with IPRoute() as netlink:
            public_ports.prepare_host(netlink, network.uplinks, network.pools)
        seen = look()
        self._private.prepare_host(seen.bridges)
        self._members = {server: dict(members) for server, members in seen.members_by_server.items()}

    def _close(self) -> None:
        nft.apply(firewall_rules.base_removal())
        with IPRoute() as netlink:
            public_ports.release_host(netlink, self.network.pools)

    def _attach(self, plan: PortPlan, before: PortPlan | None) -> None:
        """With the base rules each time: should somebody have flushed the ruleset, no guest runs unguarded."""
        zones = {port.vni: self._private.expect(port) for port in plan.private}
        with IPRoute() as netlink:
            public = public_ports.make_tap(netlink, plan.server_id, self._owner)
            private = [(port, self._private.make_tap(netlink, plan.server_id, port)) for port in plan.private]
            networks = "".join(firewall_rules.network_rules(vni, zone) for vni, zone in zones.items())
            nft.apply(self._base() + networks + firewall_rules.server_rules(plan))
            for port, tap in private:
                self._private.connect(netlink, port, tap, tap.fresh or port in (before.private if before else ()))
            same = before is not None and (before.public, before.epoch) == (plan.public, plan.epoch)
            public_ports.connect(netlink, plan, public, public.fresh or same)

    def _disconnect(self, members: Collection[int], server_id: int | None = None) -> None:
        with IPRoute() as netlink:
            if server_id is not None:
                public_ports.disconnect(netlink, server_id)
            for member_id in members:
                self._private.disconnect(netlink, member_id)

    def _tell_again(self, plan: PortPlan) -> None:
        with IPRoute() as netlink:
            for port in plan.private:
                self._private.tell_again(netlink, port)

    def _held(self) -> set[int]:
        names = {name for _, name in socket.if_nameindex()}
        rules = firewall_rules.taps_in(name for _, name in nft.chains(firewall_rules.TABLE))
        public = {server for name in names | rules if (server := server_of(name)) is not None}
        members = self._members.copy().items()
        return public | {server for server, own in members if names.intersection(map(private_tap_name, own))}

    def _track(self, vni: int) -> None:
        with IPRoute() as netlink:
            self._private.track(netlink, vni, lambda *zone: nft.apply(firewall_rules.network_rules(*zone)))

    def _remove_if_empty(self, vni: int) -> None:
        with IPRoute() as netlink:
            self._private.remove_if_empty(netlink, vni, lambda vni: nft.apply(firewall_rules.network_removal(vni)))

    def _base(self) -> str:
        return self.network.rules()


async def _unless_unavailable(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    try:
        return await run(threads, work)
    except (NetlinkError, nft.NftError, OSError) as error:
        raise HostUnavailable("the server's network could not be prepared") from error


def _remove_link(name: str) -> None:
    with IPRoute() as netlink:
        remove_link(netlink, name)


def _taps(members: Collection[int], server_id: int | None) -> list[str]:
    return [*([tap_name(server_id)] if server_id is not None else []), *map(private_tap_name, members)]
