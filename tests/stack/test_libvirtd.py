"""A libvirtd of our own: it answers, its guests outlive its death, and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from infra.drivers.libvirtd import LibvirtdError, PrivateLibvirtd
from infra.runtime_dir import RuntimeDir, mounts_below
from workers.processes import Process, Supervisor

GUEST = """
<domain type='qemu'><name>guest</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/>
    </disk>
  </devices>
</domain>
"""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("libvirtd") is None, reason="needs root and libvirt: packages libvirt-*, qemu-*"
)


@pytest_asyncio.fixture
async def ours(tmp_path: Path) -> AsyncIterator[PrivateLibvirtd]:
    """Running; afterwards there must be no process and no mount of it, nor of its guests."""
    with RuntimeDir(tmp_path) as runtime:
        runtime.bind(tmp_path / "host", "host", "libvirt-qemu")
        private = PrivateLibvirtd(runtime.bind(tmp_path / "libvirt", "libvirt"))
        private.prepare()
        async with Supervisor(tmp_path / "pids", print) as supervisor:
            await supervisor.start(Process("libvirtd", private.argv(), tmp_path / "libvirtd.log", ready=private.ready))
            yield private
        assert not _processes_naming(str(runtime.path))
    assert not mounts_below(runtime.path)


async def test_a_guest_outlives_its_libvirtd(ours: PrivateLibvirtd, tmp_path: Path) -> None:
    disk = ours.home.parent / "host" / "disk"  # at the same path inside and outside
    disk.write_bytes(bytes(2**20))
    (tmp_path / "guest.xml").write_text(GUEST.format(disk=disk))
    assert await _virsh(ours, "list", "--all", "--name") == ""
    await _virsh(ours, "define", str(tmp_path / "guest.xml"))
    begun = time.monotonic()
    await _virsh(ours, "start", "guest")
    assert time.monotonic() - begun < 20  # 49 s where libvirt probes QEMU again at every start
    assert disk.owner() == "libvirt-qemu"
    os.kill(int((tmp_path / "pids" / "libvirtd.pid").read_text().split()[0]), signal.SIGKILL)
    await _eventually_ready(ours)
    assert await _virsh(ours, "list", "--name") == "guest"
    await _virsh(ours, "destroy", "guest")
    await _virsh(ours, "undefine", "guest")


async def test_nothing_of_it_is_seen_outside(ours: PrivateLibvirtd) -> None:
    assert not [point for point in mounts_below(Path("/etc")) + mounts_below(Path("/var")) if "libvirt" in str(point)]
    assert ours.socket.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kvm", [True, False])
def test_configuration_is_kept_but_an_earlier_boots_guests_are_not(tmp_path: Path, kvm: bool) -> None:
    private = PrivateLibvirtd(tmp_path / "l", kvm=kvm)
    private.prepare()
    first = (tmp_path / "l" / "etc" / "libvirtd.conf").read_text()
    (tmp_path / "l" / "run" / "note").touch()
    private.prepare()
    assert (tmp_path / "l" / "etc" / "libvirtd.conf").read_text() == first  # the same host uuid
    assert (tmp_path / "l" / "run" / "note").exists()
    (tmp_path / "l" / "boot_id").write_text("another")
    private.prepare()
    assert not (tmp_path / "l" / "run" / "note").exists()
    assert private.argv()[-1] == ("kvm" if kvm else "no-kvm")


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LibvirtdError, match="too long"):
        PrivateLibvirtd(tmp_path / ("x" * 100)).prepare()
    with pytest.raises(LibvirtdError, match=r"nobody-here.*libvirt-daemon-system"):
        PrivateLibvirtd(tmp_path, user="nobody-here").prepare()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LibvirtdError, match="libvirtd is missing: install the package libvirt-daemon-system"):
        PrivateLibvirtd(tmp_path).prepare()


async def _eventually_ready(ours: PrivateLibvirtd) -> None:
    await asyncio.sleep(0.3)  # the socket of the killed one is still there
    while not await ours.ready():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.05)


async def _virsh(ours: PrivateLibvirtd, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "virsh", "-c", ours.uri, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode().strip()


def _processes_naming(text: str) -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it has ended meanwhile
            continue
    return [line for line in lines if text in line]
