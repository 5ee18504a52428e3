"""SSH public keys: every kind that OpenSSH takes is read to its last byte, and nothing else is."""

from __future__ import annotations

import base64
import itertools

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.ssh_public_key import BadKey, parse

KINDS = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


def line_of(kind: str) -> str:
    return asyncssh.generate_private_key(kind).export_public_key().decode().strip()


ED25519 = line_of("ssh-ed25519")


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_read_and_its_fingerprint_is_openssh_s(kind: str) -> None:
    line = line_of(kind)

    key = parse(f"  {line}   ada@home  \n")

    assert key.line == f"{line} ada@home"
    assert f"MD5:{key.fingerprint}" == asyncssh.import_public_key(line).get_fingerprint("md5")
    assert parse(key.line) == key


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("sk-ssh-ed25519@openssh.com", (bytes(32), b"ssh:")),
        ("sk-ecdsa-sha2-nistp256@openssh.com", (b"nistp256", b"\x04" + bytes(64), b"ssh:")),
    ],
)
def test_security_keys_are_keys(kind: str, fields: tuple[bytes, ...]) -> None:
    assert parse(f"{kind} {encoded(kind.encode(), *fields)}").algorithm == kind


def encoded(*fields: bytes) -> str:
    return base64.b64encode(b"".join(len(field).to_bytes(4, "big") + field for field in fields)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 !!!!",
        "ssh-ed25519 AAAA",
        f'command="id" {ED25519}',
        f"{ED25519}\n{ED25519}",
        f"{ED25519} a\rcomment",
        f"{ED25519} \u202ecomment",
        ED25519.replace("ssh-ed25519 ", "ssh-rsa "),
        ED25519[:-8],
        ED25519 + "AAAA",
        f"ssh-ed25519 {encoded(b'ssh-ed25519', bytes(31))}",
        f"ssh-ed25519 {encoded(b'ssh-ed25519', bytes(32), b'more')}",
        f"ssh-rsa {encoded(b'ssh-rsa', bytes([1, 0, 1]), bytes([1]) * 64)}",
        f"ssh-dss {encoded(b'ssh-dss', b'p', b'q', b'g', b'y')}",
        f"ecdsa-sha2-nistp256 {encoded(b'ecdsa-sha2-nistp256', b'nistp384', bytes([4]) * 97)}",
        f"ecdsa-sha2-nistp256 {encoded(b'ecdsa-sha2-nistp256', b'nistp256', bytes(65))}",
        f"ecdsa-sha2-nistp256 {encoded(b'ecdsa-sha2-nistp256', b'nistp256', b'')}",
        "ssh-ed25519 " + "A" * 20_000,
    ],
    ids=itertools.count(),  # a name that is the same in every process
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(BadKey):
        parse(text)


@given(st.binary(max_size=80), st.sampled_from(KINDS))
def test_a_blob_is_a_key_or_refused(blob: bytes, kind: str) -> None:
    try:
        parse(f"{kind} {base64.b64encode(blob).decode()}")
    except BadKey:
        return
    assert blob[4:].startswith(kind.encode())
