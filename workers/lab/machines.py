"""What the lab's machines do when they are switched on: hosts, and the machine that the region is controlled from.

Each finds its settings in a file of its own, as a unit's EnvironmentFile is; the lab only knows what to start.
"""

from __future__ import annotations

import json
import shlex
import sys
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from infra.drivers.libvirtd import PrivateLibvirtd
from infra.drivers.public_ports import ROUTE_PROTOCOL
from infra.lab import boot
from infra.lab.boot import Step
from infra.lab.network import PREFIX_LENGTH
from infra.lab.places import (
    CONTROL,
    EDGES,
    FABRIC,
    HOSTS,
    LOCATION,
    NAME_SERVER,
    PLACES,
    POOLS,
    PRIVATE_MTU,
    UPLINKS,
    Place,
)
from infra.lab.region import IMAGES, Region
from infra.temporal.install import default_cache
from workers.local.place import Place as Instance
from workers.local.place import kept_secret, write_private

ROOT = Path(__file__).parents[2]
HERE = Path("/run/puchify")
"""A host's directory, as it sees it itself: a short path, which QEMU's user may pass."""
LIBVIRTD = PrivateLibvirtd(HERE / "libvirt")
LIBVIRT_CACHE = default_cache() / "libvirt"
"""What libvirt found out about QEMU: that takes each host four seconds, and libvirt knows when it is outdated."""
EDGE_RUN = HERE / "edge"
READY = Path("/run/ready")
"""On the control machine: all of it answers."""
API, TEMPORAL, DNS = 8080, 7233, 5354

# The API and Temporal listen on loopback, where nobody but they may; the machine's door lets the switch in.
FRONT = f"""
table ip front {{
  chain in {{
    type nat hook prerouting priority -100;
    iifname eth0 tcp dport {{ {API}, {TEMPORAL} }} dnat to 127.0.0.1;
  }}
}}
"""


NAMES_FRONT = """
table ip names {{
  chain in {{
    type nat hook prerouting priority -100;
    ip daddr {name_server} meta l4proto {{ tcp, udp }} th dport 53 dnat to {control}:{port};
  }}
  chain out {{ type nat hook postrouting priority 100; oifname eth0 masquerade; }}
}}
"""


def control_address() -> str:
    return PLACES[CONTROL].management


def node_key(region: Region, place: Place) -> str:
    return kept_secret(region.nodes[place.name].directory / "key")


def control_state(region: Region) -> Path:
    return region.nodes[CONTROL].directory / "state"


def write_control(region: Region) -> None:
    node = region.nodes[CONTROL]
    lab = region.lab
    told = {
        "state": str(control_state(region)),
        "location": LOCATION,
        "address_pools": list(POOLS),
        "host": "libvirt",
        "dns_address": [control_address()],
        "dns_port": DNS,
        **_store(region),
    }
    front = node.directory / "front.nft"
    write_private(front, FRONT)
    boot.write(
        node,
        # After a power failure it names a process of the last run, whose number another one has by now.
        Step(("rm", "-f", str(Instance(control_state(region)).postgres / "data" / "postmaster.pid"))),
        Step(("sysctl", "--quiet", "net.ipv4.conf.eth0.route_localnet=1")),
        Step(("nft", "-f", str(front))),
        Step(_ours(_environment(node.directory, told), "workers.lab.control", str(lab.directory)), kept=True),
    )


def write_edge(region: Region, place: Place) -> None:
    """Load balancers are served here. The world asks for names here as well; the name server itself stands beside its
    books, on the control machine."""
    node = region.nodes[place.name]
    told = {
        "state": str(HERE / "state"),
        "location": LOCATION,
        "host": "libvirt",
        "edge_id": place.number,
        "edge_key": node_key(region, place),
        "internal_url": f"http://{control_address()}:{API}",
        "temporal_address": f"{control_address()}:{TEMPORAL}",
        "edge_run": str(EDGE_RUN),
        "vtep": place.router_id,
        "vteps": list(FABRIC.vteps),
        "private_mtu": PRIVATE_MTU,
    }
    node.directory.mkdir(parents=True, exist_ok=True)
    settings = _environment(node.directory, told)
    front = node.directory / "front.nft"
    write_private(front, NAMES_FRONT.format(name_server=NAME_SERVER, control=control_address(), port=DNS))
    route = ("ip", "route", "replace", f"{NAME_SERVER}/32", "dev", "names", "proto", str(ROUTE_PROTOCOL))
    boot.write(
        node,
        Step(("nft", "-f", str(front))),
        # Only a route: FRR would take an address of the same length for the better one, and not announce it.
        Step(("ip", "link", "add", "names", "up", "type", "bridge")),
        Step(route),
        Step(_ours(settings, "workers.cli", "edge", "haproxy"), kept=True),
        Step(_once_there(control_address(), API, _ours(settings, "workers.cli", "worker", "edge")), kept=True),
    )


def write_host(region: Region, place: Place) -> None:
    """Its disks are an XFS in a file; libvirt's notes of running guests go with the power, as the guests do."""
    node = region.nodes[place.name]
    node.directory.mkdir(parents=True, exist_ok=True)
    told = {
        "state": str(HERE / "state"),
        "location": LOCATION,
        "host": "libvirt",
        "host_id": place.number,
        "host_key": node_key(region, place),
        "internal_url": f"http://{control_address()}:{API}",
        "temporal_address": f"{control_address()}:{TEMPORAL}",
        "host_path": str(HERE / "disks"),
        "host_run": str(HERE / "guests"),
        "libvirt_uri": LIBVIRTD.uri,
        "uplinks": list(UPLINKS),
        "address_pools": list(POOLS),
        "forbidden": [str(ip_interface(f"{place.management}/{PREFIX_LENGTH}").network)],
        "vtep": place.router_id,
        "vteps": list(FABRIC.vteps),
        "private_mtu": PRIVATE_MTU,
        **_store(region),
    }
    settings = _environment(node.directory, told)
    LIBVIRT_CACHE.mkdir(mode=0o711, parents=True, exist_ok=True)
    boot.write(
        node,
        Step(("mkdir", "-p", str(HERE))),
        Step(("mount", "--bind", str(node.directory), str(HERE))),
        Step(_ours(settings, "workers.lab.ground", str(LIBVIRT_CACHE))),
        Step(LIBVIRTD.argv(), kept=True),
        Step(("sh", "-c", f"until virsh --connect {shlex.quote(LIBVIRTD.uri)} version; do sleep 0.1; done")),
        Step(_once_there(control_address(), API, _ours(settings, "workers.cli", "worker", "host")), kept=True),
    )


def write_all(region: Region) -> None:
    write_control(region)
    for place in HOSTS:
        write_host(region, place)
    for place in EDGES:
        write_edge(region, place)


def _once_there(address: str, port: int, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Begin when somebody listens there: to be started in vain over and over takes more than to wait."""
    wait = f"until (exec 3<>/dev/tcp/{address}/{port}) 2>/dev/null; do sleep 0.3; done"
    return ("bash", "-c", f'{wait}; exec "$@"', "bash", *argv)


def _store(region: Region) -> dict[str, Any]:
    return {"image_store": str(IMAGES), "image_store_engine": region.lab.engine().name}


def _environment(directory: Path, told: dict[str, Any]) -> Path:
    path = directory / "settings.env"
    written = {key: value if isinstance(value, str) else json.dumps(value) for key, value in told.items()}
    write_private(path, "".join(f"PUCHIFY_{key.upper()}={shlex.quote(value)}\n" for key, value in written.items()))
    return path


def _ours(settings: Path, module: str, *words: str) -> tuple[str, ...]:
    line = shlex.join(("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", module, *words))
    return ("sh", "-c", f"set -a; . {shlex.quote(str(settings))}; exec {line}")
