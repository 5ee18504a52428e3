"""The domain XML, word for word: a change of what a machine is made of shows up as a change of a golden file.

``PUCHIFY_GOLDEN=write pytest`` writes them anew.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from infra.domain.domain_xml import Accel, MachineFiles, domain_name, domain_xml, member_of_mac, server_of_domain
from infra.domain.models import Addresses, Image, Machine, Resources
from infra.domain.networks import mac_of

GOLDEN = Path(__file__).parent / "golden"
IMAGE = Image(id=1, name="tiny", digest="d" * 64, architecture="x86", disk_gib=1, has_agent=True)
MACHINE = Machine(
    server_id=4711,
    epoch=1,
    host_id=1,
    name="web.example.org",
    resources=Resources(cores=2, memory_mib=2048, disk_gib=20),
    image=IMAGE,
    addresses=Addresses("203.0.113.7", "2001:db8:100:7::/64"),
)
BIOS = MachineFiles(
    disk=Path("/srv/disks/4711.raw"),
    seed=Path("/srv/seeds/4711.iso"),
    agent_socket=Path("/run/puchify/agents/4711"),
    serial_log=Path("/srv/consoles/4711.log"),
)
DIRECT = replace(
    BIOS,
    kernel=Path("/srv/images/dd/vmlinux"),
    initrd=Path("/srv/images/dd/initrd"),
    cmdline="root=/dev/vda1 rw console=ttyS0",
)


@pytest.mark.parametrize(
    ("name", "files", "accel", "members"),
    [
        ("direct-qemu", DIRECT, "qemu", ()),
        ("direct-kvm", DIRECT, "kvm", (12, 7)),
        ("bios-qemu", BIOS, "qemu", (3,)),
    ],
)
def test_is_word_for_word(name: str, files: MachineFiles, accel: Accel, members: tuple[int, ...]) -> None:
    text, golden = domain_xml(MACHINE.with_members(members), files, accel), GOLDEN / f"domain-{name}.xml"
    if os.environ.get("PUCHIFY_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def test_quotes_whatever_it_is_given() -> None:
    odd = replace(DIRECT, disk=Path("/srv/a'b\"c<&>/disk"), cmdline='quiet a="<&>\'"')
    domain = ET.fromstring(domain_xml(MACHINE, odd, "qemu"))
    source = domain.find("devices/disk/source")
    assert source is not None
    assert source.get("file") == str(odd.disk)
    assert domain.findtext("os/cmdline") == odd.cmdline


def test_an_image_without_all_of_a_kernel_boots_from_its_disk() -> None:
    domain = ET.fromstring(domain_xml(MACHINE, replace(DIRECT, initrd=None), "qemu"))
    assert domain.find("os/kernel") is None
    assert domain.find("os/boot") is not None


def test_every_device_has_a_place_of_its_own() -> None:
    domain = ET.fromstring(domain_xml(MACHINE.with_members(tuple(range(1, 9))), DIRECT, "qemu"))
    places = [(at.get("bus"), at.get("slot"), at.get("function")) for at in domain.iter("address")]
    assert len(places) == len(set(places)) == 5 + 8 + 8
    assert {at.get("bus") for at in domain.iterfind("devices/interface/address")} == {f"{bus:#04x}" for bus in range(9)}


def test_a_machine_is_in_no_more_networks_than_it_has_ports_for() -> None:
    with pytest.raises(ValueError, match="8 networks at most"):
        domain_xml(MACHINE.with_members(tuple(range(1, 10))), DIRECT, "qemu")


@pytest.mark.parametrize("member_id", [1, 4711, 2**40 - 1])
def test_a_nic_tells_its_membership(member_id: int) -> None:
    assert member_of_mac(mac_of(member_id)) == member_id


@pytest.mark.parametrize("mac", ["", MACHINE.mac, "06:00:00:00:00:00", "06:1", "52:54:00:00:00:01"])
def test_another_nic_is_of_no_membership(mac: str) -> None:
    assert member_of_mac(mac) is None


@pytest.mark.parametrize("server_id", [1, 4711, 2**40 - 1])
def test_a_domain_tells_its_server(server_id: int) -> None:
    assert server_of_domain(domain_name(server_id)) == server_id


@pytest.mark.parametrize("name", ["", "server-", "server-x", "server-1-old", "4711", "myserver-1", "server-²"])
def test_a_foreign_domain_is_nobodys(name: str) -> None:
    assert server_of_domain(name) is None
