"""What the builders ask of the machine's apt: which packages are missing, and where packages come from.

An image may be of another release than the machine, so its sources are derived: the machine's own Debian mirrors and
proxies, with the wanted suite. A machine whose apt names no Debian mirror leaves the choice to mmdebstrap.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence

PACKAGES = (
    "binutils",  # strip
    "cpio",  # the initramfs
    "debian-archive-keyring",  # knows the keys of the suite
    "e2fsprogs",  # mke2fs -d
    "fdisk",  # sfdisk
    "grub-pc-bin",  # boot.img, grub-mkimage
    "kmod",  # modprobe --show-depends, depmod
    "lz4",  # kernels come compressed in any of these
    "mmdebstrap",
    "util-linux",  # partx
    "xz-utils",
    "zstd",
)


def missing_packages(wanted: Sequence[str] = PACKAGES) -> list[str]:
    """Those of `wanted` that are not installed; all of them where there is no dpkg."""
    query = ("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *wanted)
    try:
        shown = subprocess.run(query, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return list(wanted)
    installed = {line.split()[0] for line in shown.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in installed]


def mmdebstrap_arguments(suite: str) -> list[str]:
    """Proxy options and `deb` lines that make mmdebstrap fetch `suite` from where this machine's apt fetches."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    shown = _output(
        "apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Identifier: Packages"
    )
    targets = [line.split() for line in shown.splitlines()]
    settings = _output("apt-config", "dump", "--format", '%F "%v";%n', "Acquire::http", "Acquire::https")
    proxies = [line for line in settings.splitlines() if "Proxy" in line and not line.endswith('"";')]
    return [*(f"--aptopt={line}" for line in proxies), *sources(targets, release, suite)]


def sources(targets: Sequence[Sequence[str]], release: str, suite: str) -> list[str]:
    """`deb` lines for `suite` out of the machine's (URI, suite, component) rows for its own `release`.

    The main archive decides: without it the answer is empty. Updates and security follow where the machine has them.
    """
    mirrors = {named: uri for uri, named, component in reversed(targets) if component == "main"}
    if release not in mirrors:
        return []
    pockets = [pocket for pocket in ("", "-updates", "-security") if release + pocket in mirrors]
    return [f"deb {mirrors[release + pocket]} {suite}{pocket} main" for pocket in pockets]


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return ""
