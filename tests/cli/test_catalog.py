"""`puchify catalog ...`: the plan is read before anything is written, and what is wrong is told with its line."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.run import PATIENCE, Ended, argv, environment, puchify

FILE = """\
network_zones: [eu]
locations:
- {name: fsn1, id: 7, network_zone: eu}
server_types:
- {name: small, id: 22, cores: 1, memory: 1 GiB, disk: 10 GiB, price: {hourly: 0.005, monthly: 3.29}}
"""

PLAN = """\
create network zone eu
create location fsn1
    id: 7
    description: fsn1
    network_zone: eu
create datacenter fsn1-dc1
    description: fsn1 DC 1
    location: fsn1
create server type small
    id: 22
    description: 1 vCPU, 1 GiB memory, 10 GiB disk
    cores: 1
    memory: 1 GiB
    disk: 10 GiB
    price: {hourly: '0.005', monthly: '3.29'}
4 to create, 0 to change, 0 as the file says
"""


@dataclass
class Shell:
    """An operator's shell on books of its own, with a file at hand."""

    directory: Path
    database: str

    def write(self, text: str) -> None:
        (self.directory / "catalog.yaml").write_text(text)

    @property
    def settings(self) -> dict[str, object]:
        return {"state": self.directory / "state", "database_url": self.database}

    @property
    def file(self) -> str:
        return str(self.directory / "catalog.yaml")

    def apply(self, *options: str) -> Ended:
        return puchify("catalog", "apply", self.file, *options, **self.settings)

    def asked_at_a_terminal(self, answer: str) -> tuple[int, str]:
        ours, theirs = os.openpty()
        try:
            os.write(ours, answer.encode())
            done = subprocess.run(
                argv("catalog", "apply", self.file),
                env=environment(**self.settings),
                stdin=theirs,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        finally:
            os.close(ours)
            os.close(theirs)
        return done.returncode, done.stdout

    def shown(self) -> str:
        return puchify("catalog", "show", **self.settings).out


@pytest.fixture
def shell(tmp_path: Path, database: str) -> Shell:
    found = Shell(tmp_path, database)
    found.write(FILE)
    return found


def test_the_plan_is_shown_and_then_applied_and_then_there_is_nothing_to_do(shell: Shell) -> None:
    first, second = shell.apply("--yes"), shell.apply("--yes")

    assert (first.code, first.err, first.out) == (0, "", f"{PLAN}Applied.\n")
    assert (second.code, second.err) == (0, "")
    assert second.out == "0 to create, 0 to change, 3 as the file says\n"


def test_without_a_yes_nothing_is_done(shell: Shell) -> None:
    before = shell.shown()
    asked, tried = shell.apply(), shell.apply("--dry-run")

    assert (asked.code, asked.out) == (1, f"{PLAN}Nothing was done: say --yes to apply it.\n")
    assert (tried.code, tried.out) == (2, PLAN)
    assert shell.shown() == before


def test_at_a_terminal_it_asks(shell: Shell) -> None:
    before = shell.shown()
    code, out = shell.asked_at_a_terminal("n\n")
    assert (code, out.splitlines()[-1]) == (1, "Apply this? [y/N]: Nothing was done.")
    assert shell.shown() == before

    code, out = shell.asked_at_a_terminal("y\n")
    assert (code, out.splitlines()[-1]) == (0, "Apply this? [y/N]: Applied.")
    assert shell.shown() != before


def test_a_change_is_told_field_by_field_and_location_by_location(shell: Shell) -> None:
    shell.apply("--yes")
    shell.write(
        "server_types:\n"
        "- name: small\n"
        "  price: {hourly: 0.006, monthly: 3.29}\n"
        "  deprecation: {announced: 2026-01-01, unavailable_after: 2026-04-01}\n"
        "  locations: [{name: fsn1, recommended: true}]\n"
    )

    assert shell.apply("--dry-run").out.splitlines() == [
        "change server type small",
        "    price: {hourly: '0.005', monthly: '3.29'} -> {hourly: '0.006', monthly: '3.29'}",
        "    deprecation: null -> {announced: 2026-01-01, unavailable_after: 2026-04-01}",
        "    locations[fsn1]: null -> {recommended: true}",
        "0 to create, 1 to change, 0 as the file says",
    ]


def test_what_is_wrong_is_told_with_its_line_and_nothing_is_applied(shell: Shell) -> None:
    before = shell.shown()
    shell.write(FILE.replace("cores: 1", "cores: one").replace("network_zone: eu}", "vat-rate: 3}"))
    malformed = shell.apply("--yes")
    shell.write(FILE + "default_location: atlantis\n")
    dangling = shell.apply("--yes")

    assert (malformed.code, malformed.out, malformed.err.splitlines()) == (
        1,
        "",
        [
            f"puchify: {shell.file}:3: locations[0].vat-rate: is no key that a catalog has here",
            f"puchify: {shell.file}:5: server_types[0].cores: must be a valid integer",
        ],
    )
    assert dangling.err == f"puchify: {shell.file}:6: default_location: there is no location 'atlantis'\n"
    assert shell.shown() == before


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "cannot be read: No such file or directory"), (b"\xff\xfe", "is no text")]
)
def test_a_file_that_cannot_be_read(shell: Shell, content: bytes | None, reason: str) -> None:
    Path(shell.file).unlink()
    if content is not None:
        Path(shell.file).write_bytes(content)
    ended = shell.apply("--yes")

    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert reason in ended.err


def test_what_is_shown_is_a_file_that_can_be_applied_from_a_pipe(shell: Shell) -> None:
    shell.apply("--yes")
    done = subprocess.run(
        argv("catalog", "apply", "-"),
        env=environment(**shell.settings),
        input=shell.shown(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("0 to create, 0 to change")
