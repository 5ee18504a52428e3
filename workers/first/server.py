"""The first server of an instance, or one that is there already: seen running, and logged in to.

Servers of earlier runs are listed; those that were under way are waited for; a new one is ordered only when there is
none that lets us in.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from infra.domain.models import Addresses
from infra.temporal.names import provision_id
from workers.first.caller import Caller, Wire, free_name
from workers.first.login import Door, KeyRefused, log_in
from workers.progress import Teller

ORDER = {"name": "first", "server_type": "px1", "image": "tiny"}
KEY_NAME = "puchify-up"
LOOK_EVERY = 0.15  # seconds between two looks at the steps
PATIENCE = 120.0  # seconds until a server that was started again lets us in; a guest under emulation boots in five
UNDER_WAY = ("initializing", "starting")


class ServerFailed(Exception):
    """The server did not come about; the message is the action's."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A server that runs. ``doors``: where we logged in; none on a simulated host, whose guests are nobody's."""

    server: Wire
    doors: list[Door]
    is_new: bool

    @property
    def workflow_id(self) -> str:
        return provision_id(self.server["id"])


class FirstServer:
    """``key``: the private key to log in with; None: there is nothing to log in to."""

    def __init__(self, caller: Caller, teller: Teller, location: str, key: Path | None, public_key: str) -> None:
        self._caller = caller
        self._teller = teller
        self._location = location
        self._key = key
        self._public_key = public_key

    async def prove(self) -> Proof:
        """ServerFailed, NoLogin, Refused: why there is no server to show."""
        there = await self._caller.servers()
        self._list(there)
        for server in there:
            if (proof := await self._prove_old(server)) is not None:
                return proof
        if there:
            self._teller.say("None of them is on and lets us in with our key: ordering a new one.")
        return await self._prove_new(there)

    def _list(self, servers: list[Wire]) -> None:
        if not servers:
            return
        self._teller.say("Servers of earlier runs (those that should be on are started again):")
        for server in servers:
            addresses = " ".join(addresses_of(server)) or "no address"
            self._teller.say(f"  {server['id']:>5}  {server['name']:<20} {server['status']:<13} {addresses}")

    async def _prove_old(self, server: Wire) -> Proof | None:
        """None: it is off, on its way out, came to nothing, or somebody else's."""
        if server["status"] in UNDER_WAY:
            self._teller.say(f"{server['name']} was under way when the last run ended; its workflow goes on:")
            try:
                server = await self._follow_create(server)
            except ServerFailed as failure:
                self._teller.say(f"{server['name']} came to nothing: {failure}")
                return None
        if server["status"] != "running":
            return None
        try:
            doors = await self._enter(server)
        except KeyRefused:
            return None
        self._teller.say("No new server was made, because this one is there.")
        return Proof(server, doors, is_new=False)

    async def _prove_new(self, there: list[Wire]) -> Proof:
        key_id = await self._caller.ensure_ssh_key(KEY_NAME, self._public_key)
        name = free_name(ORDER["name"], {server["name"] for server in there})
        self._teller.say(f"Creating server {name} ({ORDER['server_type']}, {ORDER['image']}) through the API:")
        order = {**ORDER, "name": name, "location": self._location, "ssh_keys": [key_id]}
        reply = await self._caller.create(order)
        server = await self._follow(reply["server"], reply["action"]["id"])
        return Proof(server, await self._enter(server), is_new=True)

    async def _follow_create(self, server: Wire) -> Wire:
        actions = await self._caller.actions_of(server["id"])
        create = next(action for action in actions if action["command"] == "create_server")
        return await self._follow(server, create["id"])

    async def _follow(self, server: Wire, action_id: int) -> Wire:
        """Show the steps until the action has ended; the server as it is then."""
        with self._teller.steps() as steps:
            while True:
                action = await self._caller.action(action_id)
                steps.show(await self._caller.timeline(action_id))
                if action["status"] != "running":
                    break
                await asyncio.sleep(LOOK_EVERY)
        if action["error"]:
            raise ServerFailed(f"{action['error']['message']} ({action['error']['code']})")
        return await self._caller.server(server["id"])

    async def _enter(self, server: Wire) -> list[Door]:
        if self._key is None:
            return []
        doors = [Door(address, server["host_key"], self._key) for address in addresses_of(server)]
        for door in doors:
            name = await log_in(door, PATIENCE)
            self._teller.say(f"Logged in at {door.address}: {name} answers, its host key is the one served with it.")
        return doors


def addresses_of(server: Wire) -> list[str]:
    """Its public addresses, v4 first."""
    public = server["public_net"]
    four, six = (public[kind] and public[kind]["ip"] for kind in ("ipv4", "ipv6"))
    return Addresses(four or None, six or None).all
