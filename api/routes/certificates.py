"""/certificates: there are none. Load balancers pass TLS through."""

from __future__ import annotations

from api.absent import absent

router = absent("certificates", "certificate", "certificate", ("retry",))
