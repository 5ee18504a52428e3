"""The OpenAPI document says all of it: what each operation is for, takes, answers, and by which codes it refuses.

Each test tells everything that is missing, by operation or by shape. What it asks for is given in api/documented.py:
``failing`` for codes, ``example`` for requests, ``shown`` for answers, ``TAGS`` for what a tag holds.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

import api.pagination
import api.schemas
from api.app import create_app
from api.documented import ALWAYS, TAGS
from infra.config import Settings

README = Path(api.__file__).with_name("README.md")
EXTENSIONS = "Puchify extensions"


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    says: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def answers(self) -> dict[str, Any]:
        """Those that are no failures, by status."""
        return {status: one for status, one in self.says["responses"].items() if status < "400"}

    @property
    def codes(self) -> set[str]:
        examples = (
            _content(one).get("examples", {}) for status, one in self.says["responses"].items() if status >= "400"
        )
        return {code for told in examples for code in told}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> list[Operation]:
    return [
        Operation(method.upper(), path.removeprefix("/api/v1"), says)
        for path, methods in document["paths"].items()
        for method, says in methods.items()
    ]


def test_every_operation_is_told_from_the_others(operations: list[Operation]) -> None:
    named = Counter((one.says["tags"][0], one.says["summary"]) for one in operations)
    ids = Counter(one.says["operationId"] for one in operations)

    told_twice = [str(name) for name, times in [*named.items(), *ids.items()] if times > 1]
    assert told_twice == [], listed(told_twice)


def test_every_tag_says_what_it_holds(document: dict[str, Any], operations: list[Operation]) -> None:
    untagged = [str(one) for one in operations if not one.says.get("tags")]
    twice = [str(one) for one in operations if len(set(one.says["tags"])) < len(one.says["tags"])]
    undescribed = {tag for one in operations for tag in one.says["tags"]} - set(TAGS)

    assert (untagged, twice, undescribed) == ([], [], set())
    assert [tag["name"] for tag in document["tags"]] == list(TAGS)
    assert all(tag["description"] for tag in document["tags"])


def test_every_operation_may_fail_as_any_does(operations: list[Operation]) -> None:
    everywhere = {kind.code for kind in ALWAYS}

    lacking = [f"{one}: {everywhere - one.codes}" for one in operations if everywhere - one.codes]
    assert lacking == [], listed(lacking)


def test_what_is_about_one_thing_may_be_absent(operations: list[Operation]) -> None:
    lacking = [str(one) for one in operations if "{" in one.path and "not_found" not in one.codes]
    assert lacking == [], listed(lacking)


def test_every_answer_has_a_shape(operations: list[Operation]) -> None:
    """A 204 has no body, and what always fails has no answer but failures (see api/absent.py)."""
    untyped = [
        f"{one}: {status}"
        for one in operations
        for status, answer in one.answers.items()
        if (status == "204") == ("$ref" in _content(answer).get("schema", {}))
    ]
    only_failing = {one.path.split("/")[1] for one in operations if not one.answers}

    assert untyped == [], listed(untyped)
    assert {"floating_ips", "volumes"} <= only_failing


def test_every_request_has_an_example(document: dict[str, Any], operations: list[Operation]) -> None:
    """But for what may come without a body."""
    shapes = document["components"]["schemas"]
    bodies = {str(one): one.says["requestBody"] for one in operations if "requestBody" in one.says}
    asked = {name: _name(_content(body)["schema"]) for name, body in bodies.items() if body.get("required")}
    without = sorted({shape or name for name, shape in asked.items() if not shapes.get(shape, {}).get("examples")})

    assert without == [], listed(without)
    assert len(asked) > 20


def test_every_example_is_of_its_shape(document: dict[str, Any]) -> None:
    """Of requests and answers alike: as the class behind the shape reads it."""
    classes = dict(shapes_of_the_wire())
    wrong, checked = [], 0
    for name, shape in document["components"]["schemas"].items():
        for one in shape.get("examples", ()):
            checked += 1
            try:
                TypeAdapter(classes[name]).validate_python(one, extra="forbid")
            except (ValidationError, KeyError) as cause:
                wrong.append(f"{name}: {cause}")

    assert wrong == [], listed(wrong)
    assert checked > 30


def test_extensions_are_told_apart(operations: list[Operation]) -> None:
    ours = {str(one) for one in operations if EXTENSIONS in one.says["tags"]}

    assert "GET /actions/{id}/timeline" in ours
    assert not [name for name in ours if name.split("/")[1] in ("networks", "primary_ips", "firewalls", "ssh_keys")]


def test_the_readme_names_every_resource_and_action(operations: list[Operation]) -> None:
    told = set(re.findall(r"\w+", README.read_text()))
    resources = {one.path.split("/")[1] for one in operations}
    actions = {one.path.rpartition("/")[2] for one in operations if one.method == "POST" and "/actions/" in one.path}

    untold = sorted((resources | actions) - told)
    assert untold == [], listed(untold)


def shapes_of_the_wire() -> Iterator[tuple[str, Any]]:
    """The classes that shapes are made of, by name."""
    names = (one.name for one in pkgutil.iter_modules(api.schemas.__path__, "api.schemas."))
    for module in (api.pagination, *map(importlib.import_module, names)):
        for name, one in vars(module).items():
            if is_typeddict(one) or (isinstance(one, type) and issubclass(one, BaseModel)):
                yield name, one


def _content(part: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = part.get("content", {}).get("application/json", {})
    return found


def _name(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def listed(found: list[str]) -> str:
    """All of it, which is what one wants to read."""
    return "\n" + "\n".join(found)
