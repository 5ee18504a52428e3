"""What guests need of the kernel: processor, storage, network. Each is found out by trying it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from infra.drivers.libvirtd import kvm_usable
from infra.drivers.reflink import can_clone
from workers.doctor.finding import Finding, lacking, ok

# mov dx, 0x501; mov al, 0x10; out dx, al: a boot sector that ends QEMU with exit code 2 * 0x10 + 1.
BOOT_SECTOR = b"\xba\x01\x05\xb0\x10\xee".ljust(510, b"\xf4") + b"\x55\xaa"
EXIT_CODE = 0x21
SLOW = "guests are emulated (TCG), some ten times slower"
NFT = "add table inet puchify_doctor\ndelete table inet puchify_doctor\n"


def kvm() -> Finding:
    if not Path("/dev/kvm").exists():
        mend = (
            "on bare metal: enable virtualisation in the firmware and load kvm_amd or kvm_intel; in a virtual machine: "
        )
        return lacking("kvm", False, f"no /dev/kvm; {SLOW}", mend + "ask its host for nested virtualisation")
    if not kvm_usable():
        found = f"/dev/kvm is of a kind that does not run our guests (kvm_pvm); {SLOW}"
        return lacking("kvm", False, found, "use a machine with hardware virtualisation")
    if shutil.which("qemu-system-x86_64") is None:
        return lacking("kvm", False, "/dev/kvm is there; not tried without QEMU", "apt-get install qemu-system-x86")
    if (told := _boot_under_kvm()) is not None:
        return lacking("kvm", False, f"/dev/kvm is there, but a guest does not run: {told}; {SLOW}", "see dmesg")
    return ok("kvm", "a guest ran under it")


def _boot_under_kvm(seconds: float = 15.0) -> str | None:
    """Run a boot sector that ends itself; None when it did, else what came instead."""
    with tempfile.NamedTemporaryFile(suffix=".img") as disk:
        disk.write(BOOT_SECTOR)
        disk.flush()
        argv = ["qemu-system-x86_64", "-accel", "kvm", "-m", "32", "-nodefaults", "-display", "none"]
        argv += ["-drive", f"file={disk.name},format=raw,if=ide", "-device", "isa-debug-exit"]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            return f"nothing happened within {seconds:g} s"
    if done.returncode == EXIT_CODE:
        return None
    return (done.stderr.strip().splitlines() or [f"QEMU ended with {done.returncode}"])[-1]


def reflink(state: Path, needed: bool) -> Finding:
    place = next(path for path in (state.absolute(), *state.absolute().parents) if path.is_dir())
    try:
        if can_clone(place):
            return ok("reflink", f"files below {place} can be cloned")
    except OSError as error:
        return lacking(
            "reflink", needed, f"{place}: {error.strerror}", "set PUCHIFY_STATE to a place that can be written"
        )
    missing = [one for one in ("mkfs.xfs", "losetup") if shutil.which(one) is None]
    if not Path("/dev/loop-control").exists():
        missing.append("/dev/loop-control")
    if missing:
        mend = "apt-get install xfsprogs mount, and load the kernel module loop"
        return lacking(
            "reflink", needed, f"not below {place}, and for an XFS of our own: no {', '.join(missing)}", mend
        )
    return ok("reflink", f"not below {place}: an XFS in a file is mounted for it")


def nftables(needed: bool) -> Finding:
    mend = "apt-get install nftables, run as root, with a kernel that has nf_tables"
    if shutil.which("nft") is None:
        return lacking("nftables", needed, "the program nft is missing", mend)
    done = subprocess.run(["nft", "--check", "-f", "-"], input=NFT, capture_output=True, text=True)
    if done.returncode != 0:
        return lacking("nftables", needed, (done.stderr.strip().splitlines() or ["refused"])[0], mend)
    return ok("nftables", "the kernel takes rules")


def tun(needed: bool) -> Finding:
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return lacking("tun", needed, f"/dev/net/tun: {error.strerror}", "modprobe tun, and run as root")
    return ok("tun", "/dev/net/tun can be opened")


def bridges(needed: bool) -> Finding:
    """Only found out, not tried: the host worker loads it."""
    mend = "modprobe br_netfilter (linux-modules-extra on some kernels), or a kernel that has it"
    if Path("/proc/sys/net/bridge").exists():
        return ok("br_netfilter", "firewalls see what private networks carry")
    if shutil.which("modprobe") is None:
        return lacking("br_netfilter", needed, "not loaded, and the program modprobe is missing", mend)
    if subprocess.run(("modprobe", "--dry-run", "br_netfilter"), capture_output=True).returncode != 0:
        return lacking("br_netfilter", needed, "the kernel has none: private networks have no firewalls", mend)
    return ok("br_netfilter", "can be loaded")


def ipv6(needed: bool) -> Finding:
    switch = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
    if switch.exists() and switch.read_text().strip() == "0":
        return ok("ipv6", "on")
    return lacking(
        "ipv6", needed, "switched off", "sysctl net.ipv6.conf.all.disable_ipv6=0, or boot with ipv6.disable=0"
    )
