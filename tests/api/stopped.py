"""A server that is off, by hcloud-python: for tests of what servers have, which need no guest."""

from __future__ import annotations

from typing import Any

from hcloud import Client
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.server_types import ServerType
from hcloud.servers import BoundServer


def make_server(hcloud: Client, location: str, name: str, **wishes: Any) -> BoundServer:
    """As it is when it is made; it was never started."""
    answer = hcloud.servers.create(
        name,
        ServerType(name="px1"),
        Image(name="tiny"),
        location=Location(name=location),
        start_after_create=False,
        **wishes,
    )
    answer.action.wait_until_finished()
    return hcloud.servers.get_by_id(answer.server.id)
