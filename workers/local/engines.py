"""The engines under an instance: PostgreSQL for the books, Temporal for the stories."""

from __future__ import annotations

from infra.config import Settings
from infra.db.cluster import DEATH_SIGNAL, STOP_SIGNAL, PostgresCluster
from infra.temporal.cluster import TemporalCluster
from infra.temporal.configure import Database, TemporalSettings
from infra.temporal.install import Binaries
from workers.local.place import Place, temporal_ports
from workers.processes import Process

OWNERS = {"puchify": "puchify"}  # Temporal makes its own


def postgres_process(cluster: PostgresCluster, place: Place) -> Process:
    return Process(
        name="postgres",
        argv=cluster.argv(),
        log_path=place.log("postgres"),
        user=cluster.user,
        ready=cluster.ready,
        stop_signal=STOP_SIGNAL,
        stop_timeout=60,  # the last checkpoint
        death_signal=DEATH_SIGNAL,
    )


def temporal_cluster(
    settings: Settings, place: Place, postgres: PostgresCluster, binaries: Binaries
) -> TemporalCluster:
    database = Database(host=str(postgres.sockets), port=postgres.port)
    told = TemporalSettings(
        place.temporal, database, ports=temporal_ports(settings), namespace=settings.temporal_namespace
    )
    return TemporalCluster(told, binaries)


def temporal_process(cluster: TemporalCluster, place: Place) -> Process:
    return Process("temporal", cluster.server_argv(), place.log("temporal"), ready=cluster.ready, stop_timeout=20)


def ui_process(cluster: TemporalCluster, place: Place) -> Process:
    return Process("temporal-ui", cluster.ui_argv(), place.log("temporal-ui"), ready=cluster.ui_ready)
