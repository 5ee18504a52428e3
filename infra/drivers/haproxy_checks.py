"""What HAProxy itself has against a configuration, service by service: the others are served without.

It names the lines that it does not understand, so that one check finds them all; for what it says of no line, halves
are tried. What was refused is remembered: it costs its checks once, and not again whenever anybody changes anything.
Blocking.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.domain.errors import HostUnavailable
from infra.domain.haproxy_config import Ground, together

CHECK_S = 30.0
REMEMBERED_S = 600.0
"""Then it is tried again: what it was refused for may have been the edge's own state."""
CANDIDATE = ".haproxy.cfg.new"
ALERT = re.compile(r"\[ALERT\][^:]*: (?:config : )?(?:parsing \[[^]]*:(?P<line>\d+)\] : )?(?P<said>.*)")
NAME = re.compile(r"\blb\d+-\d+")


@dataclass(frozen=True, slots=True)
class _Alert:
    """``line``: of the configuration, from 1; 0 where it says none."""

    line: int
    said: str


@dataclass
class Checks:
    """``write``: a file that HAProxy may read."""

    directory: Path
    write: Callable[[Path, str], None]
    _known: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By the text of a service: why it is refused, and until when that is believed."""

    def remembered(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Of those services, by name: why they are refused. Others are forgotten."""
        now, wanted = time.monotonic(), set(texts.values())
        self._known = {text: known for text, known in self._known.items() if text in wanted and now < known[1]}
        return {name: self._known[text][0] for name, text in texts.items() if text in self._known}

    def refused(self, texts: Mapping[str, str], ground: Ground) -> dict[str, str]:
        """Which of them HAProxy does not take, by name, and why. HostUnavailable: it takes none."""
        left, problems = dict(texts), dict[str, str]()
        while alerts := self._alerts(left, ground):
            found = _named(alerts, left, ground) or self._by_halves(left, ground)
            if not found:
                raise HostUnavailable("the load balancers cannot be brought together") from ValueError(alerts[0].said)
            for name, said in found.items():
                problems[name] = f"it is refused: {said}"
                self._known[left.pop(name)] = problems[name], time.monotonic() + REMEMBERED_S
        return problems

    def _by_halves(self, texts: Mapping[str, str], ground: Ground) -> dict[str, str]:
        """One that is refused by itself. Nothing: what is wrong is in no service, or in several only together."""
        names = list(texts)
        while len(names) > 1:
            first, second = names[: len(names) // 2], names[len(names) // 2 :]
            names = first if self._alerts({name: texts[name] for name in first}, ground) else second
        alerts = self._alerts({name: texts[name] for name in names}, ground) if names else []
        return {names[0]: alerts[0].said} if alerts else {}

    def _alerts(self, texts: Mapping[str, str], ground: Ground) -> list[_Alert]:
        """Nothing: it is taken."""
        file = self.directory / CANDIDATE
        self.write(file, together(ground, texts.values()))
        command = ("haproxy", "-c", "-f", str(file))
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_S, errors="replace")
        except subprocess.TimeoutExpired as late:
            raise HostUnavailable("the configuration of the edge takes too long to be checked") from late
        if done.returncode == 0:
            return []
        found = [ALERT.match(line) for line in done.stderr.splitlines()]
        return [_Alert(int(one["line"] or 0), one["said"]) for one in found if one] or [_Alert(0, "no reason given")]


def _named(alerts: Iterable[_Alert], texts: Mapping[str, str], ground: Ground) -> dict[str, str]:
    """The services that the alerts are about, each with the first."""
    owners = [""] * (together(ground, ()).count("\n") + 1)
    for name, text in texts.items():
        owners += [name] * (text.count("\n") + 1) + [""]
    found: dict[str, str] = {}
    for alert in alerts:
        line = owners[alert.line - 1] if 0 < alert.line <= len(owners) else ""
        for name in [line] if line else NAME.findall(alert.said):
            if name in texts:
                found.setdefault(name, alert.said)
    return found
