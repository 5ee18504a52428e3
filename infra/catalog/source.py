"""A YAML text, and where everything in it stands."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from infra.domain.catalog import Place
from infra.domain.errors import PuchifyError


class BadCatalog(PuchifyError):
    """What is wrong with a file, a line for each problem. Nothing was applied."""

    code, status = "invalid_input", 422


class Source:
    """``name``: as messages call it. BadCatalog: no YAML, or a key twice in one mapping, of which one would be lost."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        try:
            self._root = yaml.compose(text, yaml.SafeLoader)
            self.data: Any = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as cause:
            raise BadCatalog(_unreadable(cause, name)) from cause
        if twice := _twice(self._root):
            raise BadCatalog("\n".join(f"{name}:{line}: key {key!r} is there twice" for line, key in twice))

    def refuse(self, problems: list[tuple[Place, str]]) -> BadCatalog:
        """One line each: ``catalog.yaml:12: server_types[0].cores: must be ...``, from top to bottom."""
        told = sorted({(self._line(place), _path(place), problem) for place, problem in problems})
        return BadCatalog(
            "\n".join(f"{self.name}:{line}: {path + ': ' if path else ''}{problem}" for line, path, problem in told)
        )

    def _line(self, place: Place) -> int:
        """Of the innermost thing on the way to the place that is there."""
        node, line = self._root, 1
        for step in place:
            found = _step(node, step)
            if found is None:
                break
            node, line = found
        return line


def _step(node: Node | None, step: str | int) -> tuple[Node, int] | None:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.value == str(step):
                return value, key.start_mark.line + 1
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step].start_mark.line + 1
    return None


def _path(place: Place) -> str:
    """``server_types[0].price.hourly``."""
    return "".join(map(_step_text, place)).removeprefix(".")


def _step_text(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if step.isprintable() else f".{step!a}"


def _twice(root: Node | None) -> list[tuple[int, str]]:
    found, seen, waiting = [], set(), [root]
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:  # an alias leads to what was seen
            continue
        seen.add(id(node))
        if isinstance(node, SequenceNode):
            waiting += node.value
        if isinstance(node, MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                waiting.append(value)
                if isinstance(key, ScalarNode) and key.value in keys:
                    found.append((key.start_mark.line + 1, key.value))
                keys.add(str(key.value))
    return sorted(found)


def _unreadable(cause: Exception, name: str) -> str:
    mark = getattr(cause, "problem_mark", None)
    where = f"{name}:{mark.line + 1}" if mark else name
    why = getattr(cause, "problem", None) or getattr(cause, "reason", None) or cause
    return f"{where}: this is no YAML: {why}"
