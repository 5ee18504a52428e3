"""The health of what replicates the image store, out of the engine's own report: one word, and a sentence.

``no quorum``: nothing is written, perhaps nothing is read. ``degraded``: it serves with less than all copies.
``healing``: all parts are there, and copies are made anew. ``unknown``: the report could not be had, or understood,
which is no reason not to read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from xml.etree import ElementTree

Engine = Literal["directory", "cephfs", "glusterfs"]
Word = Literal["healthy", "healing", "degraded", "no quorum", "unknown"]

SLOWEST_PING = 10  # seconds: GlusterFS waits so long for a zone that went silent; its default is 42
SLOWEST_MDS = 15  # seconds: CephFS puts off replacing a metadata server so long; its default is 60
COPIES, LEAST_COPIES = 3, 2


@dataclass(frozen=True, slots=True)
class Health:
    """``settings``: those that are not as they must be, each in a sentence; no reason not to serve, but to alert."""

    word: Word
    text: str
    settings: list[str] = field(default_factory=list)


def of_ceph(status: str, pools: str, config: str) -> Health:
    """From ``ceph -s``, ``ceph osd pool ls detail`` and ``ceph config show mon.<name>``, each ``-f json``."""
    try:
        settings = [*_ceph_pools(json.loads(pools)), *_ceph_config(json.loads(config))]
        return Health(*_ceph_word(json.loads(status)), settings)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Health("unknown", f"the report of ceph is not understood: {error!r}")


def _ceph_word(told: Mapping[str, Any]) -> tuple[Word, str]:
    checks = {
        name: check["summary"]["message"]
        for name, check in told["health"].get("checks", {}).items()
        if not check.get("muted")
    }
    said = "; ".join(checks.values()) or told["health"]["status"]
    states = {word for group in told["pgmap"].get("pgs_by_state", []) for word in group["state_name"].split("+")}
    if not told["quorum"]:
        return "no quorum", "the monitors have no quorum"
    if states & STUCK or "MDS_ALL_DOWN" in checks:
        return "no quorum", said
    if checks.keys() & AWAY or told["health"]["status"] == "HEALTH_ERR":
        return "degraded", said
    if states & HEALING:
        return "healing", said
    return "healthy", said


STUCK = {"peered", "down", "incomplete"}
"""Placement groups with fewer copies than a write needs, or with none that is right."""
HEALING = {"degraded", "recovering", "recovery_wait", "backfilling", "backfill_wait", "peering", "activating"}
AWAY = {"MON_DOWN", "OSD_DOWN", "OSD_HOST_DOWN", "OSD_ZONE_DOWN", "FS_DEGRADED", "MDS_INSUFFICIENT_STANDBY"}


def _ceph_pools(pools: list[Mapping[str, Any]]) -> list[str]:
    return [
        f"pool {pool['pool_name']} keeps {pool['size']} copies and writes with {pool['min_size']}:"
        f" {COPIES} and {LEAST_COPIES} survive a zone"
        for pool in pools
        if "cephfs" in pool["application_metadata"]
        and (pool["size"] < COPIES or not LEAST_COPIES <= pool["min_size"] < pool["size"])
    ]


def _ceph_config(config: list[Mapping[str, Any]]) -> list[str]:
    """The default of this one blocks uploads for a minute when a zone is lost; only what is not default is told."""
    name = "mds_beacon_mon_down_grace"
    grace = next((float(option["value"]) for option in config if option["name"] == name), 60.0)
    return [f"{name} is {grace:.0f} s: at most {SLOWEST_MDS}"] if grace > SLOWEST_MDS else []


def of_gluster(heal: str, info: str) -> Health:
    """From ``gluster volume heal V info summary --xml`` and ``gluster volume info V --xml``."""
    try:
        bricks = [_brick(brick) for brick in ElementTree.fromstring(heal).iter("brick")]
        volume = ElementTree.fromstring(info).find(".//volume")
        if not bricks or volume is None:
            return Health("unknown", _gluster_excuse(heal) or "gluster knows no such volume")
        return Health(*_gluster_word(bricks, volume), _gluster_settings(volume))
    except (ElementTree.ParseError, ValueError) as error:
        return Health("unknown", f"the report of gluster is not understood: {error}")


def _brick(brick: ElementTree.Element) -> tuple[str, bool, int | None]:
    """Its name, whether it is connected, and how much of it has to be healed; "-" is not known, and not zero."""
    entries = brick.findtext("totalNumberOfEntries") or "-"
    status = brick.findtext("status") or ""
    return brick.findtext("name") or "?", status == "Connected", int(entries) if re.fullmatch(r"\d+", entries) else None


def _gluster_word(bricks: list[tuple[str, bool, int | None]], volume: ElementTree.Element) -> tuple[Word, str]:
    away = [name for name, connected, _ in bricks if not connected]
    entries = sum(left or 0 for _, _, left in bricks)
    if (volume.findtext("statusStr") or "Started") != "Started":
        return "no quorum", f"the volume is {volume.findtext('statusStr')}"
    if len(bricks) - len(away) < LEAST_COPIES:
        return "no quorum", f"not connected: {', '.join(away)}"
    if away:
        return "degraded", f"not connected: {', '.join(away)}"
    if any(left is None for _, _, left in bricks):
        return "unknown", "not every brick says how much of it has to be healed"
    if entries:
        return "healing", f"{entries} entries to heal"
    return "healthy", f"{len(bricks)} bricks connected, nothing to heal"


def _gluster_settings(volume: ElementTree.Element) -> list[str]:
    options = {option.findtext("name"): option.findtext("value") or "" for option in volume.iter("option")}
    copies = int(volume.findtext("replicaCount") or 0)
    wrong = [] if copies == COPIES else [f"it keeps {copies} copies: {COPIES} survive a zone"]
    for name, default in (("network.ping-timeout", 42), ("client.tcp-user-timeout", 42)):
        seconds = int(options.get(name, "") or default)
        if seconds > SLOWEST_PING:
            wrong.append(f"{name} is {seconds} s: at most {SLOWEST_PING}")
    if options.get("cluster.quorum-type", "auto") != "auto":
        wrong.append("cluster.quorum-type is not auto: it would write to one copy")
    return wrong


def _gluster_excuse(report: str) -> str | None:
    return ElementTree.fromstring(report).findtext("opErrstr") or None
