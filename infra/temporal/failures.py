"""The edge between our errors and Temporal's: an activity's PuchifyError travels as an ApplicationError.

Its type is the error's code, its only detail what a Failure holds. A database or a Temporal that is away is
Unavailable, whoever asked it. Any other exception that is none of ours is a bug: it is logged, retried as the step
allows, and never shown to the user.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from psycopg import OperationalError
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, FailureError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from infra.domain.errors import PuchifyError, Unavailable

log = logging.getLogger(__name__)

PASSING = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNKNOWN,  # of a connection that broke
    }
)
"""What Temporal answers, or does not, while it is restarted or has too much to do."""


class Failures(Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Translate(next)


class _Translate(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await plainly(self.next.execute_activity(input))
        except PuchifyError as error:
            if error.__cause__ is not None:
                # The owner reads the message; what was really the matter is for whoever runs this worker.
                log.warning("%s: %s", activity.info().activity_type, error.message, exc_info=error)
            raise as_application_error(error) from error
        except FailureError:
            raise
        except Exception as bug:
            log.exception("a bug in step %s", input.fn.__name__)
            raise _without_its_text(bug) from None


async def plainly(work: Awaitable[Any]) -> Any:
    """Unavailable: what the step asked is away. Errors of a closed connection and of a full pool are among them."""
    try:
        return await work
    except OperationalError as cause:
        raise Unavailable("the database does not answer; try again in a moment") from cause
    except RPCError as cause:
        if cause.status not in PASSING:
            raise
        raise Unavailable("a part of the service does not answer; try again in a moment") from cause


def _without_its_text(bug: Exception) -> ApplicationError:
    """What and where. Its text may quote what it worked on, and that is nothing for a history."""
    frame = traceback.extract_tb(bug.__traceback__)[-1]
    return ApplicationError(
        f"{type(bug).__name__} at {Path(frame.filename).name}:{frame.lineno}; the worker's log has it all",
        type=type(bug).__name__,
    )


def as_application_error(error: PuchifyError) -> ApplicationError:
    """Expected, so BENIGN: it is the owner's to read and no alarm."""
    failure = {"code": error.code, "message": error.message, "status": error.status, "details": error.details}
    return ApplicationError(
        error.message,
        failure,
        type=error.code,
        non_retryable=not error.retryable,
        category=ApplicationErrorCategory.BENIGN,
    )
