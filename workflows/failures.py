"""What an operation's end says to its user: any error of a step, told as a wire code and a message fit for the user.

Errors of our own making are not failures of the order: they are raised again, the workflow task fails, and the story
waits for a fix instead of compensating on a wrong assumption.
"""

from __future__ import annotations

import asyncio

from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    FailureError,
    TimeoutError,
    TimeoutType,
)
from temporalio.workflow import NondeterminismError

from infra.domain.models import DELETED as DELETED  # the story takes it from here
from infra.domain.models import LATE as LATE
from infra.domain.models import Failure
from workflows.options import STEPS

CANCELLED = Failure("cancelled", "the operation was stopped", 409)
NOT_READY = Failure("server_not_ready", "the server did not answer in time", 504)
HOST_AWAY = Failure("host_unavailable", "the host does not answer; try again", 503)
REGION_AWAY = Failure("unavailable", "a part of the service does not answer; try again", 503)
OUR_BUG = Failure("server_error", "an internal error; it is being looked at", 500)


def failure_of(error: BaseException) -> Failure:
    """The failure behind a step's error. Raises ``error`` itself when it is a bug of the story."""
    if isinstance(error, asyncio.CancelledError | CancelledError):
        return CANCELLED
    if isinstance(error, NondeterminismError) or not isinstance(error, FailureError):
        raise error
    cause = error.cause if isinstance(error, ActivityError) else error
    if isinstance(cause, CancelledError):
        return CANCELLED
    if isinstance(cause, TimeoutError):
        return _timed_out(error, cause)
    if isinstance(cause, ApplicationError) and cause.details and isinstance(cause.details[0], dict):
        return Failure(**cause.details[0])
    return OUR_BUG


def _timed_out(error: BaseException, cause: TimeoutError) -> Failure:
    step = STEPS.get(error.activity_type) if isinstance(error, ActivityError) else None
    if step is None or step.place != "host":
        return REGION_AWAY
    waited = step is STEPS["wait_ready"] and cause.type is TimeoutType.START_TO_CLOSE
    return NOT_READY if waited else HOST_AWAY


def is_away(error: BaseException) -> bool:
    """True when the host did not even take the step, or went silent in it: what else it is asked it may not do."""
    return timeout_of(error) in (TimeoutType.SCHEDULE_TO_START, TimeoutType.HEARTBEAT)


def timeout_of(error: BaseException) -> TimeoutType | None:
    """Which of a step's times ran out; None when none did."""
    cause = error.cause if isinstance(error, ActivityError) else None
    return cause.type if isinstance(cause, TimeoutError) else None
