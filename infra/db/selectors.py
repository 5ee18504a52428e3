"""Label selectors as SQL: each term of infra.domain.labels becomes one condition on a jsonb column ``labels``."""

from __future__ import annotations

from psycopg import sql

from infra.domain.labels import Condition, Selector, Term


def conditions(selector: Selector, column: sql.Composable) -> list[sql.Composable]:
    """One boolean expression per term, never NULL; values travel as literals that psycopg quotes."""
    return [_condition(term, column) for term in selector]


def _condition(term: Term, column: sql.Composable) -> sql.Composable:
    parts = {"labels": column, "key": sql.Literal(term.key), "values": sql.Literal(list(term.values))}
    match term.condition:
        case Condition.IN:
            return sql.SQL("coalesce({labels} ->> {key} = ANY({values}::text[]), false)").format(**parts)
        case Condition.NOT_IN:
            return sql.SQL("NOT coalesce({labels} ->> {key} = ANY({values}::text[]), false)").format(**parts)
        case Condition.PRESENT:
            return sql.SQL("({labels} ? {key})").format(**parts)
        case Condition.ABSENT:
            return sql.SQL("NOT ({labels} ? {key})").format(**parts)
