"""Labels and the selectors that find them: validation, the grammar, and what a selector means.

A selector is terms joined by commas, all of which must hold: ``k=v``, ``k==v``, ``k!=v``, ``k``, ``!k``,
``k in (a,b)``, ``k notin (a,b)``. As in Kubernetes, ``!=`` and ``notin`` also match what has no ``k`` at all.
The limits are the wire's: a key is an optional DNS prefix and a name of at most 63 characters, a value at most 63.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from infra.domain.errors import InvalidInput

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
PREFIX = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*", re.ASCII)
LONGEST_PREFIX = 253
LONGEST_SELECTOR = 1000
RESERVED = "hetzner.cloud"

KEY = r"(?P<key>[^\s,()=!]+)"
ABSENT = re.compile(rf"!\s*{KEY}")
COMPARED = re.compile(rf"{KEY}\s*(?P<operator>==|=|!=)\s*(?P<value>[^\s,()=!]*)")
LISTED = re.compile(rf"{KEY}\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
PRESENT = re.compile(KEY)


class Condition(Enum):
    IN = "in"
    NOT_IN = "notin"
    PRESENT = "present"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. ``values`` is empty for PRESENT and ABSENT."""

    key: str
    condition: Condition
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        match self.condition:
            case Condition.IN:
                return labels.get(self.key) in self.values
            case Condition.NOT_IN:
                return labels.get(self.key) not in self.values
            case Condition.PRESENT:
                return self.key in labels
            case Condition.ABSENT:
                return self.key not in labels


Selector = tuple[Term, ...]


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    return all(term.holds(labels) for term in selector)


def key_problem(key: str) -> str | None:
    prefix, slash, name = key.rpartition("/")
    if slash and not (PREFIX.fullmatch(prefix) and len(prefix) <= LONGEST_PREFIX):
        return f"key {key!r}: the part before the slash must be a DNS name"
    if prefix == RESERVED:
        return f"key {key!r}: the prefix {RESERVED}/ is reserved"
    if not NAME.fullmatch(name):
        return f"key {key!r}: 1 to 63 letters, digits, '-', '_' and '.', a letter or digit at both ends"
    return None


def value_problem(value: str) -> str | None:
    if value and not NAME.fullmatch(value):
        return f"value {value!r}: up to 63 letters, digits, '-', '_' and '.', a letter or digit at both ends"
    return None


def label_problems(labels: Mapping[str, str]) -> list[str]:
    """All that is wrong with a map of labels, in its order."""
    found = [problem for key, value in labels.items() for problem in (key_problem(key), value_problem(value))]
    return [problem for problem in found if problem]


def parse_selector(text: str) -> Selector:
    """The terms of a selector; an empty one has none and matches all. InvalidInput names ``label_selector``."""
    try:
        return terms_of(text)
    except ValueError as wrong:
        raise InvalidInput.field("label_selector", str(wrong)) from None


def terms_of(text: str) -> Selector:
    """As `parse_selector`, for selectors in fields of other names. ValueError says what is wrong."""
    if len(text) > LONGEST_SELECTOR:
        raise ValueError(f"must have at most {LONGEST_SELECTOR} characters")
    if not text.strip():
        return ()
    return tuple(_term(part.strip()) for part in _parts(text))


def _parts(text: str) -> Iterator[str]:
    """Split at the commas that stand outside parentheses."""
    start = depth = 0
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            yield text[start:index]
            start = index + 1
    yield text[start:]


def _term(text: str) -> Term:
    if found := ABSENT.fullmatch(text):
        return _checked(Term(found["key"], Condition.ABSENT))
    if found := COMPARED.fullmatch(text):
        condition = Condition.NOT_IN if found["operator"] == "!=" else Condition.IN
        return _checked(Term(found["key"], condition, (found["value"],)))
    if found := LISTED.fullmatch(text):
        values = tuple(value.strip() for value in found["values"].split(","))
        return _checked(Term(found["key"], Condition(found["operator"]), values))
    if found := PRESENT.fullmatch(text):
        return _checked(Term(found["key"], Condition.PRESENT))
    raise ValueError(f"{text!r} is not k, !k, k=v, k==v, k!=v, k in (a,b) or k notin (a,b)")


def _checked(term: Term) -> Term:
    for problem in (key_problem(term.key), *(value_problem(value) for value in term.values)):
        # Asking for a reserved key is fine: only setting one is not.
        if problem and not problem.endswith("is reserved"):
            raise ValueError(problem)
    return term
