"""nftables, through its library: one text, one transaction. Blocking; one at a time, as the kernel has one ruleset.

In this process, because a program of its own would begin anew each time: beside 200 servers a change takes 14 ms of
processor time here and 22 ms there. The library keeps a socket, which belongs to the network namespace of the thread
that opened it.
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARY = "libnftables.so.1"  # of Debian's package nftables
JSON = 1 << 4  # NFT_CTX_OUTPUT_JSON (nftables/libnftables.h)

_one_at_a_time = threading.Lock()
_opened: tuple[int, _Nftables] | None = None
"""With the namespace that it works in."""


class NftError(Exception):
    """nft refused a text, or is missing. Nothing of the text was applied."""


def apply(text: str) -> None:
    with _nftables() as nftables:
        nftables.run(text)


def chains(table: str) -> set[tuple[str, str]]:
    """The chains, as (family, name), of every table called ``table``."""
    with _nftables() as nftables:
        told = json.loads(nftables.run("list chains"))["nftables"]
    found = [entry["chain"] for entry in told if "chain" in entry]
    return {(chain["family"], chain["name"]) for chain in found if chain["table"] == table}


class _Nftables:
    """One context of the library, which tells what it has to say into buffers."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise NftError(f"nftables is not installed: {error}") from error
        self._library.nft_ctx_new.restype = ctypes.c_void_p
        for told in (self._library.nft_ctx_get_output_buffer, self._library.nft_ctx_get_error_buffer):
            told.restype = ctypes.c_char_p
        self._context = ctypes.c_void_p(self._library.nft_ctx_new(0))
        if not self._context:
            raise NftError("nftables has no socket to the kernel")
        self._library.nft_ctx_output_set_flags(self._context, JSON)
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def run(self, text: str) -> str:
        failed = self._library.nft_run_cmd_from_buffer(self._context, text.encode())
        told: bytes = self._library.nft_ctx_get_output_buffer(self._context)
        problem: bytes = self._library.nft_ctx_get_error_buffer(self._context)
        if failed:
            raise NftError(problem.decode(errors="replace").strip()[:1500])
        return told.decode()

    def close(self) -> None:
        self._library.nft_ctx_free(self._context)


@contextmanager
def _nftables() -> Iterator[_Nftables]:
    global _opened
    with _one_at_a_time:
        here = os.stat("/proc/thread-self/ns/net").st_ino
        if _opened is not None and _opened[0] != here:
            _opened[1].close()
            _opened = None
        if _opened is None:
            _opened = (here, _Nftables())
        yield _opened[1]
