"""Fixtures that only this suite needs: small storage of a host's kind."""

from tests.host.fix_storage import layout, storage, stored

__all__ = ["layout", "storage", "stored"]
