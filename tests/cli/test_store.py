"""`puchify store ...`: whose a store is, what its mount does, how its engine is."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from infra.db import image_care
from tests.cli.run import puchify
from tests.fix_shell import Shell

CEPH = """#!/bin/sh
case "$*" in *"pool ls"*) cat {golden}/ceph-pools.json;; *config*) cat {golden}/ceph-config.json;;
*) cat {golden}/ceph-degraded.json;; esac
"""
GOLDEN = Path(__file__).parents[1] / "domain/golden/store"


async def test_a_store_is_marked_once_and_taken_over_only_when_it_is_meant(shell: Shell, tmp_path: Path) -> None:
    store = tmp_path / "store"

    async def init(*words: str) -> tuple[int, str]:
        ended = await asyncio.to_thread(puchify, "store", "init", str(store), *words, **shell.settings)
        return ended.code, ended.out or ended.err

    async with shell.region.pool.connection() as connection:
        ours = await image_care.installation(connection)
    said = f"the store at {store} is that of {ours}\n"
    assert await init() == await init() == (0, said)
    (store / ".store-id").write_text("another's\n")
    assert await init() == (1, f"the store at {store} is that of another's: --take-over makes it that of {ours}\n")
    assert (store / ".store-id").read_text() == "another's\n"
    assert await init("--take-over") == (0, said)
    assert (store / ".store-id").read_text() == f"{ours}\n"


def test_a_check_says_each_point_and_fails_when_one_does(tmp_path: Path) -> None:
    (tmp_path / ".store-id").write_text("ours\n")
    good = puchify("store", "check", str(tmp_path), "--owner", "ours", state=tmp_path)
    bad = puchify("store", "check", str(tmp_path), "--read-only", state=tmp_path)
    assert (good.code, bad.code) == (0, 1)
    assert [line.split()[0] for line in good.out.splitlines()] == [
        *("ok", "ok", "skipped", "ok", "ok", "ok", "skipped", "skipped", "ok"),
    ]
    assert "failed   refuses writes  it can be written to here" in bad.out.splitlines()
    assert os.listdir(tmp_path) == [".store-id"]


def test_health_is_asked_of_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ceph = tmp_path / "ceph"
    ceph.write_text(CEPH.format(golden=GOLDEN))
    ceph.chmod(ceph.stat().st_mode | stat.S_IXUSR)
    told = puchify("store", "health", state=tmp_path, image_store_engine="cephfs", image_store_conf=tmp_path / "conf")
    assert (told.code, told.out.split(":")[0]) == (1, "unknown")  # it has no such configuration
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    told = puchify("store", "health", state=tmp_path, image_store_engine="cephfs")
    assert (told.code, told.out.split(":")[0]) == (0, "degraded")


def test_a_directory_needs_no_engine(tmp_path: Path) -> None:
    told = puchify("store", "health", state=tmp_path)
    assert (told.code, told.out) == (0, "healthy: a directory of this machine: nothing replicates it\n")


async def test_a_store_that_cannot_be_marked_is_told_in_a_line(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = await asyncio.to_thread(puchify, "store", "init", str(tmp_path / "file/store"), **shell.settings)
    assert ended.code == 1
    assert ended.err == "puchify: the image store cannot be used: making the directory store: File exists\n"
