"""The catalog as text: a file that can be applied again, and single values as they stand in one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import yaml

from infra.domain.catalog import NOUNS, Books, Known
from infra.domain.sizes import Size
from infra.domain.terms import Deprecation, LocalTerms, Price

SINGLE = ("dns", "pricing")


def document(books: Books) -> str:
    """YAML: every section that has something, in the order in which they refer to each other."""
    return "\n".join(_yaml({name: section}) for name, section in _sections(books).items())


def flow(value: Any) -> str:
    """On one line, as YAML would have it."""
    text: str = yaml.safe_dump(plain(value), default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("...").rstrip("\n")


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10**6)
    return text


def _sections(books: Books) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for section in NOUNS:
        entries = [(name, known) for (one, name), known in books.items() if one == section]
        if section == "network_zones":
            content: Any = [name for name, _ in entries]
        elif section in SINGLE:
            content = plain(entries[0][1].fields)
        elif section == "default_location":
            content = entries[0][1].fields[section]
        else:
            content = [_entry(section, name, known) for name, known in entries]
        if content:
            found[section] = content
    return found


def _entry(section: str, name: str, known: Known) -> dict[str, Any]:
    named = {} if section in ("images", "address_pools") else {"name": name}
    numbered = {} if known.id is None else {"id": known.id}
    fields: dict[str, Any] = plain({**known.fields, **{key: value for key, value in known.once.items() if value}})
    return {**named, **numbered, **{key: value for key, value in fields.items() if value is not None}}


def plain(value: Any) -> Any:
    """As YAML takes it: amounts and sizes as text, so that they are read as they were written."""
    match value:
        case Size():
            return str(value)
        case Decimal():
            return f"{value.normalize():f}"
        case datetime():
            return value.date() if value.timetz() == time(tzinfo=UTC) else value.isoformat()
        case Price():
            return _price(value)
        case Deprecation():
            return {"announced": plain(value.announced), "unavailable_after": plain(value.unavailable_after)}
        case LocalTerms():
            said = {"price": value.price, "deprecation": value.deprecation, "recommended": value.recommended or None}
            return {key: plain(one) for key, one in said.items() if one is not None}
        case Mapping() if all(isinstance(one, LocalTerms) for one in value.values()):
            return [{"name": name, **plain(one)} for name, one in value.items()]
        case Mapping():
            return {key: plain(one) for key, one in value.items()}
        case tuple():
            return [plain(one) for one in value]
    return value


def _price(price: Price) -> dict[str, Any]:
    said = {"hourly": plain(price.hourly), "monthly": plain(price.monthly)}
    if price.included_traffic:
        said["included_traffic"] = str(Size(price.included_traffic))
    if price.per_tb_traffic:
        said["per_tb_traffic"] = plain(price.per_tb_traffic)
    return said
