"""Who asks, and whether they may ask now: one statement, so that it costs a request one round trip.

The bucket's row is locked while it is read and written, and its time is the database's, so the limit is exact however
many processes ask at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.db.keys import Caller
from infra.db.pool import Connection
from infra.domain.rate_limit import Pace, Verdict, verdicts

# The last use of a key is written at most once a minute.
CALLER = """
WITH caller AS MATERIALIZED (
    SELECT id, user_id, project_id, read_only FROM api_keys
    WHERE digest = %(digest)s AND revoked IS NULL AND (expires IS NULL OR expires > now())
), used AS (
    UPDATE api_keys SET last_used = now() FROM caller
    WHERE api_keys.id = caller.id AND (last_used IS NULL OR last_used < now() - interval '1 minute')
)"""

# The clock is read under the row's lock: a time from before the wait for it could lie behind what the last one wrote.
# A bucket that lies further ahead than any could (the clock was set back) counts as empty.
TAKEN = """, taken AS (
    INSERT INTO buckets AS bucket (user_id, full_at, granted)
    SELECT user_id, clock_timestamp() + least(%(asked)s, %(limit)s) * %(interval)s::interval,
           least(%(asked)s, %(limit)s)
    FROM caller
    ON CONFLICT (user_id) DO UPDATE SET (full_at, granted) = (
        SELECT empty_by + fit * %(interval)s::interval, fit
        FROM (SELECT clock_timestamp() AS time) AS clock,
             LATERAL (SELECT greatest(time, least(bucket.full_at, time + %(burst)s::interval)) AS empty_by) AS bounded,
             LATERAL (SELECT least(%(asked)s, floor(
                 extract(epoch FROM time + %(burst)s::interval - empty_by) / extract(epoch FROM %(interval)s::interval)
             ))::int AS fit) AS room
    )
    RETURNING granted, full_at, full_at - clock_timestamp() AS full_in
)"""

KNOW = CALLER + " SELECT * FROM caller"
ADMIT = CALLER + TAKEN + " SELECT * FROM caller, taken"


@dataclass(frozen=True, slots=True)
class Admitted:
    """Whose key it is. ``verdicts``: one for each request that asked; None: there is no limit."""

    caller: Caller
    verdicts: list[Verdict] | None


async def admit(connection: Connection, digest: bytes, asked: int, pace: Pace | None) -> Admitted | None:
    """Take from the bucket for as many requests as asked together. None: the key is none, revoked or expired."""
    named: dict[str, Any] = {"digest": digest}
    if pace:
        named |= {"asked": asked, "limit": pace.limit, "interval": pace.interval, "burst": pace.burst}
    found = await connection.execute(ADMIT if pace else KNOW, named, prepare=True)
    row = await found.fetchone()
    if row is None:
        return None
    caller = Caller(row["user_id"], row["project_id"], row["read_only"])
    if pace is None:
        return Admitted(caller, None)
    return Admitted(caller, verdicts(pace, asked, row["granted"], row["full_in"], row["full_at"]))
