"""/floating_ips: there are none. A primary IP keeps an address when its server goes."""

from __future__ import annotations

from api.absent import absent

router = absent(
    "floating_ips", "floating_ip", "floating IP", ("assign", "unassign", "change_dns_ptr", "change_protection")
)
