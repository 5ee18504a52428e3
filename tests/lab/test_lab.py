"""The lab leaves nothing behind, whatever became of it, and says clearly what it does not do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.lab.errors import LabError
from infra.lab.lab import Lab, require
from infra.lab.network import NAMESPACES
from infra.lab.nodes import Zone
from infra.lab.processes import processes_in, wait_until
from infra.runtime_dir import mounts_below
from tests.cli.run import argv, environment, puchify
from tests.lab.conftest import Yard

HANGING = Path(__file__).with_name("hanging.py")
SOON = 60.0
"""Seconds in which a thing begins that `up` does."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def lab(private_network: None, tmp_path: Path) -> Iterator[Lab]:
    require("glusterfs")
    lab = Lab(tmp_path / "lab")
    yield lab
    lab.down()


@pytest.fixture
def ground(lab: Lab) -> Lab:
    """Its network and its zones, without a store."""
    break_ground(lab)
    return lab


def break_ground(lab: Lab) -> None:
    lab.network.ensure_switch()
    for zone in lab.zones.values():
        lab.network.ensure_machine(zone.name, zone.address)
        zone.start()


def remains(lab: Lab) -> list[object]:
    """Whatever is left of it on this machine. Processes are looked for by what they were told, namespaces or not."""
    named = subprocess.run(("pgrep", "--full", f"{lab.directory}/"), capture_output=True, text=True).stdout.split()
    namespaces = list(NAMESPACES.glob(f"{lab.network.prefix}*"))
    files = [lab.directory] if lab.directory.exists() else []
    return [*named, *namespaces, *mounts_below(lab.directory), *files]


def reaches(zone: Zone, address: str) -> bool:
    try:
        zone.run("bash", "-c", f"exec 3<>/dev/tcp/{address}/9", patience=10)
    except LabError as error:
        return "refused" in str(error)  # by a machine that is there
    return True


def test_a_killed_up_is_cleared_away(lab: Lab) -> None:
    words = ("lab", "up", "--only-store", "--directory", str(lab.directory))
    with subprocess.Popen(argv(*words), env=environment(), stdout=subprocess.DEVNULL) as killed:
        assert wait_until(lambda: bool(lab.zones["z1"].daemons()), SOON)
        killed.send_signal(signal.SIGKILL)
    assert lab.engine_name() is None
    ended = puchify(*words)
    assert ended.code == 0, ended.err
    assert "store glusterfs: healthy" in ended.out
    assert f"PUCHIFY_IMAGE_STORE={lab.clients['a'].mount}" in ended.out
    assert remains(lab)
    assert puchify("lab", "down", "--directory", str(lab.directory)).code == 0
    assert remains(lab) == []


def test_cleaning_takes_it_down(private_network: None, tmp_path: Path) -> None:
    lab = Lab(tmp_path / "state" / "lab")
    break_ground(lab)
    assert puchify("clean", state=tmp_path / "state").code == 0
    assert remains(lab) == []


def test_zones_reach_each_other_until_one_is_cut_off(ground: Lab) -> None:
    first, second = ground.zones["z1"], ground.zones["z2"]
    assert reaches(first, second.address)
    ground.network.unplug("z2")
    assert not reaches(first, second.address)
    ground.network.plug("z2")
    assert wait_until(lambda: reaches(first, second.address), SOON)


def test_a_killed_zone_has_no_process_and_keeps_its_files(ground: Lab) -> None:
    zone = ground.zones["z1"]
    (zone.directory / "kept").write_text("kept")
    zone.keep("sleep", "1000")
    assert wait_until(lambda: [one.name for one in zone.daemons()] == ["sleep"], SOON)
    zone.kill()
    assert processes_in(zone.namespace) == []
    zone.start()
    assert zone.daemons() == []
    assert (zone.directory / "kept").read_text() == "kept"


def test_what_falls_in_a_zone_is_started_again(ground: Lab) -> None:
    zone = ground.zones["z1"]
    zone.keep("sleep", "1000")
    assert wait_until(lambda: len(zone.daemons()) == 1, SOON)
    fallen = zone.daemons()[0].pid
    os.kill(fallen, signal.SIGKILL)
    assert wait_until(lambda: any(one.pid != fallen for one in zone.daemons()), SOON)


def test_a_zone_holds_no_mount_of_others(ground: Lab, tmp_path: Path) -> None:
    (foreign := tmp_path / "foreign").mkdir()
    subprocess.run(("mount", "-t", "ramfs", "none", str(foreign)), check=True)
    try:
        ground.zones["z1"].kill()
        ground.zones["z1"].start()
        assert str(foreign) not in ground.zones["z1"].run("cat", "/proc/self/mountinfo")
    finally:
        subprocess.run(("umount", str(foreign)), check=True)


def test_it_is_taken_down_while_its_store_hangs(ground: Lab) -> None:
    client = ground.clients["a"]
    ground.network.ensure_machine(client.name, client.address)
    client.mount.mkdir(parents=True)
    client.run(sys.executable, str(HANGING), str(client.mount))
    (stuck,) = processes_in(client.namespace)
    os.kill(stuck.pid, signal.SIGKILL)
    assert wait_until(lambda: _state(stuck.pid) == "D", SOON)

    ground.down()
    assert remains(ground) == []


def _state(pid: int) -> str:
    """Of a process, in the kernel's letter; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_nothing_of_it_is_in_the_network_of_this_machine(ground: Lab) -> None:
    links = subprocess.run(("ip", "-o", "link"), capture_output=True, text=True, check=True).stdout
    assert "eth0" not in links
    assert "z1" not in links


def test_a_lab_that_is_not_up_says_how_to_have_one(lab: Lab) -> None:
    ended = puchify("lab", "status", "--directory", str(lab.directory))
    assert ended.code == 1
    assert "the lab is not up" in ended.err
    assert "puchify lab up" in ended.err


def test_it_is_up_with_one_engine_only(yard: Yard) -> None:
    other = {"cephfs": "glusterfs", "glusterfs": "cephfs"}[str(yard.lab.engine_name())]
    with pytest.raises(LabError, match=f"is up with {yard.lab.engine_name()}"):
        yard.lab.up(other)


def test_a_zone_that_is_not_there_is_refused(yard: Yard) -> None:
    with pytest.raises(LabError, match="z1, z2, z3"):
        yard.lab.kill("z9")
