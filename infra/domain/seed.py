"""A server's seed: the four documents of a cloud-init NoCloud volume, decided here, written by the drivers.

Network: one interface, static addresses, the platform's gateways on-link (172.31.1.1 and fe80::1 on every host, so
that nothing in the guest changes when its host does). Documents are JSON, which is YAML, so no quoting can go wrong.
Source: cloud-init's NoCloud datasource and network-config v2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from infra.domain.models import Machine

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


def seed_of(machine: Machine, ssh_keys: list[str], user_data: str, vendor_data: str, nameservers: list[str]) -> Seed:
    """``ssh_keys``: OpenSSH public key lines for root. ``user_data`` goes in verbatim."""
    meta = {"instance-id": machine.instance_id, "local-hostname": machine.name, "public-keys": ssh_keys}
    return Seed(
        meta_data="".join(f"{key}: {json.dumps(value)}\n" for key, value in meta.items()),
        user_data=user_data,
        vendor_data=vendor_data,
        network_config=json.dumps(network_config(machine, nameservers), indent=1) + "\n",
    )


def network_config(machine: Machine, nameservers: list[str]) -> dict[str, object]:
    """The netplan v2 document for a server's only interface."""
    addresses, routes = [], []
    if machine.addresses.ipv4:
        addresses.append(f"{machine.addresses.ipv4}/32")
        routes.append({"to": "0.0.0.0/0", "via": GATEWAY4, "on-link": True})
    if machine.addresses.ipv6:
        addresses.append(f"{machine.addresses.ipv6}/64")
        routes.append({"to": "::/0", "via": GATEWAY6, "on-link": True})
    interface: dict[str, object] = {
        "match": {"macaddress": machine.mac},
        "set-name": "eth0",
        "dhcp4": False,
        "addresses": addresses,
        "routes": routes,
    }
    if nameservers:
        interface["nameservers"] = {"addresses": nameservers}
    return {"version": 2, "ethernets": {"eth0": interface}}
