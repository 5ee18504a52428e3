"""Label selectors as SQL: each term of infra.domain.labels becomes one condition on a jsonb column ``labels``.

A project's selectors (those that something is applied to) and its servers' labels are changed one at a time: whoever
comes second sees the other, so that no server is forgotten by both.
"""

from __future__ import annotations

from psycopg import sql

from infra.db.pool import Connection
from infra.domain.labels import Condition, Selector, Term


def conditions(selector: Selector, column: sql.Composable) -> list[sql.Composable]:
    """One boolean expression per term, never NULL; values travel as literals that psycopg quotes."""
    return [_condition(term, column) for term in selector]


async def hold(connection: Connection, project_id: int) -> None:
    """Keep others from changing the project's selectors and labels until the transaction ends. Taken first of all."""
    await connection.execute("SELECT FROM projects WHERE id = %s FOR NO KEY UPDATE", (project_id,))


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
