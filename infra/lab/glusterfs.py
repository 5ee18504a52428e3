"""GlusterFS in the lab: one brick in each zone, three copies, a majority needed for writes.

Without the two time-outs a cut zone stalls every client for 42 s and more; with them for ten. Sources: `gluster volume
set help`, and what an outage showed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from infra.domain.store_health import Health, of_gluster
from infra.lab.engine import Site
from infra.lab.errors import LabError
from infra.lab.nodes import Client, Seat, Zone
from infra.lab.processes import wait_until

VOLUME = "images"
OPTIONS = {
    "network.ping-timeout": "10",  # seconds until a silent brick is given up; 42 unless told
    "client.tcp-user-timeout": "10",  # the same below, for what was sent and not acknowledged
    "cluster.heal-timeout": "60",  # seconds between two looks for what was missed; 600 unless told
    "performance.client-io-threads": "on",
}
PATIENCE = 120.0
ASKING = 20.0
"""Seconds for a question about health: a zone that was just cut may hang for the time-outs above."""


class GlusterFS:
    name = "glusterfs"
    packages = ("glusterfs-server", "glusterfs-client", "attr")
    daemons = ("glusterd", "glusterfsd", "glusterfs")  # the brick is glusterfsd, self-heal glusterfs

    def create(self, site: Site) -> None:
        with ThreadPoolExecutor(len(site.zones)) as threads:
            list(threads.map(lambda zone: self.start(site, zone), site.zones))
        first, *others = site.zones
        for other in others:
            first.run(*_gluster("peer", "probe", other.address))
        others[0].run(*_gluster("peer", "probe", first.address))  # so that they know the first by its address as well
        if not wait_until(lambda: all(_knows_all(zone, len(others)) for zone in site.zones), PATIENCE):
            raise LabError("the zones' glusterd do not find each other")
        bricks = [f"{zone.address}:{zone.directory / 'brick'}" for zone in site.zones]
        for zone in site.zones:
            (zone.directory / "brick").mkdir()
        # force: bricks on the system's disk, where GlusterFS fears that a missing mount goes unseen
        first.run(*_gluster("volume", "create", VOLUME, "replica", str(len(bricks)), *bricks, "force"))
        first.run(*_gluster("volume", "set", VOLUME, *chain.from_iterable(OPTIONS.items())))
        first.run(*_gluster("volume", "start", VOLUME))
        if not wait_until(lambda: self.health(site).word == "healthy", PATIENCE, every=0.5):
            raise LabError(f"the volume is not healthy: {self.health(site).text}")

    def start(self, site: Site, zone: Zone) -> None:
        """glusterd starts the zone's brick and self-heal daemon by itself."""
        if any(daemon.name == "glusterd" for daemon in zone.daemons()):
            return
        for ours, theirs in (("lib", "/var/lib/glusterd"), ("log", "/var/log/glusterfs")):
            (zone.directory / ours).mkdir(exist_ok=True)
            zone.run("mkdir", "-p", theirs)
            zone.run("mount", "--bind", str(zone.directory / ours), theirs)
        zone.run("mkdir", "-p", "/run/gluster")
        zone.run("glusterd", "--log-level", "INFO")

    def mount(self, site: Site, client: Client | Seat) -> None:
        servers = [f"--volfile-server={zone.address}" for zone in site.zones]
        log = f"--log-file={site.directory / 'log' / client.name}.log"
        client.run("glusterfs", *servers, f"--volfile-id={VOLUME}", log, str(client.mount), patience=PATIENCE)
        if not wait_until(client.mounted, PATIENCE):
            raise LabError(f"GlusterFS is not mounted at {client.mount}")

    def health(self, site: Site) -> Health:
        told = Health("unknown", "every zone is down")
        for zone in site.zones:
            if zone.init() is None:
                continue
            try:
                heal = zone.run(*_gluster("volume", "heal", VOLUME, "info", "summary", "--xml"), patience=ASKING)
                told = of_gluster(heal, zone.run(*_gluster("volume", "info", VOLUME, "--xml"), patience=ASKING))
            except LabError as error:
                told = Health("unknown", str(error))
            if told.word not in ("unknown", "no quorum"):  # a zone that is cut off can tell of itself alone
                break
        return told


def _gluster(*words: str) -> tuple[str, ...]:
    return ("gluster", "--mode=script", *words)


def _knows_all(zone: Zone, others: int) -> bool:
    told = zone.run(*_gluster("peer", "status"))
    return told.count("Peer in Cluster (Connected)") == others
