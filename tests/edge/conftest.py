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

from infra.drivers.edge_networks import EdgeNetworks
from infra.drivers.edges import HaproxyEdge, clear
from infra.drivers.haproxy import argv, is_up, prepare
from tests.edge.backends import Backends


class RunningEdge(HaproxyEdge):
    """``master``: HAProxy's process, which a test may end and start again."""

    def __init__(self, directory: Path, prefix: str, connections: int | None = None) -> None:
        super().__init__(directory, EdgeNetworks(prefix), connections)
        self.directory, self.prefix = directory, prefix
        self.master = self.begin()

    def begin(self) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            self.master = subprocess.Popen(argv(self.directory, "KILL"), stdout=log, stderr=log, start_new_session=True)
        return self.master

    async def until_up(self) -> None:
        async with asyncio.timeout(20):
            while not is_up(self.directory):  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.02)

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


@pytest.fixture
def connections() -> int | None:
    """Of clients, at a time."""
    return None


@pytest_asyncio.fixture
async def edge(edge_directory: Path, connections: int | None) -> AsyncIterator[RunningEdge]:
    prefix = f"pe{os.getpid()}-"
    running = RunningEdge(edge_directory, prefix, connections)
    try:
        await running.until_up()
        yield running
    finally:
        running.end()
        await asyncio.to_thread(clear, EdgeNetworks(prefix))


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
