"""`puchify up`: everything on one machine, a server that was really logged in to, and not a trace when it ends.

The order: the stack, the first server, the handout, then waiting for Ctrl-C; at the end the guests, the processes, the
mounts. The state survives. A second signal does not wait for the guests any more.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from infra.config import Settings
from infra.runtime_dir import RuntimeDir
from infra.trust import trust_of
from workers.first.caller import open_caller
from workers.first.login import ensure_key, ssh_command, write_known_hosts
from workers.first.server import FirstServer, Proof
from workers.first.summary import Handout
from workers.local.place import Place
from workers.local.stack import Stack
from workers.processes import Supervisor
from workers.progress import Teller

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class Stop:
    """What signals ask for: the first to stop, the next to hurry."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)

    def listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._hear)

    def _hear(self) -> None:
        (self.hurry if self.asked.is_set() else self.asked).set()

    async def unless(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do ``work`` to its end, or break it off when a stop is asked for: False."""
        doing, asked = asyncio.create_task(work), asyncio.create_task(self.asked.wait())
        await asyncio.wait({doing, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if doing.done():
            doing.result()
            return True
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
        return False


async def up(settings: Settings, once: bool, teller: Teller) -> bool:
    """Whether the server was proven: logged in to, or running where the host is simulated."""
    stop = Stop()
    stop.listen()
    proven = False
    with RuntimeDir(settings.state) as runtime:
        teller.say(f"Puchify on {runtime.state}")
        async with running(settings, runtime, stop, teller) as stack:

            async def work() -> None:
                nonlocal proven
                await stack.start()
                await hand_out(stack, teller)
                proven = True
                if not once:
                    teller.say("\nCtrl-C stops everything; the state stays.")
                    await stop.asked.wait()

            await stop.unless(work())
            teller.say(
                "Stopping: guests shut down, then everything else ends." if not stop.hurry.is_set() else "Stopping."
            )
    teller.say("Stopped. Nothing is left running.")
    return proven


@asynccontextmanager
async def running(settings: Settings, runtime: RuntimeDir, stop: Stop, teller: Teller) -> AsyncIterator[Stack]:
    async with Supervisor(Place(runtime.state).pids, teller.say) as supervisor:
        stack = Stack(settings, runtime, supervisor, teller)
        try:
            yield stack
        finally:
            await stack.stop(stop.hurry)


async def hand_out(stack: Stack, teller: Teller) -> None:
    """A server, proven; then all that its owner needs to know."""
    settings, place = stack.settings, stack.place
    api, token = f"{settings.internal_url}/api/v1", place.token.read_text().strip()
    public_key = ensure_key(place.ssh_key)
    key = place.ssh_key if settings.host == "libvirt" else None
    async with open_caller(api, token, trust_of(settings)) as caller:
        proof: Proof = await FirstServer(caller, teller, settings.location, key, public_key).prove()
    write_known_hosts(place.known_hosts, proof.doors)
    handout = Handout(
        api=api,
        token=token,
        ui=settings.temporal_ui,
        namespace=settings.temporal_namespace,
        location=settings.location,
        ssh=[ssh_command(door, place.known_hosts) for door in proof.doors],
        names=stack.names,
    )
    what = "SSH" if key else "a running server"
    teller.say(f"\nFrom the start of this command to {what}: {teller.elapsed:.1f} s\n")
    for line in handout.lines(proof):
        teller.say(line)
