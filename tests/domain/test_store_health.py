"""The engines' own reports, as Ceph 16.2 and GlusterFS 10.3 gave them in three zones, read as one word each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.domain.store_health import Health, of_ceph, of_gluster

GOLDEN = Path(__file__).parent / "golden/store"


def golden(name: str) -> str:
    return (GOLDEN / name).read_text()


def ceph(status: str) -> Health:
    return of_ceph(status, golden("ceph-pools.json"), golden("ceph-config.json"))


def gluster(heal: str, info: str = "gluster-info.xml") -> Health:
    return of_gluster(golden(heal), golden(info))


@pytest.mark.parametrize(
    ("name", "word", "text"),
    [
        ("ceph-healthy.json", "healthy", "HEALTH_OK"),  # what is muted is not told
        ("ceph-degraded.json", "degraded", "1/3 mons down"),
        ("ceph-stale.json", "degraded", "1 osds down"),  # a zone was cut off a moment ago
        ("ceph-failing-over.json", "degraded", "1 filesystem is degraded"),
    ],
)
def test_reports_of_ceph(name: str, word: str, text: str) -> None:
    found = ceph(golden(name))
    assert (found.word, found.settings) == (word, [])
    assert text in found.text
    assert "mgr modules" not in found.text


def changed(states: list[str], **changes: Any) -> str:
    """The report of a healthy cluster, but for the states of its placement groups and what else is named."""
    told = json.loads(golden("ceph-healthy.json")) | changes
    told["pgmap"]["pgs_by_state"] = [{"state_name": state, "count": 1} for state in states]
    return json.dumps(told)


@pytest.mark.parametrize(
    ("report", "word"),
    [
        (changed(["active+clean", "active+recovering+degraded"]), "healing"),
        (changed(["active+clean", "peering"]), "healing"),
        (changed(["active+clean", "undersized+degraded+peered"]), "no quorum"),
        (changed(["down"]), "no quorum"),
        (changed(["active+clean"], quorum=[]), "no quorum"),
        (changed(["active+clean+inconsistent"], health={"status": "HEALTH_ERR", "checks": {}}), "degraded"),
    ],
)
def test_the_states_of_placement_groups(report: str, word: str) -> None:
    assert ceph(report).word == word


def test_settings_of_ceph_that_lose_uploads_or_copies_are_told() -> None:
    pools = json.loads(golden("ceph-pools.json"))
    pools[1] |= {"size": 2, "min_size": 1}
    found = of_ceph(golden("ceph-healthy.json"), json.dumps(pools), "[]")
    assert found.word == "healthy"
    assert [text.split()[0] for text in found.settings] == ["pool", "mds_beacon_mon_down_grace"]


@pytest.mark.parametrize(
    ("name", "word", "text"),
    [
        ("gluster-heal-healthy.xml", "healthy", "3 bricks connected, nothing to heal"),
        ("gluster-heal-healing.xml", "healing", "12 entries to heal"),
        ("gluster-heal-degraded.xml", "degraded", "not connected: 10.9.9.1:/bricks/z2"),
        ("gluster-heal-noquorum.xml", "no quorum", "not connected: 10.9.9.1:/bricks/z2, 10.9.9.1:/bricks/z3"),
        ("gluster-heal-nosuch.xml", "unknown", "Volume nosuch does not exist"),
    ],
)
def test_reports_of_gluster(name: str, word: str, text: str) -> None:
    assert gluster(name) == Health(word, text, [])  # type: ignore[arg-type]


def test_a_brick_that_does_not_know_what_it_lacks_is_not_taken_for_whole() -> None:
    heal = golden("gluster-heal-healthy.xml").replace("Entries>0<", "Entries>-<", 1)
    assert of_gluster(heal, golden("gluster-info.xml")).word == "unknown"


def test_settings_of_gluster_that_stall_or_lose_copies_are_told() -> None:
    info = golden("gluster-info-default.xml").replace("<replicaCount>3", "<replicaCount>2")
    found = of_gluster(golden("gluster-heal-healthy.xml"), info)
    assert [text.split()[0] for text in found.settings] == ["it", "network.ping-timeout", "client.tcp-user-timeout"]


@pytest.mark.parametrize("report", ["", "{}", "[]", "null", "<a/>", "<a>", "Connection failed"])
def test_what_is_no_report_is_not_known(report: str) -> None:
    assert of_ceph(report, report, report).word == "unknown"
    assert of_gluster(report, report).word == "unknown"
