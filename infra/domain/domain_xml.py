"""A machine as libvirt reads it: the domain XML of one server, decided here and only applied by the driver.

Few devices, all virtio and all on the root bus at fixed slots: what is not there takes no time to boot. Only NICs of
private networks are behind ports of their own, since nothing can be plugged into the root bus of a running machine; the
ports are always there. An image that
brings its kernel is booted directly (no firmware, no boot loader), any other through BIOS from its disk. Without a
usable KVM the processor is emulated (TCG) with a bounded translation cache: without a bound, 512 MiB become over 1 GiB.

Source: libvirt's domain format (formatdomain.html), libvirt 9.0 and QEMU 7.2 at least.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

from infra.domain.models import Machine
from infra.domain.networks import MOST_NETWORKS, mac_of
from infra.domain.port_names import private_tap_name, tap_name

Accel = Literal["kvm", "qemu"]

NAME_PREFIX = "server-"
AGENT_CHANNEL = "org.puchify.agent.0"
TRANSLATION_CACHE_MIB = 256
EMULATOR = "/usr/bin/qemu-system-x86_64"
PORTS_SLOT, PORTS = 7, range(1, MOST_NETWORKS + 1)
"""The buses into which NICs of private networks are plugged: the functions of one slot lead to them."""
PRIVATE_MTU = 1450
"""Bytes: what an underlay of 1,500 leaves of a frame in a VXLAN over IPv4."""


@dataclass(frozen=True, slots=True)
class MachineFiles:
    """Where the host keeps what the machine is made of: absolute paths. A kernel needs its initrd and its cmdline."""

    disk: Path
    seed: Path
    agent_socket: Path
    serial_log: Path
    kernel: Path | None = None
    initrd: Path | None = None
    cmdline: str | None = None


def domain_name(server_id: int) -> str:
    return f"{NAME_PREFIX}{server_id}"


def server_of_domain(name: str) -> int | None:
    """The server that a domain is; None when the domain is not ours."""
    number = name.removeprefix(NAME_PREFIX)
    return int(number) if number != name and number.isascii() and number.isdigit() else None


def member_of_mac(mac: str) -> int | None:
    """The membership whose NIC has it; None for any other."""
    if not re.fullmatch(r"06(:[0-9a-f]{2}){5}", mac):
        return None
    return int(mac.removeprefix("06").replace(":", ""), 16) or None


def private_nic(member_id: int, mtu: int, bus: int | None = None) -> ET.Element:
    """A NIC on a membership's tap; without ``bus`` libvirt takes a port that is free."""
    interface = _interface(mac_of(member_id), private_tap_name(member_id))
    ET.SubElement(interface, "mtu", size=str(mtu))  # told to the guest: the tap itself has it already
    if bus is not None:
        _at(interface, bus, slot=0)
    return interface


def domain_xml(
    machine: Machine, files: MachineFiles, accel: Accel, emulator: str = EMULATOR, private_mtu: int = PRIVATE_MTU
) -> str:
    """ValueError: it is in more networks than a machine has ports for."""
    if len(machine.members) > len(PORTS):
        raise ValueError(f"a server is in {len(PORTS)} networks at most, not in {len(machine.members)}")
    domain = ET.Element("domain", type=accel)
    _text(domain, "name", domain_name(machine.server_id))
    _text(domain, "uuid", str(machine.uuid))
    _text(domain, "genid", None)  # a copy of the disk that boots elsewhere gets fresh random numbers
    _text(domain, "memory", str(machine.resources.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(machine.resources.cores))
    _boot(domain, files)
    _processor(domain, accel)
    ET.SubElement(domain, "clock", offset="utc")
    for event, reaction in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        _text(domain, event, reaction)
    devices = ET.SubElement(domain, "devices")
    _text(devices, "emulator", emulator)
    _devices(devices, machine, files)
    for function, bus in enumerate(PORTS):
        port = ET.SubElement(devices, "controller", type="pci", index=str(bus), model="pcie-root-port")
        _at(port, 0, PORTS_SLOT, function, several=function == 0)
    devices.extend(private_nic(member, private_mtu, bus) for bus, member in zip(PORTS, machine.members, strict=False))
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode") + "\n"


def _boot(domain: ET.Element, files: MachineFiles) -> None:
    system = ET.SubElement(domain, "os")
    _text(system, "type", "hvm", arch="x86_64", machine="q35")
    if files.kernel and files.initrd and files.cmdline is not None:
        _text(system, "kernel", str(files.kernel))
        _text(system, "initrd", str(files.initrd))
        _text(system, "cmdline", files.cmdline)
    else:
        ET.SubElement(system, "boot", dev="hd")


def _processor(domain: ET.Element, accel: Accel) -> None:
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")  # the power button
    ET.SubElement(features, "apic")
    if accel == "kvm":
        ET.SubElement(domain, "cpu", mode="host-passthrough", check="none")
        return
    translator = ET.SubElement(features, "tcg")
    _text(translator, "tb-cache", str(TRANSLATION_CACHE_MIB), unit="MiB")
    ET.SubElement(domain, "cpu", mode="maximum", check="none")


def _devices(devices: ET.Element, machine: Machine, files: MachineFiles) -> None:
    ET.SubElement(devices, "controller", type="usb", model="none")
    _disk(devices, files.disk, "vda", slot=2)
    _disk(devices, files.seed, "vdb", slot=3, readonly=True)
    nic = _interface(machine.mac, tap_name(machine.server_id))
    _at(nic, 0, slot=4)
    devices.append(nic)
    random = ET.SubElement(devices, "rng", model="virtio")
    _text(random, "backend", "/dev/urandom", model="random")
    _at(random, 0, slot=5)
    _at(ET.SubElement(devices, "controller", type="virtio-serial", index="0"), 0, slot=6)
    channel = ET.SubElement(devices, "channel", type="unix")
    ET.SubElement(channel, "source", mode="bind", path=str(files.agent_socket))
    ET.SubElement(channel, "target", type="virtio", name=AGENT_CHANNEL)
    serial = ET.SubElement(devices, "serial", type="pty")
    ET.SubElement(serial, "log", file=str(files.serial_log), append="on")
    ET.SubElement(devices, "console", type="pty")
    ET.SubElement(devices, "memballoon", model="none")
    video = ET.SubElement(devices, "video")
    ET.SubElement(video, "model", type="none")


def _disk(devices: ET.Element, path: Path, target: str, slot: int, readonly: bool = False) -> None:
    disk = ET.SubElement(devices, "disk", type="file", device="disk")
    # The format is stated, never probed: a guest writes what it likes into its disk's first bytes.
    driver = ET.SubElement(disk, "driver", name="qemu", type="raw")
    ET.SubElement(disk, "source", file=str(path))
    ET.SubElement(disk, "target", dev=target, bus="virtio")
    if readonly:
        ET.SubElement(disk, "readonly")
    else:
        driver.set("cache", "writeback")  # the guest's flushes are obeyed
        driver.set("discard", "unmap")  # what the guest frees, the host has back
    _at(disk, 0, slot)


def _interface(mac: str, tap: str) -> ET.Element:
    interface = ET.Element("interface", type="ethernet")
    ET.SubElement(interface, "mac", address=mac)
    ET.SubElement(interface, "target", dev=tap, managed="no")  # ours, made before
    ET.SubElement(interface, "model", type="virtio")
    ET.SubElement(interface, "rom", enabled="no")  # nothing boots from the network
    return interface


def _at(device: ET.Element, bus: int, slot: int, function: int = 0, several: bool = False) -> None:
    """``several``: the slot has more functions than this one."""
    place = {"domain": "0x0000", "bus": f"{bus:#04x}", "slot": f"{slot:#04x}", "function": f"{function:#x}"}
    ET.SubElement(device, "address", {"type": "pci", **place, **({"multifunction": "on"} if several else {})})


def _text(parent: ET.Element, tag: str, text: str | None, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text
