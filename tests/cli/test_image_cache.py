"""What operators see of the image caches: as each host's last report says."""

from __future__ import annotations

import asyncio
import json

from infra.db.reports import record_report
from infra.domain.models import HostReport
from tests.cli.run import Ended, puchify
from tests.fix_shell import Shell
from tests.furnished import DIGEST

FACTS = {
    "image_cache_gib": 20,
    "image_mib": {DIGEST: 340, "f" * 64: 12},
    "image_used": {DIGEST: 1_800_000_000, "f" * 64: 1_700_000_000},
    "image_in_use": {DIGEST: True, "f" * 64: False},
}


async def cache(shell: Shell, *words: str) -> Ended:
    return await asyncio.to_thread(puchify, "image", "cache", *words, **shell.settings)


async def test_a_cache_is_shown_as_its_host_told_of_it(shell: Shell) -> None:
    async with shell.region.pool.connection() as connection:
        await record_report(connection, HostReport(shell.host_id, 4, 8192, 100, facts=FACTS))
    told = await cache(shell, shell.name)
    assert told.out.splitlines() == [
        f"host {shell.name}: 2 images, 352 MiB of 20 GiB",
        "  IMAGE  DIGEST        MIB  LAST USE",
        f"  tiny   {DIGEST[:12]}  340  2027-01-15 08:00  in use",
        "  -      ffffffffffff  12   2023-11-14 22:13",
    ]
    (host,) = json.loads((await cache(shell, "--json", shell.name)).out)["hosts"]
    assert [image["name"] for image in host["images"]] == ["tiny", None]


async def test_a_host_that_does_not_tell_and_one_that_is_not_known(shell: Shell) -> None:
    assert (await cache(shell, shell.name)).out == f"host {shell.name} says nothing of an image cache\n"
    unknown = await cache(shell, "nowhere")
    assert (unknown.code, unknown.out) == (1, "")
    assert "nowhere" in unknown.err
