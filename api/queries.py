"""Queries: what no parameter of any address can hold, told once for all of them."""

from __future__ import annotations

from fastapi import Request

from infra.domain.errors import InvalidInput


async def readable_query(request: Request) -> None:
    """A dependency of every route. InvalidInput: a NUL, which the books cannot even look for."""
    if unfit := [name for name, value in request.query_params.multi_items() if "\0" in value]:
        raise InvalidInput.fields([(name, "must not contain NUL characters") for name in dict.fromkeys(unfit)])
