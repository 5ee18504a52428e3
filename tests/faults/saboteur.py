"""The saboteur: stands between a worker and its steps, and strikes those of one server as its plan says.

It enters a worker with the client that the worker is made with, outside of everything the product puts around its
steps: what it does to a delivery, Temporal does (twice, late, lost). What a step itself may do (fail, take long), it
does in the step's own place, inside the fence and inside the translation of errors.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput
from temporalio.worker import Interceptor as WorkerInterceptor

from infra.config import Settings
from infra.temporal.connect import connect, plugin

Work = Callable[..., Awaitable[Any]]
Way = Callable[["Delivery"], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Strike:
    """``fault`` names a way of ``sabotage``; the first ``times`` deliveries of the step are struck."""

    step: str
    fault: str
    times: int = 1


@dataclass
class Victim:
    """What the saboteur knows of one server (or, for what belongs to none, of one location)."""

    plan: list[Strike] = field(default_factory=list)
    struck: list[Strike] = field(default_factory=list)
    reached: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    aftermath: list[asyncio.Task[Any]] = field(default_factory=list)
    delete: Callable[[], Awaitable[None]] | None = None
    """The owner's delete, for the fault that is one."""

    def take(self, step: str) -> Strike | None:
        """The strike that is due for this delivery."""
        for strike in self.plan:
            if strike.step == step and self.struck.count(strike) < strike.times:
                self.struck.append(strike)
                return strike
        return None

    @property
    def missed(self) -> list[Strike]:
        return [strike for strike in self.plan if strike not in self.struck]

    async def note(self, journal: list[str], step: str) -> None:
        async with self.changed:
            journal.append(step)
            self.changed.notify_all()

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for something that steps bring about; False when it did not come."""
        try:
            async with asyncio.timeout(seconds), self.changed:
                await self.changed.wait_for(condition)
        except TimeoutError:
            return False
        return True


class Saboteur(ClientInterceptor, WorkerInterceptor):
    """One per test process; ``victims`` by server id, or by location for the steps that serve no single server."""

    def __init__(self, ways: dict[str, Way]) -> None:
        super().__init__()
        self.ways = ways
        self.victims: dict[str, Victim] = defaultdict(Victim)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Struck(next, self)

    async def connect(self, settings: Settings) -> Client:
        """As the product connects, with the saboteur aboard."""
        client = await connect(settings)
        return Client(client.service_client, namespace=client.namespace, plugins=[plugin()], interceptors=[self])


def subject_of(workflow_id: str) -> str:
    """``server-17-provision`` is about 17, ``sweep-orders-fsn1-2026-...`` about the location fsn1, an import about what
    all of it stands for: ``image-17-import``."""
    if re.fullmatch(r"image-\d+-import", workflow_id):
        return workflow_id
    kind, rest = workflow_id.split("-", 1)
    return rest.split("-")[0] if kind == "server" else rest.split("-")[1]


class _Struck(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, saboteur: Saboteur) -> None:
        super().__init__(next)
        self._saboteur = saboteur

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        victim = self._saboteur.victims[subject_of(info.workflow_id or "")]
        strike = victim.take(info.activity_type)
        await victim.note(victim.reached, info.activity_type)
        delivery = Delivery(info, input, self.next, victim)
        try:
            return await (self._saboteur.ways[strike.fault](delivery) if strike else delivery.work())
        finally:
            await victim.note(victim.ended, info.activity_type)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try of one step, on its way to the hands that do it."""

    info: activity.Info
    input: ExecuteActivityInput
    next: ActivityInboundInterceptor
    victim: Victim

    @property
    def step(self) -> str:
        return self.info.activity_type

    @property
    def given_up_after(self) -> float:
        """Seconds of silence after which this try counts as dead."""
        times = (self.info.start_to_close_timeout, self.info.heartbeat_timeout)
        return min(time.total_seconds() for time in times if time is not None)

    async def work(self) -> Any:
        """Do it, as if nothing were the matter. It may be called again."""
        return await self.next.execute_activity(replace(self.input))

    async def work_with(self, hands: Callable[[Work], Work]) -> Any:
        """Do it with other hands, in the step's own place. They keep the step's name, by which the product knows it."""
        fn = self.input.fn
        return await self.next.execute_activity(replace(self.input, fn=functools.wraps(fn)(hands(fn))))
