"""A host that is only simulated: the promises of ``infra/drivers/protocols.py`` without a hypervisor.

It behaves as a host does: calls take time, half-done work stays when its worker dies, guests need a while to boot and
room runs out. Whatever it holds is in one file, so it outlives its worker and other processes can look at it, and
inject faults into it, while it works. Used by the tests, by the benches and by machines that cannot run guests.
"""

from infra.drivers.simulated.body import CallerBug
from infra.drivers.simulated.faults import CALLS, Call, Fault
from infra.drivers.simulated.host import Inventory, SimulatedHost
from infra.drivers.simulated.latencies import Latencies
from infra.drivers.simulated.storage import ABSENT_DIGEST

__all__ = ["ABSENT_DIGEST", "CALLS", "Call", "CallerBug", "Fault", "Inventory", "Latencies", "SimulatedHost"]
