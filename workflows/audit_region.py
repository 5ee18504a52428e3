"""Audit a region: what is held is what live servers own, on every side, and what is not has been healed.

It runs on a schedule and does not retry: next time it looks at the world again.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.audits import Audits
    from infra.domain.models import Audited, AuditRequest
    from workflows.options import DEADLINE, UNWIND
    from workflows.saga import run

CREATE_WITHIN = DEADLINE + UNWIND
"""Seconds from its beginning until a create has ended, whatever happens."""
DELETE_WITHIN = 2 * UNWIND
"""Seconds from its order until a delete has ended: first the create unwinds, then what is left."""


@workflow.defn
class AuditRegion:
    @workflow.run
    async def run(self, location: str) -> Audited:
        """What was found and what was healed, for whoever looks at it in the UI."""
        return await run(Audits.audit_region, AuditRequest(location, CREATE_WITHIN, DELETE_WITHIN))
