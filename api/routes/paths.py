"""Ids in paths."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

PathId = Annotated[int, Path(alias="id", ge=1, lt=2**63)]
ActionId = Annotated[int, Path(ge=1, lt=2**63)]
