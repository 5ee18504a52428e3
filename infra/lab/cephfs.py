"""CephFS in the lab: mon, mgr, OSD and MDS in each zone, three copies by zone, two of them needed for a write.

Made without cephadm: it wants containers. One MDS is active, one follows it closely, one stands by.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_interface

from infra.domain.store_health import Health, of_ceph
from infra.lab import programs
from infra.lab.ceph_conf import DISK, conf
from infra.lab.engine import Site
from infra.lab.errors import LabError
from infra.lab.network import PREFIX_LENGTH
from infra.lab.nodes import Client, Seat, Zone
from infra.lab.processes import wait_until

KINDS = ("mon", "mgr", "osd", "mds")
PATIENCE = 240.0
"""Seconds for the cluster to come together; a busy machine needs a minute."""
ASKING = 30.0

PLACES = """
health mute MGR_MODULE_ERROR --sticky
osd crush rule create-replicated byzone default zone
osd pool create fsmeta 16 16 replicated byzone
osd pool create fsdata 32 32 replicated byzone
fs new images fsmeta fsdata
fs set images allow_standby_replay true
"""


class CephFS:
    name = "cephfs"
    packages = ("ceph-mon", "ceph-osd", "ceph-mgr", "ceph-mds", "ceph-fuse", "ceph-common", "attr")
    daemons = tuple(f"ceph-{kind}" for kind in KINDS)

    def create(self, site: Site) -> None:
        disks = {zone.name: str(uuid.uuid4()) for zone in site.zones}
        _configure(site)
        _everywhere(site, lambda zone: _make_mon(site, zone))
        _everywhere(site, lambda zone: _make_disk(site, zone, disks[zone.name]))
        if not wait_until(lambda: _quorum(site) == len(site.zones), PATIENCE, every=0.5):
            raise LabError("the mons do not find each other")
        _told(site, "\n".join(_osd_commands(site, disks)))
        _everywhere(site, lambda zone: _start(site, zone, "mgr", "osd"))
        _told(site, PLACES)
        _everywhere(site, lambda zone: _start(site, zone, "mds"))
        if not wait_until(lambda: _serves(site) and self.health(site).word == "healthy", PATIENCE, every=0.5):
            raise LabError(f"the cluster is not healthy: {self.health(site).text}")

    def start(self, site: Site, zone: Zone) -> None:
        _start(site, zone, *KINDS)

    def mount(self, site: Site, client: Client | Seat) -> None:
        """ceph-fuse gives up at once while no MDS is active, as in the seconds after one was lost."""
        failed = ""

        def mounted() -> bool:
            nonlocal failed
            try:
                client.run("ceph-fuse", "-c", _conf(site), str(client.mount), patience=PATIENCE)
            except LabError as error:
                failed = str(error)
                return False
            return wait_until(client.mounted, ASKING)

        if not wait_until(mounted, PATIENCE, every=1):
            raise LabError(failed or f"CephFS is not mounted at {client.mount}")

    def health(self, site: Site) -> Health:
        try:
            status = _ceph(site, "-s")
            pools = _ceph(site, "osd", "pool", "ls", "detail")
            asked = json.loads(status)["quorum_names"][0]
            return of_ceph(status, pools, _ceph(site, "config", "show", f"mon.{asked}"))
        except (LabError, ValueError, LookupError) as error:
            return Health("unknown", str(error))


def _serves(site: Site) -> bool:
    """Whether an MDS is active: at the very beginning nobody has missed it yet."""
    try:
        told = json.loads(_ceph(site, "-s"))
    except (LabError, ValueError):
        return False
    return any(mds["status"] == "up:active" for mds in told["fsmap"]["by_rank"])


def _configure(site: Site) -> None:
    fsid = str(uuid.uuid4())
    network = str(ip_interface(f"{site.zones[0].address}/{PREFIX_LENGTH}").network)
    (site.directory / "ceph.conf").write_text(conf(fsid, site.zones, network, site.directory / "log"))
    members = [
        word
        for zone in site.zones
        for word in ("--addv", zone.name, f"[v2:{zone.address}:3300,v1:{zone.address}:6789]")
    ]
    programs.run("monmaptool", "--create", "--fsid", fsid, *members, str(site.directory / "monmap"))


def _make_mon(site: Site, zone: Zone) -> None:
    for kind in KINDS:
        (zone.directory / kind).mkdir()
    monmap = str(site.directory / "monmap")
    zone.run("ceph-mon", "-c", _conf(site), "--mkfs", "-i", zone.name, "--monmap", monmap)
    _start(site, zone, "mon")


def _make_disk(site: Site, zone: Zone, disk: str) -> None:
    with (zone.directory / "osd" / "block").open("wb") as block:
        block.truncate(DISK)
    number = str(site.zones.index(zone))
    zone.run(
        *("ceph-osd", "-c", _conf(site), "-i", number, "--mkfs", "--osd-uuid", disk, "--no-mon-config"),
        patience=PATIENCE,
    )


def _osd_commands(site: Site, disks: dict[str, str]) -> list[str]:
    commands = []
    for number, zone in enumerate(site.zones):
        commands += [
            f"osd new {disks[zone.name]} {number}",
            f"osd crush add-bucket {zone.name} zone",
            f"osd crush move {zone.name} root=default",
            f"osd crush add osd.{number} 1.0 zone={zone.name}",
        ]
    return commands


def _start(site: Site, zone: Zone, *kinds: str) -> None:
    """Kept: what falls is started again. Ceph tells a daemon's lives apart by its process id, which in a zone is the
    same again: peers would wait for answers of one that is dead."""
    fresh = ("env", "CEPH_USE_RANDOM_NONCE=1")
    running = {daemon.name for daemon in zone.daemons()}
    zone.run("mkdir", "-p", "/run/ceph")
    for kind in kinds:
        if f"ceph-{kind}" not in running:
            identity = str(site.zones.index(zone)) if kind == "osd" else zone.name
            zone.keep(*fresh, f"ceph-{kind}", "--foreground", "-c", _conf(site), "-i", identity)


def _everywhere(site: Site, work: Callable[[Zone], None]) -> None:
    with ThreadPoolExecutor(len(site.zones)) as threads:
        list(threads.map(work, site.zones))


def _ceph(site: Site, *words: str) -> str:
    ceph = ("ceph", "-c", _conf(site), "--connect-timeout", "10", "-f", "json")
    return site.clients[0].run(*ceph, *words, patience=ASKING)


def _told(site: Site, commands: str) -> None:
    """One `ceph` for all of them, as its start takes longest. It goes on after an error, and only says so."""
    argv = ("ceph", "-c", _conf(site), "--connect-timeout", "60")
    said = site.clients[0].run(*argv, text=commands.strip() + "\n", patience=PATIENCE, complaints=True)
    if failed := [line for line in said.splitlines() if line.startswith("Error ")]:
        raise LabError(f"Ceph refuses a command: {failed[0]}")


def _quorum(site: Site) -> int:
    try:
        return len(json.loads(_ceph(site, "quorum_status"))["quorum"])
    except (LabError, ValueError):
        return 0


def _conf(site: Site) -> str:
    return str(site.directory / "ceph.conf")
