"""Fixtures that only this suite needs: small storage of a host's kind, and a deployment on the real host."""

from tests.host.fix_faults import real_deployment, uncached
from tests.host.fix_storage import cache, layout, storage, stored

__all__ = ["cache", "layout", "real_deployment", "storage", "stored", "uncached"]
