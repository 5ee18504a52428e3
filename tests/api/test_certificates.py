"""Certificates, as hcloud-python has them: what is taken, what is refused, and who needs one."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hcloud.certificates import Certificate
from hcloud.load_balancers import LoadBalancerService, LoadBalancerServiceHttp

from infra.domain.errors import InvalidInput
from infra.tls.certificates import read
from tests.api.balancing import Ground, on
from tests.api.refusals import code_of, fields_of
from tests.fix_api import Api


@dataclass(frozen=True, slots=True)
class Pair:
    certificate: str
    key: str
    encrypted: str


def make(at: Path, name: str, kind: str = "ec", *more: str) -> Pair:
    keys = {"ec": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"), "weak": ("-newkey", "rsa:1024")}
    files = [at / f"{name}.{part}" for part in ("crt", "key", "locked")]
    for line in (
        [
            *("req", "-x509", *keys[kind], "-nodes", "-days", "2", "-subj", f"/CN={name}", *more),
            *("-keyout", str(files[1]), "-out", str(files[0])),
        ],
        ["pkcs8", "-topk8", "-in", str(files[1]), "-out", str(files[2]), "-passout", "pass:secret"],
    ):
        subprocess.run(["openssl", *line], check=True, capture_output=True)
    return Pair(*(file.read_text() for file in files))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    names = ("-addext", "subjectAltName=DNS:example.com,DNS:*.example.com")
    return make(tmp_path_factory.mktemp("pair"), "example.com", "ec", *names)


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make(tmp_path_factory.mktemp("weak"), "weak.example.com", "weak")


async def test_a_life(module_api: Api, pair: Pair) -> None:
    def story(ground: Ground) -> None:
        client = ground.hcloud.certificates
        made = client.create("web", pair.certificate, pair.key, labels={"a": "b"})
        assert (made.type, made.domain_names) == ("uploaded", ["example.com", "*.example.com"])
        assert made.not_valid_after > made.not_valid_before
        words = ("openssl", "x509", "-noout", "-fingerprint", "-sha256")
        shown = subprocess.run(words, input=pair.certificate, capture_output=True, text=True)
        assert shown.stdout.strip().partition("=")[2] == made.fingerprint
        assert (made.certificate, made.status) == (pair.certificate, None)
        told = ground.told(f"/certificates/{made.id}")["certificate"]
        assert told["used_by"] == []
        assert "PRIVATE" not in str(told)
        assert [one.id for one in client.get_all(name="web", label_selector="a=b")] == [made.id]
        assert code_of(lambda: client.create("web", pair.certificate, pair.key)) == "uniqueness_error"
        assert code_of(lambda: client.retry_issuance(made)) == "unsupported_error"
        assert made.update(name="www").name == "www"

        balancer = ground.balancer("front")
        https = LoadBalancerService(
            protocol="https", destination_port=80, http=LoadBalancerServiceHttp(certificates=[Certificate(id=made.id)])
        )
        balancer.add_service(https).wait_until_finished()
        told = ground.told(f"/certificates/{made.id}")["certificate"]
        assert told["used_by"] == [{"id": balancer.id, "type": "load_balancer"}]
        assert code_of(made.delete) == "resource_in_use"
        ground.gone(balancer)
        assert made.delete()
        assert client.get_all() == []

    await on(module_api, story)


async def test_managed_ones_are_not_supported(module_api: Api) -> None:
    create = lambda: module_api.hcloud.certificates.create_managed("m", ["example.com"])  # noqa: E731
    assert await asyncio.to_thread(code_of, create) == "unsupported_error"


async def test_what_cannot_be_served_is_refused_and_never_quoted(module_api: Api, pair: Pair, weak: Pair) -> None:
    for certificate, key, field in (
        ("no certificate", pair.key, "certificate"),
        (pair.key, pair.key, "certificate"),
        (pair.certificate, "no key", "private_key"),
        (pair.certificate, pair.encrypted, "private_key"),
        (pair.certificate, weak.key, "private_key"),
        (weak.certificate, weak.key, "certificate"),
        (pair.certificate, "", "private_key"),
    ):
        body = {"name": "wrong", "certificate": certificate, "private_key": key}
        refused = await module_api.http.post("/certificates", json=body)
        assert fields_of(refused) == [field]
        assert pair.key[40:80] not in refused.text
    assert (await module_api.listed("/certificates", name="wrong"))["certificates"] == []


def test_a_damaged_certificate_is_refused_whatever_the_damage(pair: Pair) -> None:
    body = base64.b64decode("".join(pair.certificate.splitlines()[1:-1]))
    for place in range(len(body)):
        for value in (0x00, 0x30, 0xFF):
            damaged = base64.encodebytes(body[:place] + bytes([value]) + body[place + 1 :]).decode()
            text = f"-----BEGIN CERTIFICATE-----\n{damaged}-----END CERTIFICATE-----\n"
            with suppress(InvalidInput):
                read(text, pair.key)


def test_a_key_among_the_certificates_is_refused(pair: Pair) -> None:
    with pytest.raises(InvalidInput, match="must not have the private key"):
        read(pair.certificate + pair.key, pair.key)


def _certificate_of(public: rsa.RSAPublicKey) -> str:
    """Signed by somebody: only the holder of its key could serve it."""
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "long")]), datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(public).serial_number(5)
    made = made.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return made.sign(ec.generate_private_key(ec.SECP256R1()), SHA256()).public_bytes(Encoding.PEM).decode()


def test_a_certificate_with_a_huge_key_is_refused(pair: Pair) -> None:
    certificate = _certificate_of(rsa.RSAPublicNumbers(65537, 2**16383 + 1).public_key())
    with pytest.raises(InvalidInput, match="16384 bits: 8192 is the most"):
        read(certificate, pair.key)


def test_factors_of_a_key_are_not_looked_for(pair: Pair) -> None:
    """The key is long and nonsense: to find that out would take minutes."""
    p, q, half = 2**99_999 + 1, 2**99_999 + 3, 2**99_990 + 1
    numbers = rsa.RSAPrivateNumbers(p, q, 2**199_990 + 1, half, half, 3, rsa.RSAPublicNumbers(65537, p * q))
    key = _pem(numbers)
    began = time.process_time()
    with pytest.raises(InvalidInput, match="is not the key of the certificate"):
        read(pair.certificate, key)
    assert time.process_time() - began < 5


def test_a_key_that_only_says_that_it_is_the_certificates_is_refused() -> None:
    own = rsa.generate_private_key(65537, 2048)
    told = own.private_numbers()
    lying = rsa.RSAPrivateNumbers(told.p, told.q, told.d + 2, told.dmp1 + 2, told.dmq1, told.iqmp, told.public_numbers)
    certificate = _certificate_of(own.public_key())
    assert read(certificate, _pem(told)).certificate == certificate
    with pytest.raises(InvalidInput, match="is not the key of the certificate"):
        read(certificate, _pem(lying))


def _pem(numbers: rsa.RSAPrivateNumbers) -> str:
    key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
