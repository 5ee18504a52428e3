"""The agent for images that lack it: a vendor-data document that starts its two programs early in every boot.

It is a cloud-boothook, because vendor `bootcmd` and `runcmd` are lists that the user's own replace, while a boothook
stands beside the user's data: cloud-init runs it at every boot, as soon as its network stage has read user and vendor
data and before any of its modules (its `handlers/boot_hook.py` and `Init.consume_data`; tried with 25.1). A user can
refuse it: no agent starts when the user-data says `vendor_data: {enabled: false}`.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def vendor_data() -> str:
    """The document for a seed's `vendor-data`; the same for every server, and it needs no network."""
    parts = {
        "@AGENT@": "puchify-agent",
        "@UNIT@": "puchify-agent.service",
        "@NETWORK@": "puchify-network",
        "@NETWORK_UNIT@": "puchify-network.service",
    }
    document = (HERE / "boothook.sh").read_text()
    for mark, name in parts.items():
        document = document.replace(mark, (HERE / name).read_text().rstrip("\n"))
    return document
