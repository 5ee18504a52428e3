"""What owners must never read: how the product is made inside."""

from __future__ import annotations

import re

from infra.domain import errors

MACHINERY = r"workflow\w*|activit(?:y|ies)|queues?|temporal\w*|tasks?|runs?|workers?|saga\w*|traceback"
CLASSES = r"[A-Za-z.]*[a-z](?:Error|Exception|Timeout|Failure)"
OURS = "|".join(sorted(errors.BY_NAME))
IMPROPER = re.compile(rf"\b(?:{MACHINERY})\b", re.IGNORECASE), re.compile(rf"\b(?:{CLASSES}|{OURS})\b")


def improper(text: str) -> list[str]:
    """The words in it that are not for owners."""
    return [word for pattern in IMPROPER for word in pattern.findall(text)]
