"""Audit a region: what is held is what live servers own, on every side, and what is not has been healed.

It runs on a schedule and does not retry: next time it looks at the world again.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.audits import Audits
    from infra.domain.models import Audited, AuditRequest
    from workflows.options import DEADLINE, FACTOR, STEPS
    from workflows.saga import run

UNDO = ("destroy_machine", "detach_ports", "remove_seed", "remove_disk")
UNWINDING = sum(STEPS[undo].within or 0 for undo in UNDO) * FACTOR
"""Seconds until a host has undone everything, or has been given up on."""

CREATE_WITHIN = DEADLINE + UNWINDING
"""Seconds from its beginning until a create has ended, whatever happens: at its deadline it unwinds the last host."""
DELETE_WITHIN = CREATE_WITHIN
"""Seconds from its order until a delete has ended: it waits for the create to unwind, and then unwinds the rest."""


@workflow.defn
class AuditRegion:
    @workflow.run
    async def run(self, location: str) -> Audited:
        """What was found and what was healed, for whoever looks at it in the UI."""
        return await run(Audits.audit_region, AuditRequest(location, CREATE_WITHIN, DELETE_WITHIN))
