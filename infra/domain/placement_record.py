"""A placement as a file: all that was decided on and what was decided, so that whoever has it decides the same again.

Text, a host a line, the same bytes for the same placement.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from infra.domain.host_table import HostTable
from infra.domain.models import Resources
from infra.domain.placement import WEIGHTS, Ask, Ranking, rank

KIND = "puchify placement"


class Unreadable(ValueError):
    """It is no placement, or one of another version; the message says what is wrong."""


def write(ranking: Ranking) -> str:
    told = {
        "kind": KIND,
        "weights": asdict(ranking.weights),
        "ask": ranking.ask.as_json(),
        "decision": ranking.as_json(),
    }
    parts = [f" {_line(name)}: {_line(value)},\n" for name, value in told.items()]
    hosts = ",\n".join(f"  {_line(host)}" for host in ranking.hosts.as_json())
    return f'{{\n{"".join(parts)} "hosts": [\n{hosts}\n ]\n}}\n'


def recompute(text: str) -> str:
    """The file again, decided anew from its hosts and its question alone. Unreadable."""
    return write(read(text))


def read(text: str) -> Ranking:
    """Decided anew. Unreadable."""
    try:
        told = json.loads(text)
        _line(told).encode()
    except UnicodeEncodeError as cause:
        raise Unreadable("it has halves of surrogate pairs, which nothing can be written with") from cause
    except (ValueError, RecursionError) as cause:
        raise Unreadable(f"it is no JSON: {cause}") from cause
    if not isinstance(told, dict) or told.get("kind") != KIND:
        raise Unreadable(f'it is no placement: "kind" is not "{KIND}"')
    if told.get("weights") != asdict(WEIGHTS):
        version = told["weights"].get("version") if isinstance(told.get("weights"), dict) else None
        raise Unreadable(f"it was decided by weights {version!r}; this is version {WEIGHTS.version!r}")
    try:
        return rank(HostTable.from_json(told["hosts"]), ask_of(told["ask"]))
    except KeyError as cause:
        raise Unreadable(f"{cause} is missing") from cause
    except (TypeError, ValueError, OverflowError) as cause:
        raise Unreadable(f"it cannot be decided on: {cause}") from cause


def ask_of(told: Mapping[str, Any]) -> Ask:
    """As it was before it became JSON. KeyError, TypeError, ValueError: it is no such thing."""
    group = told["group"]
    return Ask(
        **{
            **told,
            "resources": Resources(**told["resources"]),
            "excluded": tuple(told["excluded"]),
            "neighbours": _counts(told["neighbours"]),
            "group": None if group is None else _counts(group),
        }
    )


def _counts(pairs: Any) -> tuple[tuple[int, int], ...]:
    return tuple((int(host_id), int(count)) for host_id, count in pairs)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
