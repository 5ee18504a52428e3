"""Fields that several requests share. Types are strict, unknown fields are ignored, ``null`` counts as not sent."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from typing_extensions import TypedDict

from api.documented import example
from infra.domain.labels import label_problems
from infra.domain.names import hostname_problem

LARGEST_ID = 2**53 - 1
"""Ids are JSON numbers, which some clients read as floats."""


class Wire(BaseModel):
    """A request's body."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_omitted(cls, body: Any) -> Any:
        if isinstance(body, dict):
            return {name: value for name, value in body.items() if value is not None}
        return body


def _id_or_name(value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("must be an id or a name")
    if isinstance(value, str) and not value:
        raise ValueError("must not be empty")
    if isinstance(value, str):
        _text(value)
    if isinstance(value, int) and not 1 <= value <= LARGEST_ID:
        raise ValueError("is no id")
    return value


def _text(value: str) -> str:
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("must not contain NUL characters or halves of surrogate pairs")
    return value


def _hostname(value: str) -> str:
    if problem := hostname_problem(value):
        raise ValueError(problem)
    return value


def _labels(value: dict[str, str]) -> dict[str, str]:
    if problems := label_problems(value):
        raise ValueError("; ".join(problems))
    return value


IdOrName = Annotated[int | str, BeforeValidator(_id_or_name)]
Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]
Text = Annotated[str, AfterValidator(_text)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_text)]
ShortName = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_text)]
ShortText = Annotated[str, StringConstraints(max_length=255), AfterValidator(_text)]
Hostname = Annotated[str, AfterValidator(_hostname)]
Labels = Annotated[dict[str, str], Field(max_length=100), AfterValidator(_labels)]


class UpdateNamed(Wire, json_schema_extra=example(name="other", labels={"env": "prod"})):
    """A PUT of a named resource. What is not sent stays; labels replace the whole map."""

    name: Name | None = None
    labels: Labels | None = None


class ChangeProtection(Wire, json_schema_extra=example(delete=True)):
    """What is not sent stays."""

    delete: bool | None = None


class ProtectionWire(TypedDict):
    """Whether the resource is kept from being deleted."""

    delete: bool
