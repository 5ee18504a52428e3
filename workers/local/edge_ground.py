"""The edge of an instance: HAProxy as a process of its own, beside the worker that tells it what to serve.

It shares the machine's network with the host: a client here reaches a load balancer by its address, which is on the
link ``lb0`` of this machine, and so do the host's guests. Nothing of it is left when the instance ends.
"""

from __future__ import annotations

import asyncio
import os

from infra.config import Settings
from infra.drivers.edges import clear
from infra.drivers.haproxy import CONFIG, argv, is_up, prepare, require
from infra.drivers.sole import sole
from infra.runtime_dir import RuntimeDir
from workers.local.place import Place, unless_chosen
from workers.processes import Process
from workers.wiring import driver_of, edge_is_simulated, edge_networks


def runs_haproxy(settings: Settings) -> bool:
    """CannotRun: it is to, and this machine cannot."""
    if edge_is_simulated(settings):
        return False
    require()
    return True


def check_alone(settings: Settings) -> None:
    """That neither a host nor an edge of another instance works in this network. CannotRun, Conflict. Blocking."""
    if runs_haproxy(settings):
        with sole("host"), sole("edge"):
            pass


def of_edge(asked: Settings, settings: Settings, runtime: RuntimeDir) -> Settings:
    """``settings`` with where HAProxy is, which its own user has to reach; no two instances share namespaces."""
    ours = {"edge_run": runtime.path / "edge", "edge_namespaces": f"pe-{runtime.instance}-"}
    return settings.model_copy(update=unless_chosen(asked, ours))


def haproxy_process(settings: Settings, place: Place) -> Process:
    """It begins with nothing, whatever a killed run left: the worker tells it at once what to serve."""
    directory = settings.edge_run
    (directory / CONFIG).unlink(missing_ok=True)
    prepare(directory)
    return Process(
        "haproxy",
        argv(directory, death_signal="KILL"),
        place.log("haproxy"),
        ready=lambda: asyncio.to_thread(is_up, directory),
        ready_timeout=30,
    )


async def clear_edge(settings: Settings) -> None:
    """Addresses and private sides go; what is not there is fine, and what another edge here serves by stays."""
    if driver_of(settings) != "simulated" and os.geteuid() == 0:
        await asyncio.to_thread(clear, edge_networks(settings))
