"""A server's seed: the four documents of a cloud-init NoCloud volume, decided here, written by the drivers.

Network: static addresses. The public interface has the platform's gateways on-link (172.31.1.1 and fe80::1 on every
host, so that nothing in the guest changes when its host does); each private network is a further one, without IPv6.
Documents are JSON, which is YAML, so no quoting can go wrong. Source: cloud-init's NoCloud and network-config v2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from infra.domain.guest_network import Nic, private_nics
from infra.domain.models import Machine
from infra.domain.port_plan import PortPlan, PublicPort

GATEWAY4, GATEWAY6 = "172.31.1.1", "fe80::1"


@dataclass(frozen=True, slots=True)
class Seed:
    """What each file of the volume (label ``cidata``) holds."""

    meta_data: str
    user_data: str
    vendor_data: str
    network_config: str

    @property
    def files(self) -> dict[str, bytes]:
        return {
            "meta-data": self.meta_data.encode(),
            "user-data": self.user_data.encode(),
            "vendor-data": self.vendor_data.encode(),
            "network-config": self.network_config.encode(),
        }


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a region's guests have in common. ``private_mtu``: bytes, of private networks."""

    nameservers: tuple[str, ...] = ()
    private_mtu: int = 1450


def seed_of(
    machine: Machine, plan: PortPlan, ssh_keys: list[str], user_data: str, vendor_data: str, around: Surroundings
) -> Seed:
    """``ssh_keys``: OpenSSH public key lines for root. ``user_data`` goes in verbatim."""
    meta = {"instance-id": machine.instance_id, "local-hostname": machine.name, "public-keys": ssh_keys}
    return Seed(
        meta_data="".join(f"{key}: {json.dumps(value)}\n" for key, value in meta.items()),
        user_data=user_data,
        vendor_data=vendor_data,
        network_config=json.dumps(network_config(plan, around), indent=1) + "\n",
    )


def network_config(plan: PortPlan, around: Surroundings) -> dict[str, object]:
    """The netplan v2 document. Names are set: cloud-init finds an interface by its MAC, and then writes a configuration
    that asks for its name as well. Privately nothing advertises routers: nobody shall wait for one."""
    ethernets = {"eth0": _public(plan.public, around.nameservers)}
    for number, nic in enumerate(private_nics(plan), 1):
        ethernets[f"eth{number}"] = _private(nic, around.private_mtu)
    return {"version": 2, "ethernets": {name: {"set-name": name, **rest} for name, rest in ethernets.items()}}


def _public(port: PublicPort, nameservers: Sequence[str]) -> dict[str, object]:
    addresses, routes = [], []
    if port.ipv4:
        addresses.append(f"{port.ipv4}/32")
        routes.append({"to": "0.0.0.0/0", "via": GATEWAY4, "on-link": True})
    if port.ipv6_network:
        addresses.append(port.ipv6_network.replace("::/64", "::1/64"))
        routes.append({"to": "::/0", "via": GATEWAY6, "on-link": True})
    interface = {"match": {"macaddress": port.mac}, "dhcp4": False, "addresses": addresses, "routes": routes}
    return {**interface, "nameservers": {"addresses": list(nameservers)}} if nameservers else interface


def _private(nic: Nic, mtu: int) -> dict[str, object]:
    return {
        "match": {"macaddress": nic.mac},
        "dhcp4": False,
        "accept-ra": False,
        "mtu": mtu,
        "addresses": list(nic.addresses),
        "routes": [{"to": route.destination, "via": route.gateway} for route in nic.routes],
    }
