"""A host worker whose hands stop where a test says, so that it can be killed exactly there: `python -m` this module.

The test asks for a stop with a file ``asked/<call>.<moment>.<server id>`` in the directory HOLDS; a call that meets its
file moves it to ``held/`` and goes on when it is taken away. One file stops one call: the next try is not held.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from temporalio import activity

Moment = Literal["before", "after"]
LOOK_EVERY = 0.02  # seconds


@dataclass(frozen=True)
class Holds:
    """Both sides of the agreement. A hold is named ``<call>.<moment>.<server id>``, a call ``<hand>.<method>``."""

    directory: Path

    def prepare(self) -> None:
        for path in (self.directory / "asked", self.directory / "held"):
            path.mkdir()

    def ask(self, call: str, moment: Moment, server_id: int) -> None:
        (self.directory / "asked" / f"{call}.{moment}.{server_id}").touch()

    def held(self) -> set[str]:
        return {path.name for path in (self.directory / "held").iterdir()}

    def release(self) -> None:
        for path in (self.directory / "held").iterdir():
            path.unlink()

    async def stop(self, call: str, moment: Moment) -> None:
        """In the worker: wait here if the test asked for it. What no story asks for is never held."""
        if not activity.in_activity():
            return
        server_id = str(activity.info().workflow_id).split("-")[1]
        name = f"{call}.{moment}.{server_id}"
        held = self.directory / "held" / name
        try:
            (self.directory / "asked" / name).rename(held)
        except FileNotFoundError:
            return
        while held.exists():  # noqa: ASYNC110  another process takes it away
            await asyncio.sleep(LOOK_EVERY)


class HeldHand:
    """A hand of the host, each call of which stops before and after its effect where the test says."""

    def __init__(self, name: str, hand: Any, holds: Holds) -> None:
        self._name, self._hand, self._holds = name, hand, holds

    def __getattr__(self, method: str) -> Callable[..., Any]:
        works, call = getattr(self._hand, method), f"{self._name}.{method}"

        async def held(*arguments: Any, **named: Any) -> Any:
            await self._holds.stop(call, "before")
            result = await works(*arguments, **named)
            await self._holds.stop(call, "after")
            return result

        return held


def main() -> None:
    from infra.config import Settings
    from infra.drivers.protocols import Host
    from workers import host as role
    from workers.serve import serve
    from workers.wiring import open_host

    holds = Holds(Path(os.environ["HOLDS"]))

    @asynccontextmanager
    async def open_held(settings: Settings) -> AsyncIterator[Host]:
        async with open_host(settings) as host:
            held: Any = {hand.name: HeldHand(hand.name, getattr(host, hand.name), holds) for hand in fields(Host)}
            yield Host(**held)

    role.open_host = open_held  # type: ignore[attr-defined]
    serve(role.run_host)


if __name__ == "__main__":
    main()
