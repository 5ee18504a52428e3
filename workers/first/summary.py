"""What `puchify up` hands out at the end: how to log in, where to watch, and how to order the next server."""

from __future__ import annotations

from dataclasses import dataclass

from workers.first.server import Proof


@dataclass(frozen=True, slots=True)
class Handout:
    """``api``: the address with its base path. ``ssh``: one command for each address.
    ``names``: who answers for them."""

    api: str
    token: str
    ui: str
    namespace: str
    location: str
    ssh: list[str]
    names: str

    def lines(self, proof: Proof) -> list[str]:
        return [
            *(f"SSH          {command}" for command in self.ssh),
            *([] if self.ssh else ["SSH          none: this host is simulated, there is nothing to log in to"]),
            f"API          {self.api}",
            f"Token        {self.token}",
            f"Workflow     {self.ui}/namespaces/{self.namespace}/workflows/{proof.workflow_id}",
            f"Names        {self.names}",
            "",
            "The next server, with curl:",
            *self._curl(),
            "",
            "or with any hcloud client, for example hcloud-python:",
            *self._python(),
        ]

    def _curl(self) -> list[str]:
        order = f'{{"name": "second", "server_type": "px1", "image": "tiny", "location": "{self.location}"}}'
        return [
            f"  curl -s {self.api}/servers -H 'Authorization: Bearer {self.token}' \\",
            f"    -H 'Prefer: wait=30' -d '{order}'",
        ]

    def _python(self) -> list[str]:
        return [
            "  from hcloud import Client",
            "  from hcloud.images import Image",
            "  from hcloud.server_types import ServerType",
            f'  client = Client(token="{self.token}", api_endpoint="{self.api}")',
            '  made = client.servers.create("third", ServerType(name="px1"), Image(name="tiny"))',
            "  made.action.wait_until_finished()",
        ]
