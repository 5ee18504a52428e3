"""The health of what replicates the store, asked of the engine's own tools; infra/domain/store_health.py reads them.

Nothing of the mount is touched. CephFS answers wherever its configuration is, GlusterFS where its daemon is.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

from infra.domain.store_health import Engine, Health, of_ceph, of_gluster

PATIENCE = 20.0  # seconds for one question
CONNECT = "10"  # seconds


class NoAnswer(Exception):
    """The engine's tool is not there, failed, or took too long."""


@dataclass(frozen=True, slots=True)
class EngineOf:
    """``conf``: of Ceph. ``volume``: of GlusterFS."""

    engine: Engine
    volume: str = "images"
    conf: Path | None = None


async def health(of: EngineOf) -> Health:
    try:
        if of.engine == "cephfs":
            return await _ceph(of.conf)
        if of.engine == "glusterfs":
            return await _gluster(of.volume)
    except NoAnswer as error:
        return Health("unknown", str(error))
    return Health("healthy", "a directory of this machine: nothing replicates it")


async def _ceph(conf: Path | None) -> Health:
    ceph = ("ceph", *(("-c", str(conf)) if conf else ()), "--connect-timeout", CONNECT, "-f", "json")
    status = await _said(*ceph, "-s")
    names = json.loads(status).get("quorum_names") or ["*"]
    pools = await _said(*ceph, "osd", "pool", "ls", "detail")
    return of_ceph(status, pools, await _said(*ceph, "config", "show", f"mon.{names[0]}"))


async def _gluster(volume: str) -> Health:
    gluster = ("gluster", "--mode=script", "--xml", "volume")
    heal = await _said(*gluster, "heal", volume, "info", "summary")
    return of_gluster(heal, await _said(*gluster, "info", volume))


async def _said(*argv: str) -> str:
    """What the tool said; in time."""
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=pipe, stderr=pipe, stdin=asyncio.subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise NoAnswer(f"{argv[0]} is not installed here") from None
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise NoAnswer(f"{argv[0]} has not answered for {PATIENCE:.0f} s") from None
    if process.returncode:
        raise NoAnswer(f"{argv[0]} does not answer: {(err or out).decode(errors='replace').strip()[-200:]}")
    return out.decode(errors="replace")
