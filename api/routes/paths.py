"""What stands for a resource in paths."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from starlette.convertors import StringConvertor, register_url_convertor


class OneConvertor(StringConvertor):
    """``/networks/{id:one}`` is one of them; ``/networks/actions`` is a list of its own, with methods of its own."""

    regex = "(?!actions$)[^/]+"


register_url_convertor("one", OneConvertor())

PathId = Annotated[int, Path(alias="id", ge=1, lt=2**63)]
ActionId = Annotated[int, Path(ge=1, lt=2**63)]
ZoneKey = Annotated[str, Path(alias="id_or_name", description="The zone's id or its name.")]
RRSetName = Annotated[str, Path(alias="rr_name", description="Relative to the zone; `@` is the zone itself.")]
RRSetTypeName = Annotated[str, Path(alias="rr_type", description="In capitals.")]
