"""System images: built from packages, kept in the cache, taken into the store, ready to be offered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from infra.config import Settings
from infra.db.built_images import NewImage
from infra.drivers.store.chosen import image_store
from infra.guests.build import ensure_image

Say = Callable[[str], None]


def build_into_store(name: str, settings: Settings, say: Say) -> NewImage:
    """The image, in the store. Blocks: seconds for tiny, minutes for debian, nothing when it is there already."""
    built = ensure_image(name, log=say)
    published = asyncio.run(image_store(settings).publish(built.directory, lambda _: None))
    return NewImage(
        name=built.name,
        digest=published.digest,
        disk_gib=built.min_disk_gb,
        description=built.description,
        os_flavor=built.os_flavor,
        os_version=built.os_version,
        has_agent=built.has_agent,
    )
