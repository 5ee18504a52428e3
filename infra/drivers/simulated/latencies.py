"""How long a simulated host takes for what it does, in seconds: small, but of the size a real host shows.

A reflink clone, a tap with its rules and a domain's definition are measured values of a warm libvirt host, rounded;
fetching an image and booting are shortened, so that a test of the whole story stays under a second.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Latencies:
    fetch: float = 0.1
    """Of an image that is not in the cache; one that is takes none."""
    disk: float = 0.005
    seed: float = 0.005
    ports: float = 0.01
    define: float = 0.01
    start: float = 0.04
    destroy: float = 0.02
    remove: float = 0.002
    """Of a disk, a seed or a port."""
    look: float = 0.001
    """Whatever is held, and what the host says of itself."""
    boot: float = 0.15
    """From start until the guest answers, its agent speaks and it obeys the power button."""
    shut_down: float = 0.05
    """From the power button until the machine is off."""
    handshake: float = 0.005
    heartbeat: float = 0.005

    @classmethod
    def none(cls) -> Latencies:
        return cls(**{field.name: 0.0 for field in fields(cls)})
