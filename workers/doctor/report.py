"""What the doctor found, for the eye."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from workers.doctor.finding import Finding

MARKS = {"ok": "ok  ", "note": "note", "bad": "BAD "}
WIDTH = 110


def works(findings: Sequence[Finding]) -> bool:
    """Whether `puchify up` could work."""
    return all(finding.state != "bad" for finding in findings)


def lines(findings: Sequence[Finding]) -> list[str]:
    told = [line for finding in findings for line in _lines(finding)]
    bad = sum(finding.state == "bad" for finding in findings)
    verdict = "`puchify up` can work here." if not bad else f"`puchify up` cannot work here: {bad} things to mend."
    return [*told, "", verdict]


def _lines(finding: Finding) -> list[str]:
    head = f"{MARKS[finding.state]}  {finding.name:<19} {finding.found}"
    mend = textwrap.wrap(finding.mend, WIDTH, initial_indent="      mend: ", subsequent_indent="            ")
    return [head, *mend]
