"""FRR on a machine of the lab: the packaged daemons under their own watchman, as a real host runs them.

The machine's /etc/frr and /run/frr are its own, so every command of FRR works in there as it does elsewhere.
"""

from __future__ import annotations

import shutil

from infra.lab.nodes import Node

PACKAGES = ("frr",)
DAEMONS = ("zebra", "bgpd", "bfdd", "staticd")
WATCH = "/usr/lib/frr/watchfrr"

# A netlink buffer as large as the package's; nobody listens on a network for vtysh.
FILE = """
bgpd=yes
bfdd=yes
vtysh_enable=yes
zebra_options="-A 127.0.0.1 -s 90000000 -P 0"
bgpd_options="-A 127.0.0.1 -P 0"
bfdd_options="-A 127.0.0.1 -P 0"
staticd_options="-A 127.0.0.1 -P 0"
"""


def start_frr(node: Node, conf: str) -> None:
    """Nothing of it runs yet. Neighbours are found some three seconds later."""
    etc = node.directory / "frr"
    etc.mkdir(exist_ok=True)
    files = {"frr.conf": conf, "daemons": FILE, "vtysh.conf": "service integrated-vtysh-config\n"}
    for name, text in files.items():
        (etc / name).write_text(text)
    for path in (etc, *etc.iterdir()):
        shutil.chown(path, "frr", "frr")
    node.run("mount", "--bind", str(etc), "/etc/frr")
    node.run("install", "-d", "-o", "frr", "-g", "frr", "/run/frr")
    node.keep(WATCH, *DAEMONS)


def frr_runs(node: Node) -> bool:
    return {*DAEMONS} <= {daemon.name for daemon in node.daemons()}
