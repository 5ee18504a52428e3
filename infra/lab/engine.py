"""What the lab asks of a distributed file system: made once, started zone by zone, mounted by clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.domain.store_health import Health
from infra.lab.nodes import Client, Seat, Zone


@dataclass(frozen=True, slots=True)
class Site:
    """Where an engine is set up. ``directory`` holds what its clients and zones share, such as configuration."""

    directory: Path
    zones: Sequence[Zone]
    clients: Sequence[Client]
    say: Callable[[str], None]


class Engine(Protocol):
    """``packages``: the Debian packages it needs. ``daemons``: the processes of a zone that is well."""

    @property
    def name(self) -> str: ...

    @property
    def packages(self) -> tuple[str, ...]: ...

    @property
    def daemons(self) -> tuple[str, ...]: ...

    def create(self, site: Site) -> None:
        """From started, empty zones to a file system that can be mounted. Not to be repeated on the same site."""

    def start(self, site: Site, zone: Zone) -> None:
        """The daemons of a zone that was made before and has just been started; those that run stay."""

    def mount(self, site: Site, client: Client | Seat) -> None:
        """Over the empty directory ``client.mount``."""

    def health(self, site: Site) -> Health:
        """As somebody sees it who can still reach the engine; ``unknown`` where nobody answers in time."""
