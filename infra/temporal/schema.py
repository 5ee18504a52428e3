"""Temporal's two databases: made whole or not at all, brought up to this server's schema, cheap when they are.

The schema itself comes out of the server's own schema tool. A database is filled under another name and then
renamed, so that an interrupted start never leaves half a schema behind under the name that counts.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infra.temporal.configure import Database

PLUGIN = "postgres12_pgx"


class SchemaError(Exception):
    """The databases cannot be brought to the schema that the server needs."""


@dataclass(frozen=True, slots=True)
class Schema:
    """One of the schemas embedded in the tool, and its version in the pinned server."""

    name: str
    version: tuple[int, int]


STORE = Schema("postgresql/v12/temporal", (1, 19))
VISIBILITY = Schema("postgresql/v12/visibility", (1, 14))


async def ensure_schemas(database: Database, sql_tool: Path) -> bool:
    """Converge both databases on their schemas; true when something had to be done."""
    changed = await asyncio.gather(
        _ensure(database, database.store, STORE, sql_tool),
        _ensure(database, database.visibility, VISIBILITY, sql_tool),
    )
    return any(changed)


async def _ensure(database: Database, name: str, schema: Schema, sql_tool: Path) -> bool:
    version = await _version(database, name)
    if version is None:
        await _make(database, name, schema, sql_tool)
    elif version < schema.version:
        await _tool(database, name, sql_tool, "update-schema", "--schema-name", schema.name)
    elif version > schema.version:
        raise SchemaError(
            f"the database {name} has schema {_text(version)}, newer than {_text(schema.version)} of this server: "
            "a newer Puchify has been here, and Temporal cannot go back; use that one, or another state directory"
        )
    return version != schema.version


async def _version(database: Database, name: str) -> tuple[int, int] | None:
    """The schema version of a database; None when the database does not exist."""
    try:
        async with await _connect(database, name) as connection:
            row = await (
                await connection.execute("SELECT curr_version FROM schema_version WHERE db_name = %s", (name,))
            ).fetchone()
    except psycopg.OperationalError as error:
        if f'database "{name}" does not exist' in str(error):  # a failed connect carries no SQLSTATE
            return None
        raise SchemaError(f"the database server at {database.host} does not let us in: {error}") from error
    except psycopg.errors.UndefinedTable:
        row = None
    if row is None:
        raise SchemaError(f"the database {name} exists but holds no Temporal schema: name another, or drop it")
    major, minor = str(row[0]).split(".")
    return int(major), int(minor)


async def _make(database: Database, name: str, schema: Schema, sql_tool: Path) -> None:
    fresh = f"{name}_new"
    old, new = sql.Identifier(fresh), sql.Identifier(name)
    async with await _connect(database, "postgres") as admin:
        # Not WITH (FORCE): that fails beside an autovacuum worker, unless a superuser asks. Others get 5 s to leave.
        await admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(old))
        await admin.execute(sql.SQL("CREATE DATABASE {}").format(old))
        await _tool(database, fresh, sql_tool, "setup-schema", "-v", "0.0")
        await _tool(database, fresh, sql_tool, "update-schema", "--schema-name", schema.name)
        async with await _connect(database, fresh) as connection:
            await connection.execute("UPDATE schema_version SET db_name = %s", (name,))  # the server asks by name
        await admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(old, new))


async def _connect(database: Database, name: str) -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect(
        make_conninfo(
            host=database.host,
            port=database.port,
            user=database.user,
            password=database.password or None,
            dbname=name,
            connect_timeout=10,
        ),
        autocommit=True,
    )


async def _tool(database: Database, name: str, sql_tool: Path, *command: str) -> None:
    by_socket = database.host.startswith("/")
    argv = [str(sql_tool), "--plugin", PLUGIN, "--user", database.user, "--database", name]
    argv += ["--endpoint", "localhost" if by_socket else database.host, "--port", str(database.port)]
    argv += ["--connect-attributes", f"host={database.host}"] if by_socket else []
    process = await asyncio.create_subprocess_exec(
        *argv,
        *command,
        env={**os.environ, "SQL_PASSWORD": database.password},  # not on the command line, which everybody can read
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        end = "\n  ".join(output.decode(errors="replace").splitlines()[-10:])
        raise SchemaError(f"`{command[0]}` of Temporal's schema tool failed on the database {name}:\n  {end}")


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
