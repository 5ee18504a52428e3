"""The rules of the lab's routers: given once more, with every `puchify lab up`, they are what they were."""

from __future__ import annotations

import subprocess

import pytest

from infra.lab.cables import CUTS, GATE


@pytest.mark.usefixtures("private_network")
@pytest.mark.parametrize(("table", "rules"), [("cables", CUTS), ("gate", GATE.format(vteps="10.255.0.0/16"))])
def test_rules_that_are_given_again_do_not_pile_up(table: str, rules: str) -> None:
    once, twice = _given(table, rules), _given(table, rules)
    _nft("delete", "table", "inet", table)

    assert "iifname" in once
    assert twice == once


def _given(table: str, rules: str) -> str:
    _nft("-f", "-", text=rules)
    return _nft("list", "table", "inet", table)


def _nft(*words: str, text: str = "") -> str:
    return subprocess.run(("nft", *words), input=text, text=True, capture_output=True, check=True).stdout
