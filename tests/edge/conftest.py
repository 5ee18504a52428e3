"""An edge in the session's own network, HAProxy running on it, and backends that it can send to."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from infra.domain.edge_plan import EdgePlan
from infra.drivers.edge_networks import EdgeNetworks
from infra.drivers.edges import HaproxyEdge
from infra.drivers.haproxy import argv, prepare
from infra.drivers.haproxy_sockets import Silent, Sockets
from tests.edge.backends import Backends


class RunningEdge(HaproxyEdge):
    """``master``: HAProxy's process, which a test may end and start again."""

    def __init__(self, directory: Path, prefix: str) -> None:
        super().__init__(directory, EdgeNetworks(prefix))
        self.directory, self.prefix = directory, prefix
        self.sockets = Sockets(directory)
        self.master = self.begin()

    def begin(self) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            self.master = subprocess.Popen(argv(self.directory, "KILL"), stdout=log, stderr=log, start_new_session=True)
        return self.master

    async def until_up(self) -> None:
        async with asyncio.timeout(20):
            while not self._answers():  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return self.sockets.worker() in self.sockets.processes().workers
        except Silent:
            return False

    def end(self) -> None:
        self.master.send_signal(signal.SIGTERM)
        try:
            self.master.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.master.pid, signal.SIGKILL)
            self.master.wait()


@pytest.fixture
def edge_directory(private_network: None) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="edge", dir="/run"))
    prepare(directory)
    yield directory
    shutil.rmtree(directory)


@pytest_asyncio.fixture
async def edge(edge_directory: Path) -> AsyncIterator[RunningEdge]:
    prefix = f"pe{os.getpid()}-"
    running = RunningEdge(edge_directory, prefix)
    try:
        await running.until_up()
        yield running
        await running.follow(EdgePlan(1))
    finally:
        running.end()
        await asyncio.to_thread(_clear, prefix)


def _clear(prefix: str) -> None:
    names = subprocess.run(("ip", "-o", "link"), capture_output=True, text=True, check=True).stdout.splitlines()
    for name in [line.split(": ")[1].partition("@")[0] for line in names]:
        if name.startswith(("lb0", "pb-", "px-")):
            subprocess.run(("ip", "link", "del", name), check=False, stderr=subprocess.DEVNULL)
    for file in Path("/run/netns").glob(f"{prefix}*"):
        subprocess.run(("ip", "netns", "del", file.name), check=True)


@pytest_asyncio.fixture
async def backends(private_network: None) -> AsyncIterator[Backends]:
    async with Backends() as some:
        yield some


@pytest.fixture(scope="session")
def own_pem(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A certificate for app.example.com that vouches for itself, with its key."""
    at = tmp_path_factory.mktemp("pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=app.example.com", "-addext", "subjectAltName=DNS:app.example.com"),
            *("-keyout", at / "key", "-out", at / "crt"),
        ],
        check=True,
        capture_output=True,
    )
    return (at / "crt").read_text() + (at / "key").read_text()
