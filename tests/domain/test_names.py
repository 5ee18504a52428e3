"""Host names."""

from __future__ import annotations

import pytest

from infra.domain.names import hostname_problem, title_problem


@pytest.mark.parametrize("name", ["a", "web-1", "WEB", "3com", "a.b.example.com", "x" * 63, ".".join(["x" * 62] * 4)])
def test_these_are_host_names(name: str) -> None:
    assert hostname_problem(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a",
        "a-",
        "a.-b",
        "under_score",
        "a b",
        "a\n",
        "ä",
        "x" * 64,
        ".".join(["x" * 63] * 4),
    ],
)
def test_these_are_not(name: str) -> None:
    assert hostname_problem(name)


@pytest.mark.parametrize("name", ["ada", "Ada Lovelace", "équipe", "a" * 255])
def test_titles(name: str) -> None:
    assert title_problem(name) is None


@pytest.mark.parametrize("name", ["", " ", "a" * 256, "a\nb", "a\x1b[31m", "\ud800", "\u202eadmin"])
def test_what_nobody_is_called(name: str) -> None:
    assert title_problem(name) is not None
