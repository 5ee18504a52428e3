"""nftables in this process, on the session's own network: whole texts or nothing, whoever asks and from where."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.drivers import nft
from tests.fix_netns import CLONE_NEWNET

TABLE = "puchify-test"


@pytest.fixture
def table(private_network: None) -> Iterator[str]:
    nft.apply(f"add table inet {TABLE}\nadd chain inet {TABLE} there\n")
    yield TABLE
    nft.apply(f"delete table inet {TABLE}\n")


def test_a_text_is_applied_as_a_whole_or_not_at_all(table: str) -> None:
    with pytest.raises(nft.NftError, match="No such file"):
        nft.apply(f"add chain inet {table} other\nadd rule inet {table} other jump nobody\n")
    assert nft.chains(table) == {("inet", "there")}
    with pytest.raises(nft.NftError, match="No such file"):
        nft.apply(f"add rule inet {table} other counter\n")


@pytest.mark.parametrize("text", ["add chains", "add chain inet puchify-none other", "table inet x {"])
def test_what_nft_refuses_is_told_and_the_next_text_goes_on(table: str, text: str) -> None:
    with pytest.raises(nft.NftError, match=r"[Ee]rror"):
        nft.apply(text)
    nft.apply(f"add chain inet {table} next\n")
    assert ("inet", "next") in nft.chains(table)


def test_chains_are_told_as_they_are_now_whoever_made_them(table: str) -> None:
    for chain in ("one", "two"):
        subprocess.run(("nft", "add", "chain", "inet", table, chain), check=True)
        assert ("inet", chain) in nft.chains(table)
    subprocess.run(("nft", "delete", "chain", "inet", table, "one"), check=True)
    assert nft.chains(table) == {("inet", "there"), ("inet", "two")}
    assert nft.chains("puchify-none") == set()


def test_many_at_a_time_are_all_applied(table: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: nft.apply(f"add chain inet {table} chain{number}\n"), range(40)))
    assert len(nft.chains(table)) == 41


def test_a_text_is_about_the_network_of_the_thread_that_applies_it(table: str) -> None:
    def elsewhere() -> set[tuple[str, str]]:
        assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0
        nft.apply(f"add table inet {table}\nadd chain inet {table} elsewhere\n")
        return nft.chains(table)

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(elsewhere).result() == {("inet", "elsewhere")}
    assert nft.chains(table) == {("inet", "there")}


def test_a_machine_without_nftables_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "_opened", None)
    monkeypatch.setattr(nft, "LIBRARY", "libnobody.so.1")
    with pytest.raises(nft.NftError, match="not installed"):
        nft.apply("")
