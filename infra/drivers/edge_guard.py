"""What keeps guests out of an edge: nothing from a private network reaches the machine, or goes by way of it.

An edge is on networks' bridges for its load balancers alone, which are in namespaces of their own. The table is the
edge's own: on a machine that is a host too, the host's rules say the same and are not touched.

Nor are networks' connections tracked here, which two networks of one range would have in common: where br_netfilter
shows bridged packets to the machine's own rules, those would judge one network's by the other's. Blocking.
"""

from __future__ import annotations

from infra.domain.port_names import BRIDGE_PREFIX, OVERLAY_PREFIX, PRIVATE_PREFIX
from infra.drivers import nft

TABLE = "puchify_edge"
# Priority filter is -200 for bridges. With 0, Linux 6.1 skips the chain in silence where br_netfilter is on.
# notrack leaves alone what a host's rules have given a zone of its network before (raw is -300).
RULES = f"""
add table bridge {TABLE}
add chain bridge {TABLE} input {{ type filter hook input priority filter; policy accept; }}
flush chain bridge {TABLE} input
add rule bridge {TABLE} input iifname {{ "{OVERLAY_PREFIX}*", "{PRIVATE_PREFIX}*" }} counter drop
add table inet {TABLE}
add chain inet {TABLE} untracked {{ type filter hook prerouting priority -299; policy accept; }}
flush chain inet {TABLE} untracked
add rule inet {TABLE} untracked iifname "{BRIDGE_PREFIX}*" notrack
"""


def ensure_guard() -> None:
    """Before the first bridge is there. nft.NftError."""
    nft.apply(RULES)


def remove_guard() -> None:
    """After the last bridge has gone, or that of a host is left."""
    nft.apply("".join(f"add table {family} {TABLE}\ndelete table {family} {TABLE}\n" for family in ("bridge", "inet")))
