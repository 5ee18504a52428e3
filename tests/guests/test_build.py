"""The pure parts of the image builders: names, descriptions, sources and what a build that ends badly leaves behind."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from infra.guests import agent, apt, build, grub, kernel


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the builders' own sources, free to be edited."""
    return Path(shutil.copytree(build.HERE, tmp_path / "guests", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def tiny_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replaces the tiny guest's builder by a script that the test writes, on a machine that can run it."""
    script = tmp_path / "script.sh"
    recipe = replace(build.RECIPES["tiny"], script=str(script), suite="suite")
    monkeypatch.setitem(build.RECIPES, "tiny", recipe)
    monkeypatch.setattr(build, "check_machine", lambda: None)
    monkeypatch.setattr(build, "mmdebstrap_arguments", lambda suite: [])
    monkeypatch.setattr(build, "extract_vmlinux", lambda bzimage: bzimage)
    monkeypatch.setattr(build, "embed_grub", lambda disk, core: None)
    return script


WORKING_SCRIPT = """
mkdir "$1/work"
truncate -s 8M "$1/disk.raw"
cp /bin/true "$1/vmlinuz"
touch "$1/initrd" "$1/grub-core"
echo "root=/dev/vda1 quiet" >"$1/cmdline"
echo "built from $2"
"""


@pytest.mark.parametrize("name", build.GUESTS)
def test_key_follows_every_source_of_its_image(name: str, sources: Path) -> None:
    before = build.cache_key(name, sources)
    assert before == build.cache_key(name)
    for source in build.source_files(sources, name):
        content = source.read_bytes()
        source.write_bytes(content + b"#")
        assert build.cache_key(name, sources) != before, source
        source.write_bytes(content)
    assert build.cache_key(name, sources) == before


def test_key_ignores_the_other_image(sources: Path) -> None:
    before = build.cache_key("tiny", sources)
    (sources / "debian.sh").write_text("exit 1\n")
    (sources / "tiny" / "new").write_text("")
    assert build.cache_key("tiny", sources) != before
    (sources / "tiny" / "new").unlink()
    assert build.cache_key("tiny", sources) == before


def test_image_survives_being_written_and_read(tmp_path: Path) -> None:
    image = build.GuestImage(
        "tiny", tmp_path, "0" * 64, 1 << 28, 1, "root=/dev/vda1 quiet", "debian", "13", True, "A name"
    )
    image.save()
    assert build.GuestImage.load(tmp_path) == image
    assert str(tmp_path) not in (tmp_path / "image.json").read_text()


def test_load_tells_an_unfinished_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        build.GuestImage.load(tmp_path)


def test_built_once_and_then_found(tiny_script: Path, tmp_path: Path) -> None:
    tiny_script.write_text(WORKING_SCRIPT)
    said: list[str] = []
    image = build.ensure_image("tiny", tmp_path / "cache", said.append)
    assert "built from suite" in said
    assert image.directory.name == f"tiny-{build.cache_key('tiny')}"
    assert {path.name for path in image.directory.iterdir()} == {
        "disk.raw",
        "vmlinux",
        "initrd",
        "cmdline",
        "image.json",
    }
    assert image.digest == hashlib.sha256(image.disk.read_bytes()).hexdigest()
    assert (image.disk_bytes, image.cmdline, image.has_agent) == (8 << 20, "root=/dev/vda1 quiet", True)
    tiny_script.write_text("exit 1\n")
    assert build.ensure_image("tiny", tmp_path / "cache") == image


def test_two_builders_build_once(tiny_script: Path, tmp_path: Path) -> None:
    tiny_script.write_text(f"echo x >>{tmp_path}/count\nsleep 0.2\n{WORKING_SCRIPT}")
    images: list[build.GuestImage] = []
    builders = [
        threading.Thread(target=lambda: images.append(build.ensure_image("tiny", tmp_path / "cache"))) for _ in range(3)
    ]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert len(images) == 3
    assert len(set(images)) == 1
    assert (tmp_path / "count").read_text() == "x\n"


@pytest.mark.parametrize("end", ["exit 3", "kill -KILL $$"])
def test_a_build_that_fails_leaves_nothing_that_looks_finished(end: str, tiny_script: Path, tmp_path: Path) -> None:
    tiny_script.write_text(f"{WORKING_SCRIPT}\necho no more room >&2\n{end}\n")
    with pytest.raises(build.BuildFailed, match="no more room"):
        build.ensure_image("tiny", tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir() if not path.name.endswith(".lock")] == []
    tiny_script.write_text(WORKING_SCRIPT)
    assert build.ensure_image("tiny", tmp_path / "cache").disk.exists()


def test_a_killed_builder_is_cleaned_up_after(tiny_script: Path, tmp_path: Path) -> None:
    tiny_script.write_text(WORKING_SCRIPT)
    left = tmp_path / "cache" / f".tiny-{build.cache_key('tiny')}.partial"
    (left / "work").mkdir(parents=True)  # its own script would stumble over it
    (left / "image.json").write_text("{}")
    assert build.ensure_image("tiny", tmp_path / "cache").disk_bytes == 8 << 20
    assert not left.exists()


def test_lock_lasts_as_long_as_the_script(tiny_script: Path, tmp_path: Path) -> None:
    """Whoever started the script may be killed: the next builder waits until the script has ended too."""
    said: list[str] = []
    path = tmp_path / "lock"
    with build._build_lock(path, said.append) as lock:
        script = subprocess.Popen(("sleep", "60"), pass_fds=(lock,))
    waiting = threading.Thread(target=lambda: build._build_lock(path, said.append).__enter__())
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    script.send_signal(signal.SIGKILL)
    script.wait()
    waiting.join(5)
    assert not waiting.is_alive()
    assert said == ["waiting for another build (lock)"]


def test_every_obstacle_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(build, "missing_packages", lambda: ["cpio", "kmod"])
    with pytest.raises(build.BuildImpossible, match=r"needs root.*apt-get install cpio kmod"):
        build.check_machine()


def test_missing_packages_are_those_dpkg_does_not_have() -> None:
    if shutil.which("dpkg-query") is None:
        pytest.skip("not a Debian machine")
    assert apt.missing_packages(("dpkg", "no-such-package")) == ["no-such-package"]


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([], []),
        ([("http://m/pgdg/", "old-pgdg", "main"), ("http://m/tools/", "old", "contrib")], []),
        ([("http://m/debian/", "old", "main")], ["deb http://m/debian/ new main"]),
        (
            [
                ("http://m/debian/", "old", "main"),
                ("http://other/", "old", "main"),
                ("http://s/", "old-security", "main"),
            ],
            ["deb http://m/debian/ new main", "deb http://s/ new-security main"],
        ),
    ],
)
def test_sources_follow_the_machines_mirror(targets: list[tuple[str, str, str]], expected: list[str]) -> None:
    assert apt.sources(targets, "old", "new") == expected


def test_vendor_data_is_a_boothook_that_a_shell_accepts() -> None:
    document = agent.vendor_data()
    assert document.startswith("#cloud-boothook\n#!/bin/sh\n")
    assert not any(f"@{name}@" in document for name in ("AGENT", "UNIT", "NETWORK", "NETWORK_UNIT"))
    for name in ("puchify-agent", "puchify-network"):
        assert (agent.HERE / name).read_text() in document
    assert subprocess.run(("sh", "-n"), input=document, text=True, capture_output=True).stderr == ""


def test_kernel_is_found_behind_false_starts() -> None:
    elf = b"\x7fELF" + b"kernel" * 100
    packed = subprocess.run(("gzip", "-c"), input=elf, capture_output=True, check=True).stdout
    assert kernel.extract_vmlinux(b"loader\x1f\x8b\x08 not yet" + packed + b"trailer") == elf
    with pytest.raises(kernel.NoKernelFound):
        kernel.extract_vmlinux(b"\x1f\x8b\x08 nothing")


def test_grub_is_embedded_around_the_partition_table(tmp_path: Path) -> None:
    boot_sector, disk = tmp_path / "boot.img", tmp_path / "disk.raw"
    boot_sector.write_bytes(b"\xeb" * 512)
    disk.write_bytes(b"\xaa" * 512)
    with disk.open("r+b") as file:
        file.truncate(2 << 20)
    grub.embed_grub(disk, b"\x55" * 1300, boot_sector)
    content = disk.read_bytes()
    assert content[440:512] == b"\xaa" * 72
    assert content[grub.CORE_ADDRESS : grub.CORE_ADDRESS + 8] == (2048).to_bytes(8, "little")
    core = content[2048 * 512 :]
    assert core[grub.BLOCK_LIST : grub.BLOCK_LIST + 10] == (2049).to_bytes(8, "little") + (2).to_bytes(2, "little")
    assert core[:4] == b"\x55" * 4
