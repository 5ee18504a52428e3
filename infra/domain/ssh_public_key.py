"""An OpenSSH public key line: parsed to the last byte, so that what we write into a guest is a key and nothing else.

Formats: RFC 4253 section 6.6 (rsa), RFC 5656 (ecdsa), RFC 8709 (ed25519), OpenSSH's PROTOCOL.u2f (sk-*). DSA is
refused: no current OpenSSH accepts it. Options before the key (``command=...``) are refused: they belong to
authorized_keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

LONGEST = 16384
SMALLEST_RSA_BITS = 1024  # OpenSSH's own floor

# How many fields follow the algorithm's name in the blob.
FIELDS = {
    "ssh-ed25519": 1,
    "ssh-rsa": 2,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "sk-ssh-ed25519@openssh.com": 2,
    "sk-ecdsa-sha2-nistp256@openssh.com": 3,
}
POINT_BYTES = {"nistp256": 65, "nistp384": 97, "nistp521": 133}


class BadKey(ValueError):
    """Not a public key that a guest could use; the message says why."""


@dataclass(frozen=True, slots=True)
class SshPublicKey:
    """``line`` is the key as it is written into a guest: ``type base64 [comment]``, one line."""

    algorithm: str
    blob: bytes
    comment: str

    @property
    def line(self) -> str:
        return " ".join(part for part in (self.algorithm, base64.b64encode(self.blob).decode(), self.comment) if part)

    @property
    def fingerprint(self) -> str:
        """MD5, as the wire has it: sixteen pairs of lower-case hex digits with colons between."""
        return hashlib.md5(self.blob, usedforsecurity=False).digest().hex(":")


def parse(text: str) -> SshPublicKey:
    """BadKey unless ``text`` is exactly one usable key line."""
    if len(text) > LONGEST:
        raise BadKey(f"must have at most {LONGEST} characters")
    line = text.strip()
    if not line.isprintable():
        raise BadKey("must be a single line")
    algorithm, _, rest = line.partition(" ")
    encoded, _, comment = rest.strip().partition(" ")
    if algorithm not in FIELDS:
        raise BadKey("must be an OpenSSH public key: ssh-ed25519, ecdsa-sha2-nistp*, ssh-rsa or an sk- key")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as cause:
        raise BadKey("the key itself is not base64") from cause
    _check(algorithm, blob)
    return SshPublicKey(algorithm, blob, comment.strip())


def _check(algorithm: str, blob: bytes) -> None:
    name, *fields = _fields(blob)
    if name != algorithm.encode():
        raise BadKey("the key itself is of another type than its first word says")
    if len(fields) != FIELDS[algorithm]:
        raise BadKey("the key itself is incomplete")
    if "ed25519" in algorithm:
        right = len(fields[0]) == 32
    elif algorithm == "ssh-rsa":
        right = int.from_bytes(fields[1], "big").bit_length() >= SMALLEST_RSA_BITS
    else:
        curve = fields[0].decode("ascii", "replace")
        right = curve in algorithm and len(fields[1]) == POINT_BYTES.get(curve) and fields[1][0] == 4
    if not right:
        raise BadKey("the key itself is malformed or too short")


def _fields(blob: bytes) -> list[bytes]:
    """The length-prefixed strings that a blob is made of, to its last byte."""
    fields, at = [], 0
    while at < len(blob):
        size = int.from_bytes(blob[at : at + 4], "big")
        if at + 4 + size > len(blob):
            raise BadKey("the key itself is cut short")
        fields.append(blob[at + 4 : at + 4 + size])
        at += 4 + size
    if not fields:
        raise BadKey("the key itself is missing")
    return fields
