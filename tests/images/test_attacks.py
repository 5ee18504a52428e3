"""No image brings a byte of the host into a disk: neither past the inspection, nor past the converter's own care."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra.domain.errors import ImageRefused
from infra.domain.image_header import Format, Identified
from infra.drivers.confined import Bounds, run_confined
from infra.drivers.convert import QEMU_IMG, convert_to_raw
from tests.images.attacks import ATTACKS, WORD, Attack, secret_file
from tests.images.good import SIZE, Good
from tests.images.sources import refusal

FORMATS: tuple[Format, ...] = ("qcow2", "vmdk", "raw")


@pytest.fixture(params=sorted(ATTACKS))
def attack(request: pytest.FixtureRequest) -> Attack:
    return ATTACKS[request.param]


@pytest.fixture
def image(attack: Attack, good: Good, tmp_path: Path) -> Path:
    """The attack's image; beside it lies the file that it names."""
    path = tmp_path / "image"
    attack(good, secret_file(tmp_path / "secret"), path)
    return path


def test_an_attack_works_on_a_tool_left_to_itself(image: Path, tmp_path: Path) -> None:
    """So that the others prove anything."""
    taken = tmp_path / "taken.raw"
    subprocess.run(("qemu-img", "convert", "-O", "raw", image, taken), check=True, capture_output=True)
    assert WORD in taken.read_bytes()


@pytest.mark.parametrize("claimed", [None, *FORMATS])
def test_an_attack_is_refused(image: Path, claimed: Format | None) -> None:
    assert refusal(image.read_bytes(), claimed)


@pytest.mark.parametrize("format", FORMATS)
async def test_an_attack_that_got_past_the_inspection_takes_nothing(
    image: Path, format: Format, tmp_path: Path
) -> None:
    taken, own = tmp_path / "taken.raw", image.read_bytes()  # noqa: ASYNC240
    size = len(own) if format == "raw" else SIZE
    try:
        await convert_to_raw(image, Identified(format, "", size), taken, lambda done: None, 60)
    except ImageRefused:
        assert not taken.exists()
    else:
        assert format == "raw"  # its own bytes and nothing else
        assert taken.read_bytes() == own


@pytest.mark.parametrize("told", [("-f", "qcow2"), ("-f", "vmdk"), ()], ids=["qcow2", "vmdk", "guessed"])
async def test_a_tool_that_falls_for_an_attack_finds_nothing_to_take(
    image: Path, told: tuple[str, ...], tmp_path: Path
) -> None:
    """Told nothing of backing files, or guessing: the confinement alone is in the way."""
    taken = tmp_path / "taken.raw"
    taken.touch()
    await run_confined(
        QEMU_IMG,
        *("convert", *told, "-O", "raw", "/source", "/target"),
        bounds=Bounds(2**30, 60, SIZE),
        readable={"/source": image},
        writable={"/target": taken},
    )
    assert WORD not in taken.read_bytes()


@pytest.mark.parametrize("named", ["/etc/shadow", "/etc/hostname", "/proc/self/environ", "/proc/cpuinfo"])
async def test_no_file_of_the_system_is_there_to_be_named(named: str, tmp_path: Path) -> None:
    ended = await run_confined(
        QEMU_IMG, "convert", "-f", "raw", "-O", "raw", named, "/target", bounds=Bounds(2**30, 60, SIZE)
    )
    assert ended.status != 0
    assert "No such file" in ended.words
