"""What `puchify up` says while it works: lines that stay, and the steps of an operation as they happen.

On a terminal the steps are a table that changes in place; anywhere else each change of a step is a line.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

Step = Mapping[str, Any]
"""One entry of ``/actions/{id}/timeline``."""

COLOURS = {"done": "green", "running": "yellow", "waiting": "dim", "failed": "red", "cancelled": "red"}


class _Console(Console):
    """Goes on in silence when nobody reads any more: what runs is worth more than what is said of it."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class Teller:
    """Says things to whoever started us, and keeps the time since then."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or _Console(highlight=False)
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def say(self, line: str = "", style: str = "") -> None:
        """One line as it is: never wrapped, so that what is printed can be copied."""
        self.console.print(Text(line, style), soft_wrap=True)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Say how long something took, once it is done."""
        begun = time.monotonic()
        yield
        self.say(f"  {what:<42} {time.monotonic() - begun:5.1f} s")

    @contextmanager
    def steps(self) -> Iterator[Steps]:
        shown = _Table(self.console) if self.console.is_terminal else _Lines(self)
        with shown:
            yield shown


class Steps:
    """Shows the steps of an operation; told again and again how they stand now."""

    def show(self, steps: Sequence[Step]) -> None:
        raise NotImplementedError

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class _Lines(Steps):
    """A line for each step when it ends, fails or is tried again."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._said: dict[int, tuple[str, int]] = {}

    def show(self, steps: Sequence[Step]) -> None:
        for index, step in enumerate(steps):
            now = (step["state"], step["tries"])
            # A step that begins says nothing new to who reads lines, unless it begins again.
            if now != self._said.get(index) and (step["state"] not in ("waiting", "running") or step["tries"] > 1):
                name, state, duration, retries = columns(step)
                self._teller.say(f"  {name:<18} {state:<10} {duration:>9}  {retries}".rstrip())
                self._said[index] = now


class _Table(Steps):
    """The table, drawn anew a few times a second."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=8)

    def show(self, steps: Sequence[Step]) -> None:
        self._live.update(table_of(steps))

    def __enter__(self) -> Steps:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


def table_of(steps: Sequence[Step]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("  step")
    table.add_column("state")
    table.add_column("duration", justify="right")
    table.add_column("")
    for step in steps:
        name, state, duration, retries = columns(step)
        table.add_row(f"  {name}", Text(state, COLOURS.get(state, "")), duration, retries)
    return table


def columns(step: Step) -> tuple[str, str, str, str]:
    """(name, state, duration, retries) of a step, for the eye."""
    milliseconds, retries = step["duration_ms"], step["tries"] - 1
    duration = "" if milliseconds is None else f"{milliseconds:,.0f} ms"
    again = "" if retries < 1 else "1 retry" if retries == 1 else f"{retries} retries"
    return step["name"], step["state"], duration, again
