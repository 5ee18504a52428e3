"""Quota: each broken limit is named with its numbers, for the user and for the client."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.domain.models import Resources
from infra.domain.quota import Limits, Quota, explain_refusal

USER = Quota("user", 1, 100, 400, 1_638_400, 16_000, 0, 0, 0, 0)
PROJECT = replace(USER, scope="project", subject_id=2)
ASKED = Resources(4, 8_192, 40)


def test_one_limit() -> None:
    message, details = explain_refusal([USER, replace(PROJECT, used_cores=398)], ASKED)
    assert message == "limit exceeded: the project uses 398 of 400 cores, 4 more asked"
    assert details == {
        "limits": [{"name": "project_limit", "resource": "cores", "limit": 400, "used": 398, "asked": 4}]
    }


def test_every_limit_of_both() -> None:
    none: dict[str, Any] = {"max_servers": 0, "max_cores": 0, "max_memory_mib": 0, "max_disk_gib": 0}
    message, details = explain_refusal([replace(USER, **none), replace(PROJECT, **none)], ASKED)
    assert message == (
        "limit exceeded: the user uses 0 of 0 servers, 1 more asked; the user uses 0 of 0 cores, 4 more asked;"
        " the user uses 0 of 0 GB of memory, 8 more asked; the user uses 0 of 0 GB of disk, 40 more asked;"
        " the project uses 0 of 0 servers, 1 more asked; the project uses 0 of 0 cores, 4 more asked;"
        " the project uses 0 of 0 GB of memory, 8 more asked; the project uses 0 of 0 GB of disk, 40 more asked"
    )
    assert [entry["name"] for entry in details["limits"]] == ["user_limit"] * 4 + ["project_limit"] * 4


def test_a_limit_that_is_just_met_is_not_named() -> None:
    full = replace(PROJECT, used_servers=99, used_cores=396, used_memory_mib=1_630_208, used_disk_gib=15_960)
    message, details = explain_refusal([USER, full], ASKED)
    assert message == "limit exceeded: it was reached a moment ago, try again"
    assert details == {"limits": []}


def test_an_owner_without_a_quota_may_take_nothing() -> None:
    message, details = explain_refusal([USER], ASKED)
    assert message == "limit exceeded: no quota is set for the project"
    assert details == {"limits": [{"name": "project_limit"}]}


@given(st.lists(st.integers(0, 50), min_size=8, max_size=8), st.builds(Resources, *[st.integers(1, 50)] * 3))
def test_a_limit_is_named_exactly_when_it_is_exceeded(numbers: list[int], asked: Resources) -> None:
    quota = Quota("user", 1, *numbers)
    named = {entry["resource"] for entry in quota.exceeded_by(asked)}
    for kind, more in (
        ("servers", 1),
        ("cores", asked.cores),
        ("memory_mib", asked.memory_mib),
        ("disk_gib", asked.disk_gib),
    ):
        left = getattr(quota, f"max_{kind}") - getattr(quota, f"used_{kind}")
        assert (kind.partition("_")[0] in named) == (left < more)


def test_memory_is_told_in_gb() -> None:
    message, details = explain_refusal([USER, replace(PROJECT, max_memory_mib=6_656)], ASKED)
    assert message == "limit exceeded: the project uses 0 of 6.5 GB of memory, 8 more asked"
    assert details["limits"] == [{"name": "project_limit", "resource": "memory", "limit": 6.5, "used": 0, "asked": 8}]


def test_each_limit_that_is_asked_for_has_to_be_more_than_there_is() -> None:
    assert USER.not_raised_by(Limits(servers=101, memory_mib=1_638_401)) == []
    assert USER.not_raised_by(Limits(servers=100, cores=401, memory_mib=1_638_400)) == [
        ("servers", "must be more than the present limit of 100"),
        ("memory", "must be more than the present limit of 1600"),
    ]
    assert USER.not_raised_by(Limits()) == [("servers", "at least one of servers, cores, memory, disk is required")]


def test_limits_in_the_units_of_server_types() -> None:
    limits = Limits.in_gb(servers=20, cores=None, memory=0.1, disk=1_000_000)
    assert limits == Limits(20, None, 103, 1_000_000)
    assert str(Limits(20, 0, 1_638_400, 10**9)) == "20 servers, 0 cores, 1600 GB of memory, 1000000000 GB of disk"
