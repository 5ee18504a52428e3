"""The log: each line says which request caused it, and none holds a key, whoever wrote the line."""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar

REQUEST: ContextVar[str] = ContextVar("request", default="")
"""The id of the request that is being served; tasks that it starts inherit it."""

FORMAT = "%(asctime)s %(levelname)s %(name)s%(request)s: %(message)s"
BEARER = re.compile(r"(?i)\b(bearer\s+)[^\s'\"]+")
KEY = re.compile(r"[A-Za-z0-9]{64,}")
"""As infra.db.keys makes them. Digests in hex are as long, and worth reading; a key without a capital is not made."""


class KeylessFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__(FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        request = REQUEST.get()
        record.request = f" [{request}]" if request else ""
        return without_keys(super().format(record))


def without_keys(text: str) -> str:
    return KEY.sub(_unless_hex, BEARER.sub(r"\1***", text))


def _unless_hex(found: re.Match[str]) -> str:
    return found[0] if found[0].lower() == found[0] else "***"
