"""The ``nft`` program: one text, one transaction. Blocking; one at a time, because the kernel has one ruleset."""

from __future__ import annotations

import json
import subprocess
import threading

TIMEOUT = 30.0  # seconds; a transaction takes 20 ms, on a busy machine a second

_one_at_a_time = threading.Lock()


class NftError(Exception):
    """nft refused a text, or is missing. Nothing of the text was applied."""


def apply(text: str) -> None:
    _run("-f", "-", text=text)


def chains(table: str) -> set[tuple[str, str]]:
    """The chains, as (family, name), of every table called ``table``."""
    found = [entry["chain"] for entry in json.loads(_run("-j", "list", "chains"))["nftables"] if "chain" in entry]
    return {(chain["family"], chain["name"]) for chain in found if chain["table"] == table}


def _run(*arguments: str, text: str = "") -> str:
    with _one_at_a_time:
        try:
            done = subprocess.run(("nft", *arguments), input=text, capture_output=True, text=True, timeout=TIMEOUT)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NftError(f"nft cannot be run: {error}") from error
    if done.returncode != 0:
        raise NftError(f"nft {' '.join(arguments)}: {done.stderr.strip()[:1500]}")
    return done.stdout
