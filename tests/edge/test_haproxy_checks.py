"""What HAProxy refuses is found, named with its reason, and costs its checks once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.domain.errors import HostUnavailable
from infra.domain.haproxy_config import Ground
from infra.drivers.haproxy_checks import Checks

GOOD = {f"lb{n}-80": f"backend lb{n}-80\n  mode http" for n in range(1, 41)}


class Counted(Checks):
    count = 0

    def _alerts(self, texts: Any, ground: Ground) -> Any:
        self.count += 1
        return super()._alerts(texts, ground)


@pytest.fixture
def checks(tmp_path: Path) -> Counted:
    return Counted(tmp_path, lambda path, text: path.write_text(text) and None)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(str(tmp_path), str)


def test_all_that_is_refused_is_found_at_once_with_its_reason(checks: Counted, ground: Ground) -> None:
    bad = {f"lb{n}-80": f"backend lb{n}-80\n  mode http\n  bogus{n}" for n in (5, 20, 33)}
    refused = checks.refused({**GOOD, **bad}, ground)
    assert refused == {
        f"lb{n}-80": f"it is refused: unknown keyword 'bogus{n}' in 'backend' section" for n in (5, 20, 33)
    }
    assert checks.count == 2


def test_what_was_refused_is_remembered_until_it_is_another(checks: Counted, ground: Ground) -> None:
    bad = {"lb5-80": "backend lb5-80\n  bogus"}
    refused = checks.refused({**GOOD, **bad}, ground)
    assert checks.remembered({**GOOD, **bad}) == refused
    assert checks.remembered(GOOD) == {}


def test_what_is_said_of_no_line_is_found_by_halves(
    checks: Counted, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.drivers.haproxy_checks._named", lambda *_: {})
    assert set(checks.refused({**GOOD, "lb7-80": "backend lb7-80\n  bogus"}, ground)) == {"lb7-80"}
    assert checks.count < 12


def test_what_nobody_can_serve_is_no_services_fault(checks: Counted) -> None:
    with pytest.raises(HostUnavailable):
        checks.refused(GOOD, Ground("/tmp\n  bogus", str))
