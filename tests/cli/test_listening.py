"""Where the API listens: for others with TLS or behind a proxy, and else not at all."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from infra.config import Settings
from infra.trust import trust_of
from tests.cli.run import argv, environment, puchify
from tests.cli.test_errors import assert_one_line
from tests.fix_deployment import free_url
from tests.fix_region import eventually
from workers.listening import ListeningError, check_listening
from workers.local.place import Place, resolved


def certify(
    directory: Path, name: str, host: str = "localhost", locked: tuple[str, ...] = ("-nodes",)
) -> tuple[Path, Path]:
    """A certificate of ``host`` that vouches for itself, and its key."""
    cert, key = directory / f"{name}.pem", directory / f"{name}-key.pem"
    made = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2")
    named = ("-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}")
    written = ("-keyout", key, "-out", cert)
    subprocess.run((*made, *named, *locked, *written), check=True, stderr=subprocess.DEVNULL)
    return cert, key


def test_the_api_is_not_started_in_the_clear_for_others(tmp_path: Path) -> None:
    ended = puchify("api", state=tmp_path, api_address="0.0.0.0")

    assert_one_line(ended, 2, "PUCHIFY_API_TLS_CERT", "PUCHIFY_API_TLS_KEY", "PUCHIFY_BEHIND_PROXY")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "", "api.example.com", "0", "127.1"])
def test_whatever_may_be_reached_by_others_is_not_listened_on_in_the_clear(address: str) -> None:
    with pytest.raises(ListeningError, match="without TLS"):
        check_listening(Settings(api_address=address))
    check_listening(Settings(api_address=address, behind_proxy=True))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_on_this_machine_alone_it_may_speak_in_the_clear(address: str) -> None:
    check_listening(Settings(api_address=address))


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    cert, key = certify(tmp_path, "one")
    for settings in (Settings(api_tls_cert=cert), Settings(api_tls_key=key)):
        with pytest.raises(ListeningError, match="together or not at all"):
            check_listening(settings)


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    cert, key = certify(tmp_path, "one")
    _, other = certify(tmp_path, "other")
    _, locked = certify(tmp_path, "locked", locked=("-passout", "pass:secret"))
    text = tmp_path / "text"
    text.write_text("no certificate\n")
    unusable = {
        (cert, other): "mismatch",
        (cert, locked): str(locked),
        (text, key): str(text),
        (cert, text): str(text),
        (tmp_path / "nothing", key): "PUCHIFY_API_TLS_CERT",
        (cert, tmp_path): "PUCHIFY_API_TLS_KEY",
    }
    for (first, second), told in unusable.items():
        with pytest.raises(ListeningError, match=re.escape(told)):
            check_listening(Settings(api_tls_cert=first, api_tls_key=second))
    check_listening(Settings(api_address="0.0.0.0", api_tls_cert=cert, api_tls_key=key))


def test_a_certificate_that_cannot_be_used_ends_the_command_in_one_line(tmp_path: Path) -> None:
    cert, _ = certify(tmp_path, "one")
    assert_one_line(puchify("api", state=tmp_path / "state", api_tls_cert=cert, api_tls_key=cert), 2, str(cert))


@asynccontextmanager
async def at_work(url: str, state: Path, verify: object = True, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """The API as a process of its own, once it answers, and a client of it."""
    port = url.rsplit(":", 1)[1]
    ours = environment(state=state, api_port=port, database_url=f"postgresql:///nowhere?host={state}", **settings)
    process = await asyncio.create_subprocess_exec(*argv("api"), env=ours, stderr=asyncio.subprocess.PIPE)
    try:
        async with httpx.AsyncClient(base_url=url, verify=verify, trust_env=False) as http:  # type: ignore[arg-type]
            await eventually(lambda: _answers(http, process))
            yield http
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGTERM)
        await process.communicate()


async def _answers(http: httpx.AsyncClient, process: asyncio.subprocess.Process) -> bool:
    assert process.returncode is None, await process.communicate()
    try:
        return (await http.get("/api/v1/servers")).status_code == 401  # without a token the books are not asked
    except httpx.TransportError:
        return False


async def test_behind_a_proxy_it_listens_for_others_in_the_clear(tmp_path: Path) -> None:
    async with at_work(free_url(), tmp_path, api_address="0.0.0.0", behind_proxy=True):
        pass


async def test_with_a_certificate_it_speaks_tls_and_nothing_else(tmp_path: Path) -> None:
    cert, key = certify(tmp_path, "one")
    url = free_url().replace("http://127.0.0.1", "https://localhost")
    trusted = ssl.create_default_context(cafile=cert)
    async with (
        at_work(url, tmp_path, trusted, api_address="0.0.0.0", api_tls_cert=cert, api_tls_key=key),
        httpx.AsyncClient(trust_env=False) as stranger,
    ):
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await stranger.get(url)
        with pytest.raises(httpx.TransportError):
            await stranger.get(url.replace("https", "http"))


async def test_we_ourselves_believe_the_apis_own_certificate_and_no_other(tmp_path: Path) -> None:
    cert, key = certify(tmp_path, "one", "api.example.com")
    other, _ = certify(tmp_path, "other")
    chain = tmp_path / "chain.pem"
    chain.write_text(cert.read_text() + other.read_text())
    ours = Settings(state=tmp_path, api_tls_cert=chain, api_tls_key=key)
    url = free_url().replace("http", "https")
    async with (
        at_work(url, tmp_path, trust_of(ours), api_tls_cert=chain, api_tls_key=key),
        httpx.AsyncClient(trust_env=False, verify=trust_of(Settings(api_tls_cert=other))) as misled,
    ):
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await misled.get(url)
    assert resolved(ours, Place(tmp_path), "").internal_url.startswith("https://127.0.0.1:")
    assert trust_of(Settings()) is True
