"""Host names."""

from __future__ import annotations

import pytest

from infra.domain.names import hostname_problem


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
