"""atheris over the inspector: no crash, no hang, bounded memory; some seconds here, longer by `make fuzz-images`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images import bad_raw
from tests.images.good import SMALL, make_good

ROOT = Path(__file__).parents[2]
MINUTES = float(os.environ.get("MINUTES", 0.2))
BOUNDS = ("-timeout=5", "-rss_limit_mb=512", "-malloc_limit_mb=256", "-print_final_stats=1")
PLANTED = """
from infra.domain import vmdk_header
def inspect(source, limit): raise IndexError("planted")
import infra.domain.image_header as header
header.inspect_vmdk = inspect
from tests.images.fuzz_image_header import main
main()
"""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and bad images of a disk so small that they are tried by the thousand."""
    small = make_good(tmp_path_factory.mktemp("small"), SMALL)
    images = [image for image in small.forms.values() if len(image) < 2**19]
    images += [make(small) for make, _ in bad_raw.BAD.values()]
    directory = tmp_path_factory.mktemp("seeds")
    for number, content in enumerate(images):
        Path(directory, str(number)).write_bytes(bytes([number & 1]) + content)
    return directory


def fuzz(seeds: Path, findings: Path, seconds: float, *python: str) -> subprocess.CompletedProcess[str]:
    """Through `timeout`, since a process begins with the most memory that the one had which started it."""
    findings.mkdir(exist_ok=True)
    limit = seconds * 2 + 100
    program = (sys.executable, *python, seeds)
    return subprocess.run(
        ("timeout", str(limit), *program, f"-max_total_time={seconds:.0f}", f"-artifact_prefix={findings}/", *BOUNDS),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=limit + 20,
    )


@pytest.mark.timeout(MINUTES * 120 + 200)
def test_nothing_but_a_refusal_comes_out(seeds: Path, tmp_path: Path) -> None:
    ended = fuzz(seeds, tmp_path / "findings", MINUTES * 60, "-m", "tests.images.fuzz_image_header")
    print(ended.stderr[-3000:])
    assert ended.returncode == 0, f"{ended.stdout[-3000:]}\nkept in {tmp_path}"
    runs = re.search(r"stat::number_of_executed_units: (\d+)", ended.stderr)
    assert runs is not None
    assert int(runs[1]) > 1000


def test_what_is_not_a_refusal_would_be_found(seeds: Path, tmp_path: Path) -> None:
    ended = fuzz(seeds, tmp_path / "findings", 60, "-c", PLANTED)
    assert ended.returncode != 0
    assert "planted" in ended.stdout + ended.stderr
    assert any((tmp_path / "findings").iterdir())
