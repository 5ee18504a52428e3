"""/volumes: there are none. A server's disk is as large as its type says."""

from __future__ import annotations

from api.absent import absent

router = absent("volumes", "volume", "volume", ("attach", "detach", "resize", "change_protection"))
