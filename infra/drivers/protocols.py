"""The host's hands, as promises: what a step may ask of a host, whatever the host is made of.

Every call converges on its argument: it may be repeated at will, ``remove``-like calls find the thing already gone
and go on. All are asynchronous and none blocks the event loop. Failures are ``infra.domain.errors.HostFailure`` (the
server can live elsewhere), ``ImageUnusable`` or ``GuestNotReady``; anything else is a bug.

``Host`` bundles the hands of one host; ``workers/wiring.py`` alone decides which implementation stands behind each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from infra.domain.models import HostReport, Image, Machine, MachineState, Resources
from infra.domain.port_plan import PortPlan
from infra.domain.seed import Seed

Progress = Callable[[int], None]
"""Called with the bytes done so far, often enough for a heartbeat."""


class PartsMissing(LookupError):
    """A machine is to be made of a disk, a seed or a port that is not there, or to run without being known.

    No fault of the host: a step was left out, or the host lost the part when it went down.
    """


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One line of the agent in the guest. ``instance`` is the instance-id of the seed that it booted with."""

    instance: str
    uptime: float
    host_key: str


class Images(Protocol):
    """The host's image cache: raw disks by digest, ready to be cloned."""

    async def ensure(self, image: Image, progress: Progress) -> None:
        """Bring the image into the cache, once however many ask. ImageDoubtful: the store has no such image,
        or a damaged one. HostUnavailable: it does not answer. HostFull: all that is in the cache is in use."""

    async def prefetch(self, image: Image) -> None:
        """Bring it in ahead of any order if there is room for it, after all that is ordered. Raises as `ensure`."""


class Disks(Protocol):
    """One disk a server: a clone of its image, its root partition grown to the plan."""

    async def create(self, server_id: int, image: Image, size_gib: int) -> None:
        """Clone and grow. A half-made clone of an earlier try is replaced, a finished one stays. HostFull: no room.
        ImageUnusable: it is larger than the disk, or cannot be enlarged."""

    async def remove(self, server_id: int) -> None: ...

    async def held(self) -> set[int]:
        """The servers that have a disk here, finished or not."""


class Seeds(Protocol):
    """One cloud-init NoCloud volume a server."""

    async def write(self, server_id: int, seed: Seed) -> None: ...

    async def remove(self, server_id: int) -> None: ...

    async def held(self) -> set[int]: ...


class Ports(Protocol):
    """A server's ways to networks: taps, routes and a gateway, bridges, and the rules that guard both sides."""

    async def attach(self, plan: PortPlan) -> None:
        """All of the server's ports become what the plan says; those that it does not have go."""

    async def detach(self, server_id: int) -> None:
        """None of its ports is left."""

    async def held(self) -> set[int]:
        """The servers of which anything is left here: tap, route or rule. A private port that no public one of this
        host's servers stands for is nobody's: it is cleared away by the host itself."""


class Machines(Protocol):
    """The hypervisor."""

    async def define(self, machine: Machine) -> None:
        """Make the machine known, from disk, seed and ports that are there; it does not run yet. PartsMissing: which.
        One that runs goes on as it is, and is this at its next start."""

    async def unplug(self, server_id: int, keep: Collection[int]) -> None:
        """Take the NICs of all memberships but these out of the machine; unknown: fine. One that runs is asked to let
        go of them, and nobody waits until it does."""

    async def plug(self, server_id: int, members: Collection[int]) -> None:
        """Put a NIC for each of these memberships, whose ports are there, into the machine unless it has one, also
        while it runs; unknown: fine. PartsMissing: a port is not there."""

    async def start(self, server_id: int) -> None:
        """Run a defined machine; one that runs already is left alone. PartsMissing: it is not known."""

    async def shut_down(self, server_id: int, patience: float) -> bool:
        """Press the power button, again and again, for ``patience`` seconds; True once the machine is off."""

    async def destroy(self, server_id: int) -> None:
        """Off at once, and forgotten."""

    async def held(self) -> dict[int, bool]:
        """The machines known here, and whether each runs."""

    async def states(self) -> dict[int, MachineState]:
        """The machines known here, and what has become of each."""


class Guests(Protocol):
    """What can be seen of a guest from outside."""

    async def host_key(self, address: str) -> str:
        """Do an SSH key exchange with the guest; its host key (``type base64``). GuestNotReady: no answer yet."""

    async def heartbeat(self, machine: Machine, timeout: float) -> Heartbeat:
        """The next heartbeat of the agent in the guest. GuestNotReady: none within ``timeout`` seconds."""

    async def heard(self, server_ids: Collection[int]) -> dict[int, float]:
        """Ask the agents of these servers for a word, and say how many seconds ago each was last heard; those that
        never were are left out. Not to be asked of a server whose heartbeat is waited for."""


class Facts(Protocol):
    """What the host says of itself."""

    async def report(self, host_id: int) -> HostReport:
        """All but what is here of servers, which the other hands know."""

    async def capacity(self) -> Resources:
        """What the host offers."""


@dataclass(frozen=True, slots=True)
class Host:
    """The hands of one host."""

    images: Images
    disks: Disks
    seeds: Seeds
    ports: Ports
    machines: Machines
    guests: Guests
    facts: Facts
