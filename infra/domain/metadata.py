"""The metadata service's answers: what a guest may know of itself, by path. Decided here, served by its host.

Paths and forms are Hetzner Cloud's, as its clients read them: cloud-init's DataSourceHetzner and Ignition's afterburn
take network-config for version 1 of cloud-init's format with the public interface alone, public-keys for JSON when
asked for by itself, and the instance-id for a number. `NETWORK` is ours, for the agent: lines that a shell can read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from infra.domain.guest_network import private_nics
from infra.domain.networks import DEFAULT_ROUTE, gateway_of
from infra.domain.port_plan import PortPlan, PrivatePort
from infra.domain.seed import GATEWAY4, GATEWAY6, Surroundings

ADDRESS = "169.254.169.254"
METADATA, USER_DATA = "/hetzner/v1/metadata", "/hetzner/v1/userdata"
NETWORK = "/puchify/v1/network"
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9.-]*|\d+(\.\d+){3}|ssh-[a-z0-9]+ [A-Za-z0-9+/=]+( [A-Za-z0-9@._-]+)?", re.ASCII)
WORDS = frozenset({"y", "yes", "n", "no", "true", "false", "on", "off", "null", "nan", "inf"})
"""That YAML takes for something else than text."""
ALIKE = Surroundings()


@dataclass(frozen=True, slots=True)
class KnownNetwork:
    """What is told of a network beyond what ports are made of. ``subnet``: the one that the server's address is in."""

    member_id: int
    name: str
    subnet: str


@dataclass(frozen=True, slots=True)
class Guest:
    """All that a server's guest may ask for. User data and vendor data are its owner's secrets."""

    plan: PortPlan
    hostname: str
    ssh_keys: tuple[str, ...]
    user_data: str
    has_agent: bool
    availability_zone: str
    region: str
    networks: tuple[KnownNetwork, ...] = ()
    vendor_data: str = ""
    around: Surroundings = ALIKE


def answers(guest: Guest) -> dict[str, bytes]:
    """By path, without a slash at its end."""
    plan, nics = guest.plan, private_nics(guest.plan)
    singles = {
        "availability-zone": guest.availability_zone,
        "hostname": guest.hostname,
        "instance-id": str(plan.server_id),
        "local-ipv4": nics[0].addresses[0].partition("/")[0] if nics else "",
        "network-config": json.dumps(network_config(guest)),
        "public-ipv4": plan.public.ipv4 or "",
        "public-keys": json.dumps(guest.ssh_keys),
        "region": guest.region,
        "vendor_data": guest.vendor_data,
    }
    texts = {f"{METADATA}/{name}": text for name, text in singles.items()}
    texts |= {
        METADATA: summary(guest, singles),
        f"{METADATA}/private-networks": private_networks(guest),
        USER_DATA: guest.user_data,
        NETWORK: agent_lines(guest),
    }
    return {path: text.encode() for path, text in texts.items()}


def summary(guest: Guest, singles: Mapping[str, str]) -> str:
    """All of it but networks and user data, as one YAML document."""
    keys = "".join(f"\n- {scalar(key)}" for key in guest.ssh_keys) or " []"
    as_they_are = {"instance-id", "network-config"}
    values = {name: text if name in as_they_are else scalar(text) for name, text in singles.items()}
    lines = {**{name: f" {value}" for name, value in values.items()}, "public-keys": keys}
    return "".join(f"{name}:{value}\n" for name, value in lines.items())


def private_networks(guest: Guest) -> str:
    """A YAML list; numbered as the interfaces are named at boot."""
    known = {network.member_id: network for network in guest.networks}
    ports = sorted(guest.plan.private, key=lambda port: port.member_id)
    return "".join(_private_network(number, port, known) for number, port in enumerate(ports, 1)) or "[]\n"


def _private_network(number: int, port: PrivatePort, known: Mapping[int, KnownNetwork]) -> str:
    network = known.get(port.member_id) or KnownNetwork(port.member_id, "", port.ip_range)
    fields = {
        "ip": port.ip,
        "alias_ips": f"[{', '.join(port.aliases)}]",
        "interface_num": str(number),
        "mac_address": port.mac,
        "network_id": str(port.network_id),
        "network_name": scalar(network.name),
        "network": port.ip_range,
        "subnet": network.subnet,
        "gateway": str(gateway_of(IPv4Network(port.ip_range))),
    }
    return "- " + "  ".join(f"{name}: {value}\n" for name, value in fields.items())


def network_config(guest: Guest) -> dict[str, object]:
    """Of the public interface. Addresses are static, whatever is written elsewhere: nobody here speaks DHCP."""
    port, subnets = guest.plan.public, []
    nameservers = {"dns_nameservers": list(guest.around.nameservers)} if guest.around.nameservers else {}
    if port.ipv4:
        subnets.append({"type": "static", "ipv4": True, "address": f"{port.ipv4}/32", "gateway": GATEWAY4})
    if port.ipv6_network:
        ipv6 = port.ipv6_network.replace("::/64", "::1/64")
        subnets.append({"type": "static", "ipv6": True, "address": ipv6, "gateway": GATEWAY6})
    interface = {"type": "physical", "name": "eth0", "mac_address": port.mac}
    return {"version": 1, "config": [{**interface, "subnets": [{**subnet, **nameservers} for subnet in subnets]}]}


def agent_lines(guest: Guest) -> str:
    """What the agent makes of private NICs: ``nic MAC MTU``, then its ``address A/LENGTH`` and ``route TO VIA``, as
    `ip` writes them. ``end`` says that nothing is missing."""
    lines = ["network 1"]
    for nic in private_nics(guest.plan):
        lines += [f"nic {nic.mac} {guest.around.private_mtu}", *(f"address {address}" for address in nic.addresses)]
        lines += [f"route {_as_ip_writes(route.destination)} {route.gateway}" for route in nic.routes]
    return "\n".join([*lines, "end", ""])


def _as_ip_writes(destination: str) -> str:
    return "default" if destination == str(DEFAULT_ROUTE) else destination.removesuffix("/32")


def scalar(text: str) -> str:
    """A text as YAML has it: plain where nobody could take it for something else, since some read it with grep."""
    if PLAIN.fullmatch(text) and text.lower() not in WORDS:
        return text
    escaped = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped)
