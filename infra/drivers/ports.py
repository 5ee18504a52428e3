"""A server's way to the network: a routed tap that QEMU opens, the routes to it, and the rules that guard it.

Each tap carries the same gateway (172.31.1.1, fe80::1) under the same MAC, on every host, so nothing changes for a
guest that starts elsewhere. The server's addresses are host routes with a protocol number of our own: whatever
distributes routes can tell them. Order: the tap, down; its rules; then addresses and routes. A guest never has a port
without rules, and no packet is attracted before there is somewhere to put it.

All of it lives in the network namespace of the calling process.
"""

from __future__ import annotations

import errno
import pwd
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import Any, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from infra.domain import firewall_rules
from infra.domain.errors import HostUnavailable
from infra.domain.port_names import server_of, tap_name
from infra.domain.port_plan import PortPlan
from infra.domain.seed import GATEWAY4, GATEWAY6
from infra.drivers import nft
from infra.drivers.threads import KeyedLocks, run

ROUTE_PROTOCOL = 210  # rtm_protocol: "this route belongs to the host worker"; from the range that nobody has registered
POOL_METRIC = 2**31  # far behind whatever else knows a way to a pool
TAP_MAC = "fe:00:00:00:00:01"
SYSCTLS = Path("/proc/sys/net")

TUN_TAP = 2
SCOPE_LINK, SCOPE_ANY = 253, 255
NEIGHBOUR_PERMANENT = 0x80
ADDRESS_WITHOUT_DAD = 0x02

T = TypeVar("T")


class RoutedPorts:
    """Routed ports. ``pools``: the networks that servers' addresses are from. ``owner``: the user who opens taps."""

    def __init__(self, uplinks: Sequence[str] = (), pools: Sequence[str] = (), owner: str = "libvirt-qemu") -> None:
        self._uplinks, self._pools = tuple(uplinks), tuple(pools)
        user = pwd.getpwnam(owner)
        self._owner = (user.pw_uid, user.pw_gid)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="ports")
        self._locks = KeyedLocks[int]()
        self._attached: dict[int, PortPlan] = {}  # by this process; at its start the worker attaches whoever runs

    async def open(self) -> None:
        """Make the host a router for its guests: forwarding, base rules, and an end for packets to absent guests."""
        await self._do(self._open)

    async def close(self) -> None:
        """Take the ground away when no server stands on it; as long as one does, everything stays as it is."""
        if not await self.held():
            await self._do(self._close)
        self._threads.shutdown(wait=False)

    async def attach(self, plan: PortPlan) -> None:
        async with self._locks.hold(plan.server_id):
            await self._do(partial(self._attach, plan))
            self._attached[plan.server_id] = plan

    async def detach(self, server_id: int) -> None:
        async with self._locks.hold(server_id):
            self._attached.pop(server_id, None)
            await self._do(partial(self._detach, server_id))

    async def mend(self) -> set[int]:
        """Attach again whom somebody took the rules from (a restart of the nftables service flushes them all)."""
        chains = await self._do(partial(nft.chains, firewall_rules.TABLE))
        bare = {server for server, plan in self._attached.items() if not firewall_rules.guarded(plan, chains)}
        for server_id in sorted(bare):
            async with self._locks.hold(server_id):
                if plan := self._attached.get(server_id):
                    await self._do(partial(self._attach, plan))
        return bare

    async def held(self) -> set[int]:
        return await self._do(self._held)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await run(self._threads, work)
        except (NetlinkError, nft.NftError, OSError) as error:
            raise HostUnavailable("the server's network could not be prepared") from error

    def _open(self) -> None:
        for uplink in self._uplinks:
            _sysctl(f"ipv4/conf/{uplink}/forwarding", 1)
        _forward_ipv6()
        nft.apply(firewall_rules.base_tables(self._uplinks))
        with IPRoute() as netlink:
            for pool in self._pools:
                _pool_route(netlink, "replace", pool)

    def _close(self) -> None:
        nft.apply(firewall_rules.base_removal())
        with IPRoute() as netlink:
            for pool in self._pools:
                with _gone_is_fine():
                    _pool_route(netlink, "del", pool)

    def _attach(self, plan: PortPlan) -> None:
        tap, public = tap_name(plan.server_id), plan.public
        rules = firewall_rules.server_rules(plan)
        with IPRoute() as netlink:
            index = self._ensure_tap(netlink, plan.server_id)
            # With the base rules each time: should somebody have flushed the ruleset, no guest runs unguarded.
            nft.apply(firewall_rules.base_tables(self._uplinks) + rules)
            _ensure_gateway(netlink, index, tap)
            for address in public.addresses:
                netlink.neigh("replace", dst=address, lladdr=public.mac, ifindex=index, state=NEIGHBOUR_PERMANENT)
            _ensure_routes(netlink, index, [f"{public.ipv4}/32"] if public.ipv4 else [], AF_INET)
            _ensure_routes(netlink, index, [public.ipv6_network] if public.ipv6_network else [], AF_INET6)

    def _detach(self, server_id: int) -> None:
        tap = tap_name(server_id)
        nft.apply(firewall_rules.server_removal([tap]))
        with IPRoute() as netlink, _gone_is_fine():
            netlink.link("del", ifname=tap)  # and with it its addresses, neighbours and routes

    def _held(self) -> set[int]:
        with IPRoute() as netlink:
            taps = {server_of(link.get("ifname")) for link in netlink.get_links()}
        rules = map(server_of, firewall_rules.taps_in(name for _, name in nft.chains(firewall_rules.TABLE)))
        return {server for server in (*rules, *taps) if server is not None}

    def _ensure_tap(self, netlink: IPRoute, server_id: int) -> int:
        name, (uid, gid) = tap_name(server_id), self._owner
        link = _link(netlink, name)
        if link is not None and not _is_tap_of(link, uid):
            netlink.link("del", index=link["index"])
            link = None
        if link is None:
            # vnet_hdr: checksums and segmentation may be left to the other end. One queue, as in the domain XML.
            tun = {"tun_type": TUN_TAP, "tun_owner": uid, "tun_group": gid, "tun_vnet_hdr": 1, "tun_multi_queue": 0}
            netlink.link("add", ifname=name, kind="tun", **tun)
            link = _link(netlink, name)
            assert link is not None
        if link.get("address") != TAP_MAC:
            netlink.link("set", index=link["index"], address=TAP_MAC, IFLA_IFALIAS=f"puchify server {server_id}")
        return int(link["index"])


def _link(netlink: IPRoute, name: str) -> Any:
    with _gone_is_fine():
        return netlink.link("get", ifname=name)[0]
    return None


def _is_tap_of(link: Any, uid: int) -> bool:
    return bool(link.get(("linkinfo", "kind")) == "tun" and link.get(("linkinfo", "data", "tun_owner")) == uid)


def _ensure_gateway(netlink: IPRoute, index: int, tap: str) -> None:
    _sysctl(f"ipv6/conf/{tap}/addr_gen_mode", 1)  # no link-local address but the gateway's
    _sysctl(f"ipv6/conf/{tap}/accept_ra", 0)
    _sysctl(f"ipv6/conf/{tap}/accept_dad", 0)
    _sysctl(f"ipv4/conf/{tap}/arp_ignore", 1)  # answer for this tap's address, not for every address of the host
    _sysctl(f"ipv4/conf/{tap}/rp_filter", 1)
    _sysctl(f"ipv4/conf/{tap}/forwarding", 1)
    netlink.link("set", index=index, state="up")
    netlink.addr("replace", index=index, address=GATEWAY4, prefixlen=32)
    netlink.addr("replace", index=index, address=GATEWAY6, prefixlen=64, flags=ADDRESS_WITHOUT_DAD)


def _ensure_routes(netlink: IPRoute, index: int, wanted: list[str], family: int) -> None:
    for route in netlink.get_routes(family=family, oif=index, proto=ROUTE_PROTOCOL):
        there = f"{route.get('dst')}/{route['dst_len']}"
        if there not in wanted:
            with _gone_is_fine():
                # Any scope: IPv4 device routes have link scope, and a scope that differs is "no such route".
                netlink.route("del", family=family, dst=there, oif=index, proto=ROUTE_PROTOCOL, scope=SCOPE_ANY)
    scope = {"scope": SCOPE_LINK} if family == AF_INET else {}
    for destination in wanted:
        netlink.route("replace", family=family, dst=destination, oif=index, proto=ROUTE_PROTOCOL, **scope)


def _pool_route(netlink: IPRoute, verb: str, pool: str) -> None:
    network = ip_network(pool)
    family = AF_INET if network.version == 4 else AF_INET6
    route = {"type": "unreachable", "proto": ROUTE_PROTOCOL, "priority": POOL_METRIC}
    netlink.route(verb, family=family, dst=str(network), **route)


def _forward_ipv6() -> None:
    # IPv6 forwards on all interfaces or on none. A router ignores advertisements unless told to go on listening
    # (accept_ra 2): the host must not lose its own default route by becoming one.
    if (SYSCTLS / "ipv6/conf/all/forwarding").read_text().strip() == "1":
        return
    for accept in (SYSCTLS / "ipv6/conf").glob("*/accept_ra"):
        if accept.read_text().strip() == "1":
            accept.write_text("2")
    _sysctl("ipv6/conf/all/forwarding", 1)


def _sysctl(name: str, value: int) -> None:
    path = SYSCTLS / name
    if path.read_text().strip() != str(value):
        path.write_text(str(value))


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code not in (errno.ENODEV, errno.ESRCH):
            raise
