"""What a request came to: granted, or refused with which code, and which fields the refusal names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hcloud import APIException


def code_of(ask: Callable[[], Any]) -> str:
    """Of the refusal that hcloud-python raises; granting it fails the test."""
    with pytest.raises(APIException) as refused:
        ask()
    return str(refused.value.code)


def outcome_of(reply: httpx.Response) -> str:
    """The status of what was granted, the code of what was not."""
    return str(reply.status_code) if reply.is_success else str(reply.json()["error"]["code"])


def fields_of(reply: httpx.Response) -> list[str]:
    """That an ``invalid_input`` names, in its order."""
    assert (reply.status_code, outcome_of(reply)) == (422, "invalid_input"), reply.text
    return [field["name"] for field in reply.json()["error"]["details"]["fields"]]
