"""The simulated host itself: its hands for the worker; its faults, its journal and its inventory for everyone else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from infra.domain.models import Resources
from infra.domain.port_plan import PortPlan
from infra.domain.seed import Seed
from infra.drivers.protocols import Host
from infra.drivers.simulated.body import Body
from infra.drivers.simulated.facts import SimulatedFacts
from infra.drivers.simulated.faults import Call, Fault, Faults
from infra.drivers.simulated.file import open_file
from infra.drivers.simulated.latencies import Latencies
from infra.drivers.simulated.machines import SimulatedGuests, SimulatedMachines, nics_on
from infra.drivers.simulated.ports import SimulatedPorts, plan_on
from infra.drivers.simulated.settings import Load, Settings
from infra.drivers.simulated.storage import SimulatedDisks, SimulatedImages, SimulatedSeeds, seed_on


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a host holds of servers, by server id, finished or not. Cached images belong to no server."""

    disks: frozenset[int]
    seeds: frozenset[int]
    ports: frozenset[int]
    machines: Mapping[int, bool]
    """Whether each runs."""

    @property
    def is_empty(self) -> bool:
        return not (self.disks or self.seeds or self.ports or self.machines)


class SimulatedHost:
    """One simulated host in one file. ``capacity``, ``latencies`` and ``seed`` (of the guests' host keys) describe it
    anew where given; without them it is the host that the file holds already, so an observer needs only the path.
    """

    def __init__(
        self, path: Path, capacity: Resources | None = None, latencies: Latencies | None = None, seed: int | None = None
    ) -> None:
        self.path = path
        self.db = open_file(path)
        self.settings = Settings(self.db)
        self.settings.describe(capacity, latencies, seed)
        self.faults = Faults(self.db)

    def host(self) -> Host:
        """The hands, at the pace the file says now."""
        body = Body(self.db, self.faults, self.settings.latencies(), self.settings)
        return Host(
            images=SimulatedImages(body),
            disks=SimulatedDisks(body),
            seeds=SimulatedSeeds(body),
            ports=SimulatedPorts(body),
            machines=SimulatedMachines(body),
            guests=SimulatedGuests(body),
            facts=SimulatedFacts(body),
        )

    def inject(self, fault: Fault) -> None:
        """From the next call on, in whichever process it is made."""
        self.faults.inject(fault)

    def clear(self) -> None:
        """Forget all faults; calls that hang go on."""
        self.faults.clear()

    def calls(self) -> list[Call]:
        """Every call that came in, oldest first, whatever became of it; the oldest are forgotten after 20,000."""
        return self.faults.calls()

    def inventory(self) -> Inventory:
        tables = ("disks", "seeds", "ports")
        disks, seeds, ports = (
            frozenset(row[0] for row in self.db.execute(f"SELECT server_id FROM {table}")) for table in tables
        )
        machines = self.db.execute("SELECT server_id, started NOTNULL FROM machines")
        return Inventory(disks, seeds, ports, {server_id: bool(runs) for server_id, runs in machines})

    def seed_of(self, server_id: int) -> Seed | None:
        """What was last written for a server; None when it has no seed here."""
        return seed_on(self.db, server_id)

    def plan_of(self, server_id: int) -> PortPlan | None:
        """The ports that were last attached to a server; None when it has none here."""
        return plan_on(self.db, server_id)

    def nics_of(self, server_id: int) -> set[int]:
        """The memberships that its machine has a NIC for."""
        return nics_on(self.db, server_id)

    def power_off(self, server_id: int) -> None:
        """The guest turned itself off."""
        self.db.execute("UPDATE machines SET started = NULL WHERE server_id = ?", (server_id,))

    def set_load(self, io_wait: float = 0.0, net_saturation: float = 0.0, cpu_busy: float = 0.0) -> None:
        """What the host reports as its load from now on, each in [0, 1]."""
        self.settings.write("load", asdict(Load(cpu_busy, io_wait, net_saturation)))

    def close(self) -> None:
        self.db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()
