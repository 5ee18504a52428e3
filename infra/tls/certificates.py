"""A certificate with its private key, as somebody uploads them: whether they can be served, and what is in them."""

from __future__ import annotations

import os
import ssl
import warnings
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from infra.domain.errors import InvalidInput

LONGEST = 64 * 1024  # characters of PEM
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
    """InvalidInput: one of the two is not what it has to be, or they do not belong together. Never quotes a key."""
    own, key = _own(certificate), _key(private_key)
    if own.public_key != key.public_key().public_bytes(DER, OF_KEY):
        raise InvalidInput.field("private_key", "is not the key of the certificate, which is the first of its chain")
    _check_served(certificate, private_key)
    digits = own.fingerprint.hex().upper()
    fingerprint = ":".join(digits[n : n + 2] for n in range(0, len(digits), 2))
    return Uploaded(certificate, private_key, fingerprint, own.begins, own.ends, own.domain_names)


@dataclass(frozen=True, slots=True)
class _Own:
    """Of the first certificate of a chain. ``public_key``: DER."""

    public_key: bytes
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
            return _Own(
                own.public_key().public_bytes(DER, OF_KEY),
                own.fingerprint(hashes.SHA256()),
                own.not_valid_before_utc,
                own.not_valid_after_utc,
                _domain_names(own),
            )
    except MALFORMED:
        raise InvalidInput.field("certificate", "must be a certificate in PEM format, its chain after it") from None


def _key(text: str) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise InvalidInput.field("private_key", "must not be encrypted: nobody could enter its passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput.field("private_key", "must be a private key in PEM format") from None


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
