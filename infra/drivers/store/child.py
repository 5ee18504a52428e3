"""The process that touches the mount, so that no worker has to: it may hang for ever, and then it alone does.

``python -m infra.drivers.store.child <verb>`` reads its arguments, a line of JSON, and says in such lines how far it is
(``at``) and, last, its result (``done``) or what went wrong (``error`` and ``said``; of a local directory, ``errno``).
Its standard input is its lifeline: it ends when that does, with the process that started it, whatever it is doing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from infra.drivers.store import segments, stored_files
from infra.drivers.store.errors import StoreAway, StoreError

SAY_EVERY = 0.25  # seconds
FRAME = 4  # bytes of the length before each piece of a segment; a length of zero asks for a sync

Answer = Mapping[str, Any]


class Teller:
    """Progress, not too often."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, done: int) -> None:
        if time.monotonic() - self._said >= SAY_EVERY:
            self._said = time.monotonic()
            say({"at": done})


def say(answer: Answer) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def publish(store: Path, directory: str, settle: float) -> Answer:
    digest, size = stored_files.publish(store, Path(directory), settle, Teller())
    return {"digest": digest, "size": size}


def fetch(store: Path, digest: str, into: str, settle: float) -> None:
    stored_files.fetch(store, digest, Path(into), settle, Teller())


def verify(store: Path, digest: str, settle: float) -> bool:
    return stored_files.verify(store, digest, settle, Teller())


def collect(store: Path, image_id: int, pieces: list[tuple[str, int, int]], into: str, settle: float) -> str:
    return segments.collect(store, image_id, pieces, Path(into), settle, Teller())


def probe(store: Path, name: str, **told: Any) -> str:
    from infra.drivers.store.probes import PROBES  # seldom needed, and a child starts often

    return PROBES[name](store, progress=Teller(), **told)


def append(store: Path, image_id: int, name: str) -> None:
    """Pieces come in on standard input, each after its length. A sync is answered with the bytes that are safe.

    One that fails before it was asked for any of them leaves nothing: it would only take room.
    """
    segment, promised = segments.Segment(store, image_id, name), 0
    say({"at": 0})
    try:
        while len(head := sys.stdin.buffer.read(FRAME)) == FRAME:
            if length := int.from_bytes(head, "big"):
                segment.write(sys.stdin.buffer.read(length))
            else:
                promised = segment.sync()
                say({"synced": promised})
        segment.close()
    except StoreError:
        if not promised:
            segment.drop()
        raise


VERBS: Mapping[str, Callable[..., object]] = {
    "publish": publish,
    "fetch": fetch,
    "verify": verify,
    "images": stored_files.images,
    "remove": stored_files.remove,
    "marker": stored_files.marker,
    "mark": stored_files.mark,
    "sweep": stored_files.sweep,
    "probe": probe,
    "append": append,
    "collect": collect,
    "uploads": segments.uploads,
    "discard": segments.discard,
}


def end_with_parent() -> None:
    sys.stdin.buffer.read(1)
    os._exit(1)


def main(verb: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: who started it decides
    told = json.loads(sys.stdin.buffer.readline())
    if verb != "append":
        Thread(target=end_with_parent, daemon=True).start()
    store, marked = Path(told.pop("store")), told.pop("marked")
    try:
        if marked and verb not in ("mark", "marker") and stored_files.marker(store) is None:
            raise StoreAway("the image store is not mounted: there is no marker")
        say({"done": VERBS[verb](store, **told)})
    except StoreError as error:
        say({"error": type(error).__name__, "said": str(error)})
    except OSError as error:
        say({"error": "local", "said": error.strerror or str(error), "errno": error.errno, "name": error.filename})
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # without waiting for threads that read ahead


if __name__ == "__main__":
    main(sys.argv[1])
