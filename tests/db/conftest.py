"""Empty books with one project in them, and connections to them that race each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest_asyncio
from psycopg import sql

from infra.catalog.default import ensure_catalogue
from infra.db import keys, orders
from infra.db.built_images import NewImage, register_image
from infra.db.idempotency import IdempotencyKey
from infra.db.orders import Accepted, NewServer
from infra.db.pool import Connection, Pool, open_pool
from infra.db.server_types import server_types
from tests.fix_stack import NewDatabase

SECRET = b"of the tests"


@dataclass(frozen=True, slots=True)
class Project:
    """A project that can order: ``pool`` gives as many connections at once as a race needs."""

    pool: Pool
    user_id: int
    id: int
    server_type_id: int
    location_id: int
    image_id: int

    def wants(self, name: str = "web", **wishes: Any) -> NewServer:
        return NewServer(self.id, self.user_id, name, self.server_type_id, self.location_id, self.image_id, **wishes)

    async def accept(self, name: str = "web", key: IdempotencyKey | None = None, **wishes: Any) -> Accepted:
        async with self.pool.connection() as connection:
            return await orders.accept(connection, self.wants(name, **wishes), key)

    async def all(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        async with self.pool.connection() as connection:
            return await rows(connection, query, *parameters)


async def rows(connection: Connection, query: str, *parameters: Any) -> list[dict[str, Any]]:
    found = await connection.execute(query.encode(), parameters)
    return await found.fetchall() if found.description else []


@pytest_asyncio.fixture(scope="session")
async def shared_pool(new_database: NewDatabase) -> AsyncIterator[Pool]:
    async with new_database() as url, open_pool(url, 20) as pool:
        yield pool


@pytest_asyncio.fixture
async def pool(shared_pool: Pool) -> Pool:
    """On empty books: emptied rather than made anew, which takes a second."""
    async with shared_pool.connection() as connection:
        found = await rows(connection, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = sql.SQL(", ").join(sql.Identifier(row["tablename"]) for row in found)
        await connection.execute(sql.SQL("TRUNCATE {}").format(tables))
    return shared_pool


@pytest_asyncio.fixture
async def project(pool: Pool) -> Project:
    return await furnished(pool)


async def furnished(pool: Pool) -> Project:
    """A project in books that are empty."""
    async with pool.connection() as connection:
        user_id = await keys.ensure_user(connection, "ada")
        project_id = await keys.ensure_project(connection, "engine")
        location_id = await ensure_catalogue(connection, "local")
        image_id = await register_image(connection, NewImage("tiny", "a" * 64, 1, "a test image"))
        server_type = next(one for one in await server_types(connection) if one.name == "px1")
    return Project(pool, user_id, project_id, server_type.id, location_id, image_id)
