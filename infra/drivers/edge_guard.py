"""What keeps guests out of an edge: nothing from a private network reaches the machine, or goes by way of it.

An edge is on networks' bridges for its load balancers alone, which are in namespaces of their own. The table is the
edge's own: on a machine that is a host too, the host's rules say the same and are not touched. Blocking.
"""

from __future__ import annotations

from infra.domain.edge_plan import EdgePlan
from infra.domain.port_names import OVERLAY_PREFIX, PRIVATE_PREFIX, bridge_name, cable_name, overlay_name
from infra.drivers import nft
from infra.drivers.links import SYSCTLS, sysctl

TABLE = "puchify_edge"
NEVER = 8  # arp_ignore: answer for no address of the machine
# Priority filter is -200 for bridges. With 0, Linux 6.1 skips the chain in silence where br_netfilter is on.
RULES = f"""
add table bridge {TABLE}
add chain bridge {TABLE} input {{ type filter hook input priority filter; policy accept; }}
flush chain bridge {TABLE} input
add rule bridge {TABLE} input iifname {{ "{OVERLAY_PREFIX}*", "{PRIVATE_PREFIX}*" }} counter drop
"""


def ensure_guard() -> None:
    """Before the first bridge is there. nft.NftError."""
    nft.apply(RULES)


def ensure_apart(plan: EdgePlan) -> None:
    """The links of private networks, which are there, are no way into the machine."""
    sides = [balancer.private for balancer in plan.balancers if balancer.private]
    for name in {name(side.vni) for side in sides for name in (bridge_name, overlay_name)}:
        _set_apart(name)
    for side in sides:
        _set_apart(cable_name(side.member_id))


def remove_guard() -> None:
    """After the last bridge has gone, or that of a host is left."""
    nft.apply(f"add table bridge {TABLE}\ndelete table bridge {TABLE}\n")


def _set_apart(name: str) -> None:
    if (SYSCTLS / "ipv4/conf" / name).exists():  # no overlay: there is no other machine
        sysctl(f"ipv4/conf/{name}/forwarding", 0)
        sysctl(f"ipv4/conf/{name}/arp_ignore", NEVER)
