"""The web as far as owners may send us: every way to somewhere else is closed, and what breaks is told from what is not
there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from infra.drivers.web import Resolve, SourceBroke, SourceRefused, Web
from tests.imports.web_server import NAME, WebServer, web_server

HERE = "127.0.0.1"


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[WebServer]:
    async with web_server(tmp_path) as server:
        server.files["/file"] = b"0123456789" * 1000
        yield server


@pytest.fixture
def web(server: WebServer) -> Web:
    """On which the server's name is at the loopback, which is taken for public."""
    return Web(allow=(HERE,), ask=names({NAME: [HERE]}), trust=server.trust)


def names(known: dict[str, Sequence[str]]) -> Resolve:
    async def ask(name: str, port: int) -> Sequence[str]:
        if name not in known:
            raise OSError("no such name")
        return known[name]

    return ask


async def read(web: Web, url: str, start: int = 0, validator: str | None = None) -> tuple[int, int | None, bytes]:
    async with web.open(url, start, validator) as opened:
        return opened.start, opened.total, b"".join([part async for part in opened.parts])


async def test_a_file_is_read_from_its_beginning_or_from_where_it_broke(web: Web, server: WebServer) -> None:
    whole = server.files["/file"]
    async with web.open(server.url("/file"), 0, None) as opened:
        validator = opened.validator
    assert validator is not None

    assert await read(web, server.url("/file")) == (0, len(whole), whole)
    assert await read(web, server.url("/file"), 4000, validator) == (4000, len(whole), whole[4000:])
    assert await read(web, server.url("/file"), 4000, None) == (0, len(whole), whole)


async def test_a_redirect_is_followed(web: Web, server: WebServer) -> None:
    server.redirects = {"/old": "/newer", "/newer": server.url("/file")}

    assert (await read(web, server.url("/old")))[2] == server.files["/file"]


async def test_redirects_have_an_end(web: Web, server: WebServer) -> None:
    server.redirects = {"/round": "/round"}

    with pytest.raises(SourceRefused, match="more than 5"):
        await read(web, server.url("/round"))
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    "there",
    ["http://images.example.org/", "https://127.0.0.1/", "https://[::1]/", "file:///etc/passwd", "https://inside/x"],
)
async def test_a_redirect_leads_nowhere_else(web: Web, server: WebServer, there: str) -> None:
    server.redirects = {"/old": there}
    inside = replace(web, ask=names({NAME: [HERE], "inside": ["10.0.0.1"]}))

    with pytest.raises(SourceRefused):
        await read(inside, server.url("/old"))


@pytest.mark.parametrize(
    "address",
    [
        *(HERE, "127.0.0.2", "::1", "::ffff:127.0.0.1", "169.254.169.254", "10.1.2.3", "172.16.0.1", "192.168.0.1"),
        *("100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "fe80::1%lo", "fd00::1", "64:ff9b::7f00:1"),
    ],
)
async def test_a_name_of_something_inside_is_refused_before_anybody_is_spoken_to(
    server: WebServer, address: str
) -> None:
    web = Web(ask=names({NAME: [address]}), trust=server.trust)

    with pytest.raises(SourceRefused, match="public addresses only"):
        await read(web, server.url("/file"))
    assert server.asked == []


async def test_one_address_of_several_that_is_inside_is_enough(server: WebServer) -> None:
    web = Web(allow=(HERE,), ask=names({NAME: [HERE, "10.0.0.1"]}), trust=server.trust)

    with pytest.raises(SourceRefused):
        await read(web, server.url("/file"))
    assert server.asked == []


async def test_an_answer_that_changes_is_not_heard(server: WebServer) -> None:
    """A name that is public when it is checked and inside when it is used: it is asked for once."""
    answers = [[HERE], ["10.0.0.1"], ["10.0.0.1"]]

    async def changes(name: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    web = Web(allow=(HERE,), ask=changes, trust=server.trust)

    assert (await read(web, server.url("/file")))[2] == server.files["/file"]
    assert len(answers) == 2


async def test_networks_that_an_operator_keeps_are_refused(server: WebServer) -> None:
    web = Web(refused=("198.41.0.0/24",), ask=names({NAME: ["198.41.0.4"]}), trust=server.trust)

    with pytest.raises(SourceRefused):
        await read(web, server.url("/file"))


@pytest.mark.parametrize("status", [401, 403, 404, 410, 204])
async def test_what_is_not_there_is_refused(web: Web, server: WebServer, status: int) -> None:
    server.statuses["/file"] = status

    with pytest.raises(SourceRefused, match=str(status)):
        await read(web, server.url("/file"))


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_what_may_be_there_later_is_told_from_it(web: Web, server: WebServer, status: int) -> None:
    server.statuses["/file"] = status

    with pytest.raises(SourceBroke):
        await read(web, server.url("/file"))


async def test_an_answer_that_breaks_off_is_told(web: Web, server: WebServer) -> None:
    server.breaks = [5000]

    with pytest.raises(SourceBroke):
        await read(web, server.url("/file"))


async def test_a_name_that_is_not_there_is_told(web: Web, server: WebServer) -> None:
    with pytest.raises(SourceBroke, match="cannot be found"):
        await read(web, f"https://nobody.example.org:{server.port}/file")


async def test_a_certificate_of_somebody_else_is_refused(web: Web, server: WebServer) -> None:
    other = replace(web, ask=names({"other.example.org": [HERE]}))

    with pytest.raises(SourceRefused, match="certificate"):
        await read(other, f"https://other.example.org:{server.port}/file")
    assert server.asked == []


async def test_a_tag_that_cannot_be_sent_back_is_not_kept(web: Web, server: WebServer) -> None:
    server.headers = {"ETag": '"gro\u00df"', "Last-Modified": "Sun, 01 Nov 2026 00:00:00 GMT"}
    async with web.open(server.url("/file"), 0, None) as opened:
        assert opened.validator == "Sun, 01 Nov 2026 00:00:00 GMT"

    server.headers = {"ETag": '"gro\u00df"', "Last-Modified": "\u00fcberall"}
    async with web.open(server.url("/file"), 0, None) as opened:
        assert opened.validator is None


async def test_an_answer_whose_head_never_ends_is_given_up(
    web: Web, server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.drivers.web.ANSWER_WITHIN", 0.5)
    server.drips = True

    with pytest.raises(SourceBroke, match="in time"):
        await read(web, server.url("/file"))
