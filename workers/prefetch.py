"""Prefetch: images that will be ordered soon are in a host's cache before.

When the worker starts, and then now and again: system images, then what is popular in the location. It disturbs
nothing: one image at a time, none while an order waits for one, none for which another would have to go.
"""

from __future__ import annotations

import asyncio
import logging

from infra.domain.errors import PuchifyError
from infra.drivers.protocols import Images
from infra.internal_api import InternalApi

EVERY = 1800.0  # seconds

log = logging.getLogger(__name__)


async def keep_prefetching(images: Images, internal_api: InternalApi, every: float = EVERY) -> None:
    """For ever; nothing that goes wrong here ends it."""
    while True:
        await prefetch(images, internal_api)
        await asyncio.sleep(every)


async def prefetch(images: Images, internal_api: InternalApi) -> None:
    """Once; what fails is left out."""
    try:
        wanted = await internal_api.wanted_images()
    except PuchifyError as error:
        log.info("which images are wanted is not known now: %s", error)
        return
    except Exception:
        log.exception("which images are wanted could not be asked")
        return
    for image in wanted:
        try:
            await images.prefetch(image)
        except PuchifyError as error:
            log.warning("the image %s could not be fetched ahead: %s", image.name, error)
        except Exception:
            log.exception("the image %s could not be fetched ahead", image.name)
