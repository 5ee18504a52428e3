"""Ansible's ``hetzner.hcloud``, unchanged: what it describes is made, stays as it is when asked again, and goes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.fix_api import Api

HERE = Path(__file__).parent
PLAYBOOK = Path(".venv-clients/bin/ansible-playbook").absolute()


@pytest.mark.timeout(900)
async def test_a_described_server_is_made_once_and_removed_once(api: Api, tmp_path: Path) -> None:
    _certificate(tmp_path)
    made = await _play(api, tmp_path, "present.yaml")
    again = await _play(api, tmp_path, "present.yaml")
    left = (await api.http.get("/servers")).json()["servers"]
    gone = await _play(api, tmp_path, "absent.yaml")
    still_gone = await _play(api, tmp_path, "absent.yaml")

    assert made == {"ok": 22, "changed": 21}
    assert again == {"ok": 22, "changed": 1}  # the https service
    assert [(server["name"], server["status"]) for server in left] == [("web-1", "running")]
    assert gone == {"ok": 16, "changed": 13}
    assert still_gone["changed"] == 0
    assert api.region.host.inventory().is_empty
    await api.region.assert_balanced()


def _certificate(directory: Path) -> None:
    own = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    of = ("-subj", "/CN=app.example.com", "-addext", "subjectAltName=DNS:app.example.com")
    subprocess.run(
        [*own, *of, "-keyout", directory / "key", "-out", directory / "crt"], check=True, capture_output=True
    )


async def _play(api: Api, directory: Path, playbook: str) -> dict[str, int]:
    """What it did, by its own account; nothing failed."""
    zone = (await api.http.get("/locations", params={"name": api.region.location})).json()["locations"][0]
    run = await asyncio.create_subprocess_exec(
        PLAYBOOK,
        *("-i", "localhost,", "-e", f"location={api.region.location}", "-e", f"zone={zone['network_zone']}"),
        *("-e", f"files={directory}"),
        str(HERE / playbook),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "LC_ALL": "C.UTF-8",
            "HCLOUD_TOKEN": api.region.token,
            "HCLOUD_ENDPOINT": f"{api.url}/api/v1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaints = await run.communicate()
    assert run.returncode == 0, out.decode()[-6000:] + complaints.decode()[-2000:]
    told: dict[str, Any] = json.loads(out)["stats"]["localhost"]
    assert (told["failures"], told["unreachable"]) == (0, 0)
    return {"ok": told["ok"], "changed": told["changed"]}
