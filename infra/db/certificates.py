"""Certificates in the books. Their private keys are read by edges' plans (infra.db.edge_plans) and by nobody else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from psycopg import errors, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.db.named import Kind
from infra.db.pool import Connection
from infra.domain.refusals import ResourceInUse
from infra.tls.certificates import Uploaded

SELECT = sql.SQL("""
SELECT r.id, r.name, r.certificate, r.fingerprint, r.not_valid_before, r.not_valid_after, r.domain_names, r.labels,
       r.created, ARRAY(
           SELECT DISTINCT u.load_balancer_id FROM load_balancer_certificates u WHERE u.certificate_id = r.id ORDER BY 1
       ) AS used_by
FROM certificates r""")

KNOWN = "SELECT id FROM certificates WHERE project_id = %s AND id = ANY(%s) FOR KEY SHARE"


@dataclass(frozen=True, slots=True)
class Certificate:
    """``used_by``: the ids of load balancers."""

    id: int
    name: str
    certificate: str
    fingerprint: str
    not_valid_before: datetime
    not_valid_after: datetime
    domain_names: list[str]
    labels: dict[str, str]
    created: datetime
    used_by: list[int]


def _certificate(row: DictRow) -> Certificate:
    return Certificate(**row)


KIND = Kind("certificates", "certificate", SELECT, _certificate, protectable=False)


async def create(
    connection: Connection, project_id: int, name: str, labels: dict[str, str], uploaded: Uploaded
) -> Certificate:
    """UniquenessError: the name is taken."""
    values = {
        "project_id": project_id,
        "name": name,
        "labels": Jsonb(labels),
        "certificate": uploaded.certificate,
        "private_key": uploaded.private_key,
        "fingerprint": uploaded.fingerprint,
        "not_valid_before": uploaded.not_valid_before,
        "not_valid_after": uploaded.not_valid_after,
        "domain_names": list(uploaded.domain_names),
    }
    return await KIND.get(connection, project_id, await KIND.insert(connection, values))


async def delete(connection: Connection, project_id: int, id: int) -> None:
    """ResourceInUse: a load balancer serves it."""
    try:
        async with connection.transaction():
            await KIND.delete(connection, project_id, id)
    except errors.ForeignKeyViolation as cause:
        raise ResourceInUse("the certificate is used by a load balancer: take it out of its services first") from cause


async def known(connection: Connection, project_id: int, ids: Iterable[int]) -> set[int]:
    """Those of ``ids`` that the project has; they stay until the transaction ends."""
    found = await connection.execute(KNOWN, (project_id, sorted(ids)))
    return {row["id"] for row in await found.fetchall()}
