"""Packed and unpacked a table is the same, whole or as a change since another one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain import host_packing
from infra.domain.host_packing import pack, pack_change, unpack, unpack_change
from infra.domain.host_table import HostTable
from tests.domain.hosts_of import host

TABLE = HostTable.of(host(id, rack=f"r{id % 3}", used_cores=id, io_wait=id / 7) for id in (5, 2, 11))


@pytest.mark.parametrize("table", [TABLE, HostTable.of(())])
def test_a_table_comes_back(table: HostTable) -> None:
    assert unpack(pack(table)).digest() == table.digest()


@given(st.dictionaries(st.sampled_from([2, 5, 11]), st.integers(0, 16)))
def test_a_change_comes_back(used: dict[int, int]) -> None:
    changed = TABLE.with_hosts([replace(TABLE.at(int(TABLE.rows([id])[0])), used_cores=n) for id, n in used.items()])

    packed = pack_change(changed, TABLE)

    assert packed is not None
    assert unpack_change(packed, unpack(pack(TABLE))).digest() == changed.digest()


def test_hosts_that_come_or_move_are_no_change_of_numbers() -> None:
    assert pack_change(TABLE.with_hosts([host(99)]), TABLE) is None
    assert pack_change(TABLE.with_hosts([host(5, rack="elsewhere")]), TABLE) is None


@pytest.mark.parametrize(("kind", "those"), [("NUMBERS", ("cores",)), ("WORDS", ("state",))])
def test_a_table_of_another_version_is_refused(
    kind: str, those: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pack(TABLE)
    monkeypatch.setattr(host_packing, kind, those)
    with pytest.raises(ValueError, match="another version"):
        unpack(packed)
