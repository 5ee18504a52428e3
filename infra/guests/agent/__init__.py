"""The agent for images that lack it: a vendor-data document that starts it early in every boot.

It is a cloud-boothook, because vendor `bootcmd` and `runcmd` are lists that the user's own replace, while a boothook
stands beside the user's data, runs at every boot and runs before any module of cloud-init's network stage (its
documentation, "User-data formats": "executes ... early in boot", and `cloudinit/handlers/boot_hook.py`). A user can
refuse it: user-data that says `vendor_data: {enabled: false}` starts no agent.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def vendor_data() -> str:
    """The document for a seed's `vendor-data`; the same for every server, and it needs no network."""
    parts = {"@AGENT@": "puchify-agent", "@UNIT@": "puchify-agent.service"}
    document = (HERE / "boothook.sh").read_text()
    for mark, name in parts.items():
        document = document.replace(mark, (HERE / name).read_text().rstrip("\n"))
    return document
