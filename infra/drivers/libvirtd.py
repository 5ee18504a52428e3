"""A libvirtd of Puchify's own: its own configuration, socket, guests and mount namespace, beside any other on the host.

Inside the namespace its directories lie over the system's (/etc/libvirt, /var/lib/libvirt, ...), so nothing of the
host's libvirt is read or written. It takes the network namespace it is started in. Guests outlive it: a new libvirtd
over the same `home` finds them again.
"""

from __future__ import annotations

import asyncio
import fcntl
import grp
import json
import os
import pwd
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

KVM_CREATE_VM = 0xAE01
DIRECTORIES = ("etc", "run", "lib", "log", "cache")

# Positional: home, user's group id, "kvm" or "no-kvm". The namespace is private: it sees what is mounted when it is
# made, and nothing it mounts gets out.
START = """
set -eu
home=$1 group=$2 kvm=$3
mkdir -p /etc/libvirt /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt
mount --bind "$home/etc" /etc/libvirt
mount --bind "$home/run" /run/libvirt
mount --bind "$home/lib" /var/lib/libvirt
mount --bind "$home/log" /var/log/libvirt
mount --bind "$home/cache" /var/cache/libvirt
if [ -e /dev/kvm ]; then
  # A file system of its own, as /run and the like may refuse device nodes.
  mount -t tmpfs -o mode=0755,size=64k tmpfs "$home/dev"
  if [ "$kvm" = kvm ]; then
    mknod -m 0660 "$home/dev/kvm" c 10 232
    chgrp "$group" "$home/dev/kvm"
  else
    : > "$home/dev/kvm"
    chmod 0 "$home/dev/kvm"
  fi
  mount --bind "$home/dev/kvm" /dev/kvm
fi
# So that /sys/class/net shows the network namespace we are in; refused in some containers, where it is the right one.
mount -t sysfs sysfs /sys 2>/dev/null || true
# Two libvirtd would register guests of the same name with the one machined.
[ ! -d /run/dbus ] || mount -t tmpfs -o mode=0755,size=64k tmpfs /run/dbus
exec libvirtd --config /etc/libvirt/libvirtd.conf --pid-file /run/libvirt/libvirtd.pid
"""


class LibvirtdError(Exception):
    """libvirt or QEMU is missing or cannot be set up; the message names the package or the place."""


@dataclass(frozen=True, slots=True)
class PrivateLibvirtd:
    """`home` holds all of it and must be a short path: the socket's path below it may not pass 107 bytes."""

    home: Path
    user: str = "libvirt-qemu"
    group: str = "kvm"
    kvm: bool | None = None  # None: when the machine has a usable one

    @property
    def socket(self) -> Path:
        return self.home / "run" / "libvirt-sock"

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self.socket}"

    def prepare(self) -> None:
        """Write the configuration, and forget the running guests of an earlier boot of the machine."""
        self._require()
        self.home.mkdir(parents=True, exist_ok=True)
        self._forget_earlier_boot()
        for name in (*DIRECTORIES, "dev"):
            (self.home / name).mkdir(mode=0o711, exist_ok=True)
        (self.home / "etc" / "qemu").mkdir(exist_ok=True)
        (self.home / "etc" / "libvirtd.conf").write_text(_conf(self._daemon()))
        (self.home / "etc" / "qemu.conf").write_text(_conf(self._qemu()))

    def argv(self) -> tuple[str, ...]:
        """Run it in the foreground, as root; ends on SIGTERM and leaves the guests running."""
        group = str(grp.getgrnam(self.group).gr_gid)
        kvm = "kvm" if (kvm_usable() if self.kvm is None else self.kvm) else "no-kvm"
        script = ("sh", "-c", START, "puchify-libvirtd", str(self.home), group, kvm)
        return ("unshare", "--mount", "--propagation", "private", "--", *script)

    async def ready(self) -> bool:
        """Whether it answers a request, which it does only once its drivers are up."""
        if not self.socket.exists():
            return False
        asking = await asyncio.create_subprocess_exec(
            "virsh",
            "--connect",
            self.uri,
            "version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await asking.wait() == 0

    def _daemon(self) -> dict[str, object]:
        return {
            "listen_tls": 0,
            "listen_tcp": 0,
            "unix_sock_dir": str(self.home / "run"),  # as clients outside name it; the same directory inside
            "unix_sock_ro_perms": "0700",
            "unix_sock_rw_perms": "0700",  # root alone: whoever reaches it is root on this host
            "auth_unix_ro": "none",
            "auth_unix_rw": "none",
            "host_uuid": self._host_uuid(),
            "log_outputs": "3:stderr",  # warnings; the supervisor keeps them
        }

    def _qemu(self) -> dict[str, object]:
        return {
            "user": self.user,
            "group": self.group,
            "security_driver": "none",  # AppArmor's profiles are made for the one libvirtd of the system
            "stdio_handler": "file",  # no virtlogd needed
            "cgroup_controllers": [],  # the fresh sysfs hides them
            "namespaces": [],  # one mount namespace is enough
            "remember_owner": 0,  # no extended attributes on disks: they vanish on the next owner's file system
        }

    def _host_uuid(self) -> str:
        """Migration between two libvirtd of the same uuid is refused, so each has its own, for good."""
        path = self.home / "host_uuid"
        if not path.exists():
            path.write_text(str(uuid.uuid4()))
        return path.read_text()

    def _forget_earlier_boot(self) -> None:
        # Its notes on running guests name processes; after a reboot those ids belong to somebody else.
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        note = self.home / "boot_id"
        if not note.exists() or note.read_text() != boot:
            shutil.rmtree(self.home / "run", ignore_errors=True)
            note.write_text(boot)

    def _require(self) -> None:
        for program, package in (
            ("libvirtd", "libvirt-daemon-system"),
            ("virsh", "libvirt-clients"),
            ("qemu-system-x86_64", "qemu-system-x86"),
            ("unshare", "util-linux"),
        ):
            if shutil.which(program) is None:
                raise LibvirtdError(f"the program {program} is missing: install the package {package}")
        try:
            pwd.getpwnam(self.user), grp.getgrnam(self.group)
        except KeyError as error:
            raise LibvirtdError(f"{error.args[0]}: install the package libvirt-daemon-system") from None
        if len(str(self.socket)) > 107:
            raise LibvirtdError(f"the path {self.socket} is too long for a socket: use a shorter home")


def kvm_usable() -> bool:
    """Whether guests may rely on KVM. A nested one of the kind kvm_pvm makes machines, but does not run our guests."""
    if Path("/sys/module/kvm_pvm").exists():
        return False
    try:
        device = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(fcntl.ioctl(device, KVM_CREATE_VM, 0))
    except OSError:
        return False
    finally:
        os.close(device)
    return True


def _conf(values: dict[str, object]) -> str:
    lines = (f"{key} = {json.dumps(value)}" for key, value in values.items())
    return "# Written by Puchify at every start: changes made here are lost.\n" + "\n".join(lines) + "\n"
