"""Serving: a process of one role that runs until a signal, and logs to stderr."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from types import TracebackType

from infra.config import Settings, settings
from infra.logs import KeylessFormatter

Role = Callable[[Settings, asyncio.Event], Awaitable[None]]


def serve(role: Role) -> None:
    """Run a worker until SIGTERM or Ctrl-C; what it has in hand is finished or handed back."""
    asyncio.run(_until_told(role, configured()))


def serve_api() -> None:
    import uvicorn

    from api.app import create_app
    from workers.listening import check_listening, tls_options

    ours = configured()
    check_listening(ours)
    uvicorn.run(
        create_app(ours),
        host=ours.api_address,
        port=ours.api_port,
        **tls_options(ours),
        log_config=None,  # ours is made already
        access_log=False,  # the edge logs what is worth it, with the request's id
        server_header=False,
        proxy_headers=False,  # nobody asks who the client is
        timeout_graceful_shutdown=5,  # those who wait with Prefer: wait are told another time
    )


def configured() -> Settings:
    """The settings, with the log set up as they say."""
    ours = settings()
    handler = logging.StreamHandler()
    handler.setFormatter(KeylessFormatter())
    logging.basicConfig(level=ours.log_level, handlers=[handler])
    for chatty in ("httpx", "httpcore", "asyncssh"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    sys.excepthook = _log_the_end
    return ours


def _log_the_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What ends the process is logged as everything is: no key in it."""
    logging.getLogger(__name__).critical("the process ends", exc_info=(kind, error, trace))


async def _until_told(role: Role, ours: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await role(ours, stop)
