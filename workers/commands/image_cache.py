"""`puchify image cache`: what the image caches of the hosts have, as their last reports say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from workers.commands.books import in_books
from workers.commands.options import AsJson
from workers.commands.table import count, minute, table

if TYPE_CHECKING:
    from infra.db.image_caches import HostCache, KeptImage
    from infra.db.pool import Connection

SHOWN = 12  # characters of a digest


def cache(
    host: Annotated[str | None, typer.Argument(metavar="HOST", help="Its id or its name; all hosts without.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show which images the hosts have.

    As of their last report: size with the templates grown from it, hour of the last use, and whether it is in use and
    so has to stay. The limit is PUCHIFY_IMAGE_CACHE_GIB of the host's worker.
    """

    async def work(connection: Connection) -> list[HostCache]:
        from infra.db.host_care import find_host
        from infra.db.image_caches import caches

        return await caches(connection, (await find_host(connection, host)).id if host is not None else None)

    found = in_books(work)
    if as_json:
        typer.echo(json.dumps({"hosts": [asdict(one) for one in found]}, indent=2, default=str))
    else:
        typer.echo("\n".join(line for one in found for line in _told(one)) or "there are no hosts")


def _told(cache: HostCache) -> Iterator[str]:
    if cache.limit_gib is None:
        yield f"host {cache.host} says nothing of an image cache"
        return
    mib = sum(image.mib for image in cache.images)
    yield f"host {cache.host}: {count(len(cache.images), 'image')}, {mib} MiB of {cache.limit_gib} GiB"
    rows = [("IMAGE", "DIGEST", "MIB", "LAST USE", ""), *(_row(image) for image in cache.images)]
    yield from (f"  {line}" for line in table(rows) if cache.images)


def _row(image: KeptImage) -> tuple[str, ...]:
    in_use = "in use" if image.in_use else ""
    return (image.name or "-", image.digest[:SHOWN], str(image.mib), minute(image.last_use), in_use)
