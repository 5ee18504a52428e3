"""The doctor: looks at everything that `puchify up` needs of this machine, by trying it, and changes nothing."""

from __future__ import annotations

from infra.config import Settings
from workers.doctor import guests, names, network, packages, ports, programs, room
from workers.doctor.finding import Finding
from workers.wiring import driver_of


def examine(settings: Settings) -> list[Finding]:
    """What is needed follows from the host that would be used: a simulated one needs no hypervisor."""
    libvirt = driver_of(settings) == "libvirt"
    return [
        room.user(libvirt),
        room.memory(),
        room.disk(settings.state),
        *packages.findings(libvirt),
        programs.python(),
        programs.postgres(),
        *programs.temporal(),
        programs.go(),
        programs.libvirt(libvirt),
        programs.qemu(libvirt),
        guests.kvm(),
        guests.reflink(settings.state, libvirt),
        guests.nftables(libvirt),
        guests.tun(libvirt),
        guests.ipv6(libvirt),
        guests.bridges(libvirt),
        *ports.findings(settings),
        *names.findings(settings),
        *network.findings(settings, libvirt),
    ]
