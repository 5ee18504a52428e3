"""Care for the stored images: what is doubted, or was not read for long, is read back; what nobody needs goes.

It runs on a schedule and does not retry: next time it looks at the world again. A store that is away is left alone.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.store import StoreCare
    from infra.domain.models import ImagesChecked, StoreSwept
    from workflows.saga import run


@workflow.defn
class CareForImages:
    @workflow.run
    async def run(self, location: str) -> tuple[ImagesChecked, StoreSwept]:
        """What came of it, for whoever looks at it in the UI. The sweep is short, and does not wait for long reads."""
        swept = await run(StoreCare.sweep_store, location)
        return await run(StoreCare.check_images, location), swept
