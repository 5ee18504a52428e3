"""Selectors: what the books find is what the grammar means, for labels and selectors nobody thought of."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.types.json import Jsonb

from infra.db import servers
from infra.db.listing import Window
from infra.db.selectors import conditions
from infra.db.servers import ServerFilter
from infra.domain.errors import InvalidInput
from infra.domain.labels import Condition, Term, matches, parse_selector
from tests.db.conftest import Project

KEYS = st.sampled_from(["a", "env", "example.com/env", "in", "notin", "A.b_c-d"])
VALUES = st.sampled_from(["", "a", "prod", "in", "x.y_z-0", "None", "null"])
LABELS = st.dictionaries(KEYS, VALUES, max_size=4)
CHOICES = st.lists(VALUES, min_size=1, max_size=3).map(tuple)
TERMS = st.one_of(
    st.builds(Term, KEYS, st.sampled_from([Condition.IN, Condition.NOT_IN]), CHOICES),
    st.builds(Term, KEYS, st.sampled_from([Condition.PRESENT, Condition.ABSENT])),
)
SELECTORS = st.lists(TERMS, max_size=4).map(tuple)


def written(term: Term) -> str:
    match term.condition:
        case Condition.PRESENT:
            return term.key
        case Condition.ABSENT:
            return f"!{term.key}"
        case _:
            return f"{term.key} {term.condition.value} ({', '.join(term.values)})"


async def test_the_books_find_what_the_grammar_means(project: Project) -> None:
    cases: list[tuple[Mapping[str, str], tuple[Term, ...]]] = []

    @given(LABELS, SELECTORS)
    @settings(max_examples=300, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    def collect(labels: dict[str, str], selector: tuple[Term, ...]) -> None:
        cases.append((labels, selector))

    collect()
    column = sql.Placeholder("labels") + sql.SQL("::jsonb")
    async with project.pool.connection() as connection:
        for labels, selector in cases:
            tests = [sql.SQL("true"), *conditions(parse_selector(",".join(map(written, selector))), column)]
            found = await connection.execute(
                sql.SQL("SELECT {} AS found").format(sql.SQL(" AND ").join(tests)), {"labels": Jsonb(labels)}
            )
            row = await found.fetchone()
            assert row is not None
            assert row["found"] is matches(selector, labels), (labels, selector)


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("", ["bare", "prod", "test"]),
        ("env=prod", ["prod"]),
        ("env==prod", ["prod"]),
        ("env!=prod", ["bare", "test"]),
        ("env", ["prod", "test"]),
        ("!env", ["bare"]),
        ("env in (prod, test),role", ["test"]),
        ("env notin (prod)", ["bare", "test"]),
        (" env = prod , !role ", ["prod"]),
    ],
)
async def test_a_list_of_servers_is_selected(project: Project, selector: str, found: list[str]) -> None:
    for name, labels in {"bare": {}, "prod": {"env": "prod"}, "test": {"env": "test", "role": "web"}}.items():
        await project.accept(name, labels=labels)

    async with project.pool.connection() as connection:
        wanted = ServerFilter(project.id, labels=parse_selector(selector))
        listed = await servers.find_all(connection, wanted, Window(sort=(("name", False),)))

    assert [server.name for server in listed.items] == found


async def test_pages_and_sorting_agree_with_the_total(project: Project) -> None:
    for number in range(7):
        await project.accept(f"web-{number}")
    async with project.pool.connection() as connection:
        everything = ServerFilter(project.id)
        pages = [
            await servers.find_all(connection, everything, Window(page, 3, (("name", True),))) for page in (1, 2, 3, 4)
        ]

        assert [[server.name[-1] for server in page.items] for page in pages] == [
            ["6", "5", "4"],
            ["3", "2", "1"],
            ["0"],
            [],
        ]
        assert {page.total for page in pages} == {7}
        with pytest.raises(InvalidInput, match="sort"):
            await servers.find_all(connection, everything, Window(sort=(("password", False),)))
