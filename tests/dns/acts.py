"""What owners do with zones, and waits until it is done."""

from __future__ import annotations

from typing import Any

from tests.fix_api import Api


async def zone_of(api: Api, name: str, **more: Any) -> str:
    """A primary zone that is served."""
    reply = await api.http.post("/zones", json={"name": name, "mode": "primary", **more})
    assert reply.status_code == 201, reply.text
    await api.succeeded(reply.json()["action"]["id"])
    return name


async def done(api: Api, path: str, method: str = "POST", **body: Any) -> None:
    while (reply := await api.http.request(method, path, json=body or None)).status_code == 503:
        pass  # the books are busy; nothing was done
    assert reply.status_code == 201, reply.text
    await api.succeeded(reply.json()["action"]["id"])


def values(*texts: str) -> list[dict[str, str]]:
    return [{"value": text} for text in texts]
