"""One PowerDNS for all tests, real, on the session's PostgreSQL; it is asked as resolvers ask it, over UDP."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest_asyncio

from infra.config import Settings
from infra.db.cluster import PostgresCluster
from infra.runtime_dir import RuntimeDir
from workers.local import engines
from workers.processes import Process, Supervisor

KEY = "k" * 64


@dataclass
class NameServer:
    """``settings``: what a region needs to know of it."""

    port: int
    settings: dict[str, Any]

    async def ask(self, name: str, type: str, address: str = "127.0.0.1") -> list[str] | str:
        """The records, sorted, of an authority; what is wrong (NXDOMAIN, REFUSED) in its own word."""
        answer = await self._answer(name, type, address)
        if answer.rcode() != dns.rcode.NOERROR:
            return dns.rcode.to_text(answer.rcode())
        assert answer.flags & dns.flags.AA
        return _of_type(answer.answer, type)

    async def referral(self, name: str, type: str = "NS") -> list[str]:
        """What it says of the records of a delegation, which are others' to answer for."""
        answer = await self._answer(name, type, "127.0.0.1")
        return _of_type([*answer.answer, *answer.authority], type)

    async def _answer(self, name: str, type: str, address: str) -> dns.message.Message:
        query = dns.message.make_query(f"{name}.", type)
        query.flags &= ~dns.flags.RD
        answer, _ = await dns.asyncquery.udp_with_fallback(query, address, port=self.port, timeout=5)
        return answer


def _of_type(rrsets: Iterable[dns.rrset.RRset], type: str) -> list[str]:
    wanted = dns.rdatatype.from_text(type)
    return sorted(rdata.to_text() for rrset in rrsets if rrset.rdtype == wanted for rdata in rrset)


@pytest_asyncio.fixture(scope="session")
async def name_server(
    stack_state: Path, stack_runtime: RuntimeDir, postgres: PostgresCluster
) -> AsyncIterator[NameServer]:
    async with Supervisor(stack_state / "pids", print) as supervisor:
        server, process = await _name_server(postgres, stack_runtime, stack_state, "powerdns", free_ports())
        await supervisor.start(process)
        yield server


@dataclass
class MortalNameServer:
    """One of a test's own, on the same database: nobody else notices that it is away."""

    server: NameServer
    supervisor: Supervisor
    process: Process

    async def stop(self) -> None:
        await self.supervisor.stop(self.process.name)

    async def start(self) -> None:
        await self.supervisor.start(self.process)


async def start_mortal(
    supervisor: Supervisor, postgres: PostgresCluster, runtime: RuntimeDir, state: Path
) -> MortalNameServer:
    port = free_ports()
    server, process = await _name_server(postgres, runtime, state, f"powerdns-{port}", port)
    await supervisor.start(process)
    return MortalNameServer(server, supervisor, process)


async def _name_server(
    postgres: PostgresCluster, runtime: RuntimeDir, state: Path, name: str, port: int
) -> tuple[NameServer, Process]:
    told = {"dns_port": port, "dns_api_url": f"http://127.0.0.1:{port + 1}", "dns_api_key": KEY}
    settings = Settings(state=state).model_copy(update=told)
    await postgres.ensure_databases({engines.DATABASE: engines.DATABASE})
    process = engines.powerdns_process(settings, postgres, runtime, state / f"{name}.log", name)
    return NameServer(port, {**told, "dns_primaries_allowed": ["127.0.0.0/8"]}), process


def free_ports() -> int:
    """A port that is free for UDP and TCP, and the one after it, for TCP."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            port = int(first.getsockname()[1])
            try:
                datagrams.bind(("127.0.0.1", port))
                with socket.create_server(("127.0.0.1", port + 1)):
                    return port
            except (OSError, OverflowError):
                continue
