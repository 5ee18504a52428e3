"""A certificate with its private key, as somebody uploads them: whether they can be served, and what is in them."""

from __future__ import annotations

import os
import ssl
import warnings
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from infra.domain.errors import InvalidInput

LONGEST = 64 * 1024  # characters of PEM
LONGEST_RSA = 8192
"""Bits: each handshake costs the edge one signature, of twice as many bits seven times as long."""
MALFORMED = (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension, Warning)
DER, OF_KEY = Encoding.DER, PublicFormat.SubjectPublicKeyInfo


@dataclass(frozen=True, slots=True)
class Uploaded:
    """``fingerprint``: SHA-256 of the certificate, in pairs of upper-case digits. ``domain_names``: all that it is for,
    in its own order; of one without alternative names, its common name."""

    certificate: str
    private_key: str
    fingerprint: str
    not_valid_before: datetime
    not_valid_after: datetime
    domain_names: tuple[str, ...]


def read(certificate: str, private_key: str) -> Uploaded:
    """InvalidInput: one of the two is not what it has to be, or they do not belong together. Never quotes a key.

    Takes tens of milliseconds of computing: not for an event loop."""
    own = _own(certificate)
    _check_belongs(own.public_key, _key(private_key))
    _check_served(certificate, private_key)
    digits = own.fingerprint.hex().upper()
    fingerprint = ":".join(digits[n : n + 2] for n in range(0, len(digits), 2))
    return Uploaded(certificate, private_key, fingerprint, own.begins, own.ends, own.domain_names)


@dataclass(frozen=True, slots=True)
class _Own:
    """Of the first certificate of a chain."""

    public_key: PublicKeyTypes
    fingerprint: bytes
    begins: datetime
    ends: datetime
    domain_names: tuple[str, ...]


def _own(text: str) -> _Own:
    if "PRIVATE KEY" in text:  # it is shown to whoever may look
        raise InvalidInput.field("certificate", "must not have the private key in it")
    try:
        with warnings.catch_warnings(action="error"):  # what is tolerated for now is no certificate to begin with
            own = x509.load_pem_x509_certificates(text.encode())[0]
            found = _Own(
                own.public_key(),
                own.fingerprint(hashes.SHA256()),
                own.not_valid_before_utc,
                own.not_valid_after_utc,
                _domain_names(own),
            )
    except MALFORMED:
        raise InvalidInput.field("certificate", "must be a certificate in PEM format, its chain after it") from None
    if isinstance(found.public_key, RSAPublicKey) and found.public_key.key_size > LONGEST_RSA:
        problem = f"has an RSA key of {found.public_key.key_size} bits: {LONGEST_RSA} is the most"
        raise InvalidInput.field("certificate", problem)
    return found


def _key(text: str) -> PrivateKeyTypes:
    """Unexamined: to find out whether an RSA key's factors are prime takes seconds, of a longer one minutes."""
    try:
        return load_pem_private_key(text.encode(), password=None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        raise InvalidInput.field("private_key", "must not be encrypted: nobody could enter its passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput.field("private_key", "must be a private key in PEM format") from None


def _check_belongs(public: PublicKeyTypes, key: PrivateKeyTypes) -> None:
    """It says so, and what it signs is its signature."""
    problem = "is not the key of the certificate, which is the first of its chain"
    if public.public_bytes(DER, OF_KEY) != key.public_key().public_bytes(DER, OF_KEY):
        raise InvalidInput.field("private_key", problem)
    if isinstance(key, RSAPrivateKey) and isinstance(public, RSAPublicKey):
        try:
            public.verify(key.sign(b"", PKCS1v15(), hashes.SHA256()), b"", PKCS1v15(), hashes.SHA256())
        except (ValueError, InternalError, InvalidSignature):
            raise InvalidInput.field("private_key", problem) from None


def _check_served(certificate: str, private_key: str) -> None:
    """As OpenSSL takes it, with its idea of what is too weak; the file is in memory alone."""
    handle = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(handle, f"{certificate.strip()}\n{private_key.strip()}\n".encode())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(f"/proc/self/fd/{handle}")
    except ssl.SSLError as error:
        reason = (error.reason or "no reason given").replace("_", " ").lower()
        raise InvalidInput.field("certificate", f"cannot be served: {reason}") from None
    finally:
        os.close(handle)


def _domain_names(own: x509.Certificate) -> tuple[str, ...]:
    try:
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return tuple(names.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        common = own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(one.value) for one in common)
