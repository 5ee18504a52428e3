"""The gate: under ``/api/v1`` the caller is known and counted before anything is parsed, and no body is too large.

Whatever fails behind it is answered here, the only place that sees all of it. Plain ASGI.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors
from api.services import Services
from infra.domain.errors import PuchifyError, RequestTooLarge, TokenReadonly

log = logging.getLogger(__name__)

WIRE = "/api/v1/"
OPENAPI = "/api/v1/openapi.json"
"""For everybody: it says what there is, not what anybody has."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
UPLOAD = re.compile(r"/api/v1/images/[^/]+/upload")
"""Whose body is an image: its route reads it part by part, and knows how long it may be."""
DRAIN = 16  # times the limit that is read and thrown away, so that the client gets to read the refusal
DRAIN_SECONDS = 5.0


class Gate:
    def __init__(self, app: ASGIApp, body_limit: int) -> None:
        self._app = app
        self._body_limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        is_upload = scope["method"] == "PUT" and UPLOAD.fullmatch(scope["path"]) is not None
        body = _Body(
            receive, self._body_limit, is_upload, b"100-continue" in dict(scope["headers"]).get(b"expect", b"")
        )
        reply = _Reply(send, body)
        try:
            await self._pass(scope, body, reply)
        except Exception as cause:
            if reply.begun:
                log.error("the request failed in the middle of its answer", exc_info=cause)
                raise
            await errors.answer_to(cause)(scope, receive, reply.send)

    async def _pass(self, scope: Scope, body: _Body, reply: _Reply) -> None:
        headers = Headers(scope=scope)
        if f"{scope['path']}/".startswith(WIRE) and scope["path"] != OPENAPI:
            await self._admit(scope, headers, reply)
        body.announced(headers.get("content-length", ""))
        await self._app(scope, body.receive, reply.send)

    async def _admit(self, scope: Scope, headers: Headers, reply: _Reply) -> None:
        services = cast(Services, scope["app"].state.services)
        passage = await services.authenticator.admit(headers.get("authorization"))
        if passage.verdict:
            reply.headers = passage.verdict.headers()
            passage.verdict.check()
        if passage.caller.read_only and scope["method"] not in SAFE:
            raise TokenReadonly("the token is only valid for reading")
        scope["puchify.caller"] = passage.caller
        # The wire speaks JSON only, whatever the client says that it sends (curl says it sends a form).
        scope["headers"] = [
            *((name, value) for name, value in scope["headers"] if name != b"content-type"),
            (b"content-type", b"application/json"),
        ]


@dataclass(slots=True)
class _Reply:
    """The way back: adds what every answer to a known caller carries."""

    _send: Send
    _body: _Body
    headers: Mapping[str, str] = field(default_factory=dict)
    begun: bool = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            if self._body.refused or (message["status"] >= 400 and self._body.is_unread_upload):
                await self._body.drain()
            MutableHeaders(scope=cast(dict[str, Any], message)).update(self.headers)
        await self._send(message)


class _Body:
    """The way in: counts what comes, so that nothing larger than the limit is ever held. An upload is held by nobody.

    ``asks_first``: the client sends its body when it is told to.
    """

    def __init__(self, receive: Receive, limit: int, is_upload: bool, asks_first: bool) -> None:
        self._receive = receive
        self._limit = limit
        self._is_upload = is_upload
        self._asks_first = asks_first
        self.refused = False
        self._seen = 0
        self._more = True

    @property
    def is_unread_upload(self) -> bool:
        """Whether its client is still sending: one that asks first and was not told to is not."""
        return self._is_upload and self._more and (self._seen > 0 or not self._asks_first)

    def announced(self, length: str) -> None:
        if not self._is_upload and length.isdecimal() and int(length) > self._limit:
            raise self._too_large()

    async def receive(self) -> Message:
        message = await self._count()
        if self._seen > self._limit and not self._is_upload:
            raise self._too_large()
        return message

    async def drain(self) -> None:
        """Read on for a moment: a connection that is closed with data unread is reset, and the answer lost with it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                until = self._seen + DRAIN * self._limit if self._is_upload else DRAIN * self._limit
                while self._more and self._seen < until:
                    await self._count()

    async def _count(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    def _too_large(self) -> PuchifyError:
        self.refused = True
        return RequestTooLarge(f"the request body is larger than {self._limit} bytes", {"fields": []})
