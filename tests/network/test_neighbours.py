"""Nobody fills the host's table of neighbours, which all of its guests share."""

from __future__ import annotations

import asyncio
import struct
import subprocess
from ipaddress import IPv6Address

from infra.domain.port_names import tap_name
from infra.drivers.ports import HostPorts
from tests.host.frames import GuestEnd, ipv6, ping6
from tests.host.test_ports import ALICE, BOB
from tests.network.fix_wire import await_carrier
from tests.port_plans import plan_for

MANY = 200


def neighbours(tap: str) -> set[str]:
    told = subprocess.run(("ip", "-6", "neigh", "show", "dev", tap), check=True, capture_output=True, text=True).stdout
    return {line.split()[0] for line in told.splitlines()}


def solicitation(mac: str, source: str) -> bytes:
    """For the gateway."""
    body = struct.pack("!BBHI", 135, 0, 0, 0) + IPv6Address("fe80::1").packed + b"\x01\x01"
    return ipv6(mac, source, "ff02::1:ff00:1", 58, body + bytes.fromhex(mac.replace(":", "")), checksum_at=2)


async def test_a_scan_of_a_network_looks_for_nobody(ports: HostPorts) -> None:
    for machine in (ALICE, BOB):
        await ports.attach(plan_for(machine, accepts=True))
    taps = tap_name(ALICE.server_id), tap_name(BOB.server_id)
    with GuestEnd(taps[0]) as alice, GuestEnd(taps[1]) as bob:
        await asyncio.to_thread(await_carrier, *taps)
        before = neighbours(taps[1])
        for number in range(MANY):
            alice.send(ping6(ALICE.mac, "2001:db8:77:b::1", f"2001:db8:77:c::1:{number:x}", b"SCAN"))
        alice.send(ping6(ALICE.mac, "2001:db8:77:b::1", "2001:db8:77:c::ffff", b"LAST"))
        bob.until(b"LAST")  # whatever addresses of its network it has
        assert neighbours(taps[1]) == before


async def test_a_guest_of_many_addresses_is_a_few_neighbours_at_a_time(ports: HostPorts) -> None:
    await ports.attach(plan_for(ALICE))
    tap = tap_name(ALICE.server_id)
    with GuestEnd(tap) as alice:
        await asyncio.to_thread(await_carrier, tap)
        for number in range(MANY):
            alice.send(solicitation(ALICE.mac, f"fe80::5:{number:x}"))
        alice.send(ping6(ALICE.mac, "2001:db8:77:b::1", "fe80::1", b"LAST"))
        alice.until(b"LAST")
        assert len(neighbours(tap)) < MANY / 2
