"""A machine as libvirt reads it: the domain XML of one server, decided here and only applied by the driver.

Few devices, all virtio and all on the root bus at fixed slots: what is not there takes no time to boot. An image that
brings its kernel is booted directly (no firmware, no boot loader), any other through BIOS from its disk. Without a
usable KVM the processor is emulated (TCG) with a bounded translation cache: without a bound, 512 MiB become over 1 GiB.

Source: libvirt's domain format (formatdomain.html), libvirt 9.0 and QEMU 7.2 at least.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

from infra.domain.models import Machine
from infra.domain.port_names import tap_name

Accel = Literal["kvm", "qemu"]

NAME_PREFIX = "server-"
AGENT_CHANNEL = "org.puchify.agent.0"
TRANSLATION_CACHE_MIB = 256
EMULATOR = "/usr/bin/qemu-system-x86_64"


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


def domain_xml(machine: Machine, files: MachineFiles, accel: Accel, emulator: str = EMULATOR) -> str:
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
    _devices(domain, machine, files, emulator)
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


def _devices(domain: ET.Element, machine: Machine, files: MachineFiles, emulator: str) -> None:
    devices = ET.SubElement(domain, "devices")
    _text(devices, "emulator", emulator)
    ET.SubElement(devices, "controller", type="usb", model="none")
    _disk(devices, files.disk, "vda", slot=2)
    _disk(devices, files.seed, "vdb", slot=3, readonly=True)
    _interface(devices, machine, slot=4)
    random = ET.SubElement(devices, "rng", model="virtio")
    _text(random, "backend", "/dev/urandom", model="random")
    _slot(random, 5)
    _slot(ET.SubElement(devices, "controller", type="virtio-serial", index="0"), 6)
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
    _slot(disk, slot)


def _interface(devices: ET.Element, machine: Machine, slot: int) -> None:
    interface = ET.SubElement(devices, "interface", type="ethernet")
    ET.SubElement(interface, "mac", address=machine.mac)
    ET.SubElement(interface, "target", dev=tap_name(machine.server_id), managed="no")  # ours, made before
    ET.SubElement(interface, "model", type="virtio")
    ET.SubElement(interface, "rom", enabled="no")  # nothing boots from the network
    _slot(interface, slot)


def _slot(device: ET.Element, slot: int) -> None:
    ET.SubElement(device, "address", type="pci", domain="0x0000", bus="0x00", slot=f"{slot:#04x}", function="0x0")


def _text(parent: ET.Element, tag: str, text: str | None, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text
