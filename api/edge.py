"""The edge: every request gets an id before anything sees it, and every answer carries it (``X-Correlation-Id``).

Clients print it with every error, and each line that the request causes in the log has it. ``//`` in a path counts as
``/``, and one at its end as none, since clients join addresses so. Plain ASGI: a client that goes away stops nothing.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Any, cast

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.logs import REQUEST, without_keys

log = logging.getLogger(__name__)

HEADER = "X-Correlation-Id"
LONGEST = 200  # characters of an address in the log


class Edge:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        scope["path"] = re.sub(r"/{2,}", "/", scope["path"]).rstrip("/") or "/"
        request_id = secrets.token_hex(8)
        REQUEST.set(request_id)  # and not reset: what the server still logs of this request, it logs in the same task
        begun, status = time.perf_counter(), 500

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=cast(dict[str, Any], message))[HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        finally:
            # The address as it was sent, in ASCII, and without its query, in which anything may stand. A key is struck
            # out before it is cut: the half of one would not be recognised.
            address = without_keys(scope.get("raw_path", b"").decode("latin-1"))[:LONGEST]
            level = logging.WARNING if status >= 500 else logging.DEBUG
            log.log(
                level, "%s %s: %s in %.1f ms", scope["method"], address, status, 1000 * (time.perf_counter() - begun)
            )
