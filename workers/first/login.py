"""The proof: a login by SSH with the user's key, to a server that shows exactly the host key served with it."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from workers.local.place import write_private

USER = "root"
PAUSE = 0.2  # seconds between two tries
ONE_TRY = 10.0  # seconds; a key exchange under emulation takes one


class KeyRefused(Exception):
    """The server lets nobody in with our key: it was made for another."""


class NoLogin(Exception):
    """No login came about; the message says what happened instead."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where to knock, and what has to open. ``host_key``: ``type base64``, as the API serves it."""

    address: str
    host_key: str
    key: Path


async def log_in(door: Door, patience: float) -> str:
    """What the server says its name is. Tries for ``patience`` seconds: a server that was off may still be booting."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return await _one_try(door)
        except asyncssh.PermissionDenied as cause:
            raise KeyRefused(f"{door.address} does not accept our key") from cause
        except asyncssh.HostKeyNotVerifiable as cause:
            raise NoLogin(f"{door.address} shows another host key than the one served with the server") from cause
        except (OSError, TimeoutError, asyncssh.Error) as cause:
            if time.monotonic() > deadline:
                said = str(cause) or type(cause).__name__
                raise NoLogin(f"no login at {door.address} within {patience:g} s: {said}") from cause
        await asyncio.sleep(PAUSE)


async def _one_try(door: Door) -> str:
    async with asyncio.timeout(ONE_TRY):
        connection = await asyncssh.connect(
            door.address,
            username=USER,
            client_keys=[str(door.key)],
            known_hosts=asyncssh.import_known_hosts(f"{door.address} {door.host_key}\n"),
            config=None,  # the proof stands by itself: nothing of the user's own SSH configuration or agent counts
            agent_path=None,
        )
        async with connection:
            done = await connection.run("uname -n", check=True)
    return str(done.stdout).strip()


def ensure_key(path: Path) -> str:
    """A key pair at ``path``, made once; the public line."""
    public = path.with_suffix(".pub")
    if not (path.exists() and public.exists()):
        made = asyncssh.generate_private_key("ssh-ed25519", comment="puchify up")
        write_private(path, made.export_private_key().decode())
        public.write_bytes(made.export_public_key())
    return public.read_text().strip()


def write_known_hosts(path: Path, doors: list[Door]) -> None:
    write_private(path, "".join(f"{door.address} {door.host_key}\n" for door in doors))


def ssh_command(door: Door, known_hosts: Path) -> str:
    """As it can be pasted; paths below the working directory are told from there."""
    key, hosts = (os.path.relpath(path) for path in (door.key, known_hosts))
    if key.startswith(".."):
        key, hosts = str(door.key), str(known_hosts)
    options = ("-o", f"UserKnownHostsFile={hosts}", "-o", "IdentitiesOnly=yes")
    return shlex.join(("ssh", "-i", key, *options, f"{USER}@{door.address}"))
