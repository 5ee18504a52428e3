"""Lists: ``GET /servers`` of a project with very many, as a client asks for it, from the key to the last byte.

The API is the product's own, in this process: what is measured is its work and the database's, without a network.
The floor is the same question at its barest: 25 ids of the project, and how many it has.
"""

from __future__ import annotations

from pathlib import Path

import httpx

from api.app import create_app
from infra.config import Settings
from tests.bench.desk import SECRET, Desk, row
from tests.bench.figures import Summary

SERVERS = 10_000

FILL = """
WITH made AS (
    INSERT INTO servers (project_id, user_id, name, server_type_id, location_id, image_id, status, labels)
    SELECT %(project)s, %(user)s, 'listed-' || n, (SELECT min(id) FROM server_types), (SELECT min(id) FROM locations),
           (SELECT min(id) FROM images), 'running', jsonb_build_object('n', n::text)
    FROM generate_series(1, %(servers)s) n RETURNING id, location_id
), ips AS (
    INSERT INTO primary_ips (project_id, name, type, location_id, auto_delete)
    SELECT %(project)s, 'listed-' || id, 'ipv4', location_id, true FROM made RETURNING id, name
)
INSERT INTO addresses (pool_id, type, address, server_id, primary_ip_id)
SELECT (SELECT min(id) FROM address_pools), 'ipv4', host('10.99.0.0'::inet + made.id), made.id, ips.id
FROM made JOIN ips ON ips.name = 'listed-' || made.id
"""


async def measure(desk: Desk, samples: int) -> dict[str, Summary]:
    async with desk.pool.connection() as connection:
        await connection.execute(
            FILL, {"project": desk.caller.project_id, "user": desk.caller.user_id, "servers": SERVERS}
        )
        await connection.execute("VACUUM ANALYZE servers, addresses, primary_ips")
    settings = Settings(
        database_url=desk.url, api_secret=SECRET.decode(), rate_limit=1_000_000, state=Path(".puchify/bench")
    )
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://api/api/v1",
            headers={"Authorization": f"Bearer {desk.token}"},
        ) as http,
    ):

        async def ask(**query: str | int) -> None:
            reply = await http.get("/servers", params=query)
            reply.raise_for_status()
            assert reply.json()["meta"]["pagination"]["total_entries"] >= 1

        return {
            "list servers": await row(samples, ask),
            "list servers, last page": await row(samples, lambda: ask(page=SERVERS // 25)),
            "list servers by label": await row(samples, lambda: ask(label_selector="n=7777")),
            "list servers floor": await row(samples, lambda: bare(desk)),
        }


async def bare(desk: Desk) -> None:
    ids = "SELECT id FROM servers WHERE project_id = %s ORDER BY id LIMIT 25"
    async with desk.pool.connection() as connection:
        await (await connection.execute(ids, (desk.caller.project_id,))).fetchall()
        count = "SELECT count(*) FROM servers WHERE project_id = %s"
        await (await connection.execute(count, (desk.caller.project_id,))).fetchone()
