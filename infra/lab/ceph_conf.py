"""The configuration of the lab's Ceph: what a replicated store over zones needs, and what makes it small.

Authentication is off: nobody but the lab is on its network. A real cluster has cephx, with read-only keys for hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from infra.lab.nodes import Zone

DISK = 8 * 2**30
"""Bytes of an OSD's disk, a sparse file."""

NEEDLESS = (
    *("alerts", "balancer", "crash", "devicehealth", "diskprediction_local", "influx", "insights", "iostat"),
    *("localpool", "mirroring", "nfs", "orchestrator", "osd_perf_query", "osd_support", "pg_autoscaler", "progress"),
    *("prometheus", "rbd_support", "restful", "selftest", "snap_schedule", "stats", "status", "telegraf"),
    *("telemetry", "test_orchestrator", "volumes", "zabbix"),
)
"""Modules of the mgr that serve nothing here: without them it takes 25 MB instead of 290. Some are always expected, so
the lab mutes MGR_MODULE_ERROR."""

CONF = """
[global]
fsid = {fsid}
mon_initial_members = {names}
mon_host = {addresses}
public_network = {network}
ms_bind_msgr2 = true
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = false
log_file = {log}/$name.log
crash_dir = {log}
osd_pool_default_size = 3
osd_pool_default_min_size = 2
osd_pool_default_pg_autoscale_mode = off
# Zones stand right below the root: an OSD shall not move itself below a bucket named after its host.
osd_crush_update_on_start = false
# A zone is a mon and perhaps the active MDS. With a mon away, a new MDS waits for the first of these, 60 s unless told:
# uploads would block for more than a minute whenever that zone is lost.
mds_beacon_mon_down_grace = 5
mds_beacon_grace = 10
# What one client made, another sees when the MDS has journaled it: at the latest after this, 5 s unless told.
mds_tick_interval = 1
mon_lease = 3
# A cut zone's OSD is given up after this silence, 20 s unless told. Zones are lost here every other minute: a mon that
# takes that for slowness would have ever more patience.
osd_heartbeat_grace = 10
osd_heartbeat_interval = 3
mon_osd_adjust_heartbeat_grace = false
# This machine's disk is everybody's; how full it is says nothing of the lab.
mon_data_avail_warn = 1
mon_data_avail_crit = 1
mgr_disabled_modules = {needless}
osd_memory_target = 939524096
bluestore_cache_autotune = false
bluestore_cache_size = 67108864
bluestore_block_size = {disk}
[client]
client_oc_size = 67108864
admin_socket =
log_file =
"""

ZONE = """
[mon.{name}]
mon_data = {directory}/mon
[mgr.{name}]
mgr_data = {directory}/mgr
[mds.{name}]
mds_data = {directory}/mds
[osd.{number}]
osd_data = {directory}/osd
"""


def conf(fsid: str, zones: Sequence[Zone], network: str, log: Path) -> str:
    """``ceph.conf``; the OSD of the first zone is osd.0, and so on."""
    text = CONF.format(
        fsid=fsid,
        names=",".join(zone.name for zone in zones),
        addresses=",".join(zone.address for zone in zones),
        network=network,
        log=log,
        needless=",".join(NEEDLESS),
        disk=DISK,
    )
    parts = (ZONE.format(name=zone.name, number=number, directory=zone.directory) for number, zone in enumerate(zones))
    return text + "".join(parts)
