"""The engines under an instance: PostgreSQL for the books, Temporal for the stories, PowerDNS for the names."""

from __future__ import annotations

from pathlib import Path

from infra.config import Settings
from infra.db.cluster import DEATH_SIGNAL, NAME_SERVER, STOP_SIGNAL, PostgresCluster
from infra.dns import powerdns_conf
from infra.dns.powerdns_conf import DATABASE, PowerDnsConf
from infra.drivers.powerdns import PowerDns
from infra.runtime_dir import RuntimeDir
from infra.temporal.cluster import TemporalCluster
from infra.temporal.configure import Database, TemporalSettings
from infra.temporal.install import Binaries
from workers.local.place import Place, temporal_ports
from workers.processes import Process

OWNERS = {"puchify": "puchify", DATABASE: DATABASE}  # Temporal makes its own


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


def powerdns_conf_of(settings: Settings, postgres: PostgresCluster, directory: Path) -> PowerDnsConf:
    return PowerDnsConf(
        addresses=settings.dns_address,
        port=settings.dns_port,
        api_address="127.0.0.1",
        api_port=settings.dns_port + 1,
        key=settings.dns_api_key,
        sockets=postgres.sockets,
        directory=directory,
        database_port=postgres.port,
    )


def powerdns_process(
    settings: Settings, postgres: PostgresCluster, runtime: RuntimeDir, log: Path, name: str = "powerdns"
) -> Process:
    """Its database has to be there; its tables are made."""
    powerdns_conf.ensure_schema(postgres.url(DATABASE, DATABASE))
    user = NAME_SERVER if postgres.user else None  # who is not root runs all as himself
    directory = runtime.directory(name, user)
    powerdns_conf.write(powerdns_conf_of(settings, postgres, directory), user)
    server = PowerDns(f"http://127.0.0.1:{settings.dns_port + 1}", settings.dns_api_key)
    return Process(name, powerdns_conf.argv(directory), log, user=user, ready=server.answers, ready_timeout=30)
