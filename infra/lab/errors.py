"""What the lab cannot do; the message says why and how to mend it."""

from __future__ import annotations


class LabError(Exception):
    """The lab, or one of its parts, cannot be had."""
