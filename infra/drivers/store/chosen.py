"""The image store that the settings name: the same to the API, which receives, to the region, and to hosts."""

from __future__ import annotations

from infra.config import Settings
from infra.drivers.store.mount import SETTLE, ImageStore


def image_store(settings: Settings) -> ImageStore:
    """What is written on one machine is seen on it at once. A store that an engine replicates has a marker, so that the
    bare directory under a mount that is missing is never taken for it."""
    replicated = settings.image_store_engine != "directory"
    return ImageStore(settings.image_store, settle=SETTLE if replicated else 0.0, marked=replicated)
