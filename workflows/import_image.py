"""Import an image: a file that its owner uploads, or that is fetched, becomes an image to make servers of, or nothing.

Each step makes sure of those before it, so that whoever goes on after a death needs nothing but what was received. What
an import leaves on its way lies in two places, the upload and the scratch; at its end, whatever that is, both go. A
delete stops it at any time. How it ended the owner learns first: what is to be cleared away keeps nobody waiting.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.image_files import ImageFiles
    from activities.image_sources import ImageSources
    from activities.imports import Imports
    from infra.domain.changes import Change
    from infra.domain.imports import IMAGE_DELETED, NOTHING_CAME, FailedImport, FinishedImport, StoredImage
    from infra.domain.models import Failure
    from infra.temporal.names import FAILURE_CODE, PHASE
    from workflows.options import IMPORT_WITHIN
    from workflows.saga import Saga, Unwound, run, surely, unless


@workflow.defn
class ImportImage:
    def __init__(self) -> None:
        self._told = False
        self._abandoned = False

    @workflow.signal
    def uploaded(self) -> None:
        """All of it is there."""
        self._told = True

    @workflow.signal
    def abandon(self) -> None:
        """The owner deletes the image: stop."""
        self._abandoned = True

    @workflow.run
    async def run(self, change: Change) -> None:
        try:
            stored = await unless(
                lambda: IMAGE_DELETED if self._abandoned else None, self.bring_in(change), IMPORT_WITHIN
            )
        except Unwound as unwound:
            await surely(run(Imports.fail_import, FailedImport(change, unwound.failure)))
            await surely(run(Imports.clear_import, change))
            self.tell(unwound.failure)
        await surely(run(Imports.finish_import, FinishedImport(change, stored)))
        await surely(run(Imports.clear_import, change))
        workflow.upsert_search_attributes([PHASE.value_set("imported")])

    async def bring_in(self, change: Change) -> StoredImage:
        async with Saga() as saga:
            await self.receive(saga, change)
            await saga.step(ImageFiles.gather_image, change, undo=None)  # clear_import undoes all of it
            await saga.step(ImageFiles.convert_image, change, undo=None)
            return await saga.step(ImageFiles.publish_image, change, undo=None)  # the store drops what nobody names

    async def receive(self, saga: Saga, change: Change) -> None:
        """Until all of it is in the store."""
        while (state := await saga.step(Imports.read_import, change, undo=None)).stage != "received":
            match state.stage:
                case "gone":
                    raise Unwound(IMAGE_DELETED)
                case "given_up":
                    raise Unwound(NOTHING_CAME)
                case "fetching":
                    await saga.step(ImageSources.fetch_source, change, undo=None)
                case "receiving":
                    await self.wait_for_the_end(state.look_again)

    async def wait_for_the_end(self, seconds: float) -> None:
        """Of the upload, or until it is time to look whether it still goes on."""
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._told, timeout=seconds, timeout_summary="for the upload")
        self._told = False

    def tell(self, failure: Failure) -> NoReturn:
        """To the operator in the UI; the owner reads it in the books."""
        workflow.upsert_search_attributes([PHASE.value_set("failed"), FAILURE_CODE.value_set(failure.code)])
        raise ApplicationError(failure.message, type=failure.code, non_retryable=True)
