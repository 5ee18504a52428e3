"""The product's API with an end in sight: ``python -m tests.mortal_api`` runs it, and a header says where it dies.

A request with ``Die-At: <n>`` kills the whole process (SIGKILL, by itself) just before the nth thing that it does to
the world outside: a word with the database, the order's story, a part of its answer. Nothing is chosen by hand, so a
step that is added later is died at as well. The parent of the process binds the port and forks the next one at once.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import uvicorn
from psycopg import sql
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio.service import RPCError

from api.app import create_app
from api.stories import Stories
from infra.config import settings
from infra.domain.models import Admission, ServerOrder
from infra.temporal.names import provision_id
from tests.fix_region import eventually
from workers.serve import configured

HEADER = "Die-At"
GRAVE = Path(os.environ.get("GRAVE", "grave"))
"""What the API was about to do when it died last."""


STORY = "begin the story"
ADMISSION = "hear from the story that has begun"
THE_REST = "send the second half of the body"


@dataclass
class Life:
    """Of one request: ``left`` is how many things it may still do."""

    left: int


LIFE: ContextVar[Life | None] = ContextVar("life", default=None)


def about_to(what: str) -> None:
    life = LIFE.get()
    if life is None:
        return
    life.left -= 1
    if life.left == 0:
        GRAVE.write_text(what)
        os.kill(os.getpid(), signal.SIGKILL)


class Mortal:
    """Stands inside the edge, so that what is done for any request (whose key is it?) does not count."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_parts(message: Message) -> None:
            body = message.get("body", b"")
            if message["type"] == "http.response.body":
                about_to("send the first half of the body")
                await send({**message, "body": body[: len(body) // 2], "more_body": True})
                await asyncio.sleep(0.01)  # the server hands it to the kernel on its next turn
                about_to(THE_REST)
                message = {**message, "body": body[len(body) // 2 :]}
            else:
                about_to("send the head")
            await send(message)

        die_at = Headers(scope=scope).get(HEADER) if scope["type"] == "http" else None
        if die_at is None:
            await self._app(scope, receive, send)
        else:
            LIFE.set(Life(int(die_at)))
            await self._app(scope, receive, send_in_parts)


WORDS = {"_enter_gen": "BEGIN", "_exit_gen": "COMMIT", "_commit_gen": ""}
"""Of a transaction block; and of a connection that goes back to its pool, which says nothing: it commits by itself."""


def count_words_with_the_database() -> None:
    wait = psycopg.AsyncConnection.wait

    async def counted(self: Any, saying: Any, *arguments: Any, **named: Any) -> Any:
        """Every round trip passes here. (Empty is the pool's question whether its connection lives.)"""
        query = saying.gi_frame.f_locals.get("query", WORDS.get(saying.__name__, saying.__name__))
        text = query.as_string() if isinstance(query, sql.Composable) else str(query)
        if text:
            about_to(" ".join(text.split())[:80])
        return await wait(self, saying, *arguments, **named)

    psycopg.AsyncConnection.wait = counted  # type: ignore[method-assign]


def count_admission() -> None:
    admit = Stories.admit

    async def counted(self: Stories, order: ServerOrder) -> Admission | None:
        if LIFE.get() is None:
            return await admit(self, order)
        about_to(STORY)
        asking = asyncio.create_task(admit(self, order))
        await eventually(lambda: has_begun(self, order))
        about_to(ADMISSION)
        return await asking

    Stories.admit = counted  # type: ignore[method-assign]


async def has_begun(stories: Stories, order: ServerOrder) -> bool:
    try:
        await stories._client.get_workflow_handle(provision_id(order.server_id)).describe()
    except RPCError:
        return False
    return True


def live(listening: socket.socket) -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    count_words_with_the_database()
    count_admission()
    app = create_app(configured())
    app.user_middleware.append(Middleware(Mortal))
    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listening])


def main() -> None:
    listening = socket.create_server(("127.0.0.1", settings().api_port))
    while True:
        if (child := os.fork()) == 0:
            live(listening)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
