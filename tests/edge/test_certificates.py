"""Many certificates on one service: each client gets the one of the name that it asks for."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from infra.domain.edge_plan import Certificate
from tests.edge.conftest import RunningEdge
from tests.edge.test_haproxy import V4, plan_of, service

COUNT = 50  # as many as the largest types take


def pem_of(name: str) -> str:
    """A certificate that vouches for itself, with its key."""
    key, today = generate_private_key(SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(today - timedelta(days=1))
    made = made.not_valid_after(today + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (made.sign(key, SHA256()).public_bytes(Encoding.PEM) + secret).decode()


def name_of(number: int) -> str:
    return f"app{number}.example.com"


async def shown(asked: str | None) -> str:
    """The name on the certificate that whoever asks for that name is shown."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(V4, 443, ssl=trusting, server_hostname=asked or "")
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return str(x509.load_der_x509_certificate(certificate).subject.rfc4514_string()).removeprefix("CN=")


async def test_each_of_fifty_is_shown_to_who_asks_for_its_name(edge: RunningEdge) -> None:
    certificates = tuple(Certificate(n, pem_of(name_of(n))) for n in range(1, COUNT + 1))
    https = service("https", http={"certificates": [one.id for one in certificates]})
    served = await edge.follow(replace(plan_of([], https), certificates=certificates))
    assert served.problems == ()
    names = [name_of(n) for n in range(1, COUNT + 1)]
    assert [await shown(name) for name in names] == names
    assert await shown("another.example.com") == await shown(None) == name_of(1)


async def test_keys_that_nobody_shows_any_more_are_gone(edge: RunningEdge) -> None:
    certificates = tuple(Certificate(n, pem_of(name_of(n))) for n in (1, 2))

    async def files(*ids: int) -> list[str]:
        https = service("https", http={"certificates": list(ids)})
        some = tuple(one for one in certificates if one.id in ids)
        assert (await edge.follow(replace(plan_of([], *([https] if ids else [])), certificates=some))).problems == ()
        kept = edge.directory.glob("certificate*")
        return sorted(file.name.rpartition("-")[0] for file in kept)

    assert await files(1, 2) == ["certificate-1", "certificate-2", "certificates"]
    assert await files(2) == ["certificate-2", "certificates"]
    assert await shown(None) == name_of(2)
    assert await files() == []
