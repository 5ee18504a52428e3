"""Labels and selectors: the grammar, its limits, and what is said about what does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.errors import InvalidInput
from infra.domain.labels import Condition, Term, label_problems, matches, parse_selector


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("k=v", Term("k", Condition.IN, ("v",))),
        ("k==v", Term("k", Condition.IN, ("v",))),
        ("k=", Term("k", Condition.IN, ("",))),
        (" k  !=  v ", Term("k", Condition.NOT_IN, ("v",))),
        ("k", Term("k", Condition.PRESENT)),
        ("! k", Term("k", Condition.ABSENT)),
        ("example.com/k in (a,b)", Term("example.com/k", Condition.IN, ("a", "b"))),
        ("k notin(a , b.c)", Term("k", Condition.NOT_IN, ("a", "b.c"))),
        ("in in (in)", Term("in", Condition.IN, ("in",))),
        ("notin", Term("notin", Condition.PRESENT)),
    ],
)
def test_each_form_is_read(text: str, term: Term) -> None:
    assert parse_selector(text) == (term,)
    assert parse_selector(f"{text},other") == (term, Term("other", Condition.PRESENT))


@pytest.mark.parametrize(
    "text",
    [
        ",",
        "a,",
        ",a",
        "a b",
        "a=b=c",
        "a in",
        "a in b",
        "a in (b",
        "a in (b))",
        "a in ((b))",
        "!",
        "!a=b",
        "=b",
        "a>1",
        "a===b",
        "-a",
        "a-",
        "a=-b",
        "a in (b c)",
        "A.B/c",
        "a//b",
        "a" * 64,
        "a=" + "b" * 64,
        "a=" + "b" * 2000,
    ],
)
def test_what_is_no_selector_is_named(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_selector(text)

    assert refused.value.details is not None
    assert refused.value.details["fields"][0]["name"] == "label_selector"


@given(st.text(max_size=60) | st.text("abk=!,() in", max_size=30))
def test_a_selector_is_read_or_refused(text: str) -> None:
    try:
        selector = parse_selector(text)
    except InvalidInput:
        return
    assert matches(selector, {}) in (True, False)


def test_an_empty_selector_matches_all() -> None:
    assert parse_selector("  ") == ()
    assert matches((), {})


@pytest.mark.parametrize("labels", [{"a": ""}, {"a.b-c_D": "x" * 63}, {"example.com/" + "n" * 63: "v"}, {"1": "2"}])
def test_these_are_labels(labels: dict[str, str]) -> None:
    assert label_problems(labels) == []


@pytest.mark.parametrize(
    "labels",
    [
        {"": "v"},
        {"-a": "v"},
        {"a-": "v"},
        {"a": "-"},
        {"a" * 64: "v"},
        {"a": "x" * 64},
        {"a b": "v"},
        {"a": "b c"},
        {"/a": "v"},
        {"a/": "v"},
        {"a/b/c": "v"},
        {"UPPER.com/a": "v"},
        {"x" * 254 + "/a": "v"},
        {"ä": "v"},
        {"a\n": "v"},
        {"hetzner.cloud/a": "v"},
    ],
)
def test_these_are_not(labels: dict[str, str]) -> None:
    assert len(label_problems(labels)) == 1


def test_every_wrong_label_is_told() -> None:
    assert len(label_problems({"-a": "-b", "good": "good", "c d": ""})) == 3
