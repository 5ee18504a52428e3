"""Where the API listens, and how: for this machine alone in the clear, for others with TLS or behind a proxy.

Keys travel in every request, so an API that others reach in the clear is not started.
"""

from __future__ import annotations

import ipaddress
import ssl
from typing import Any

from infra.config import Settings


class ListeningError(Exception):
    """The API cannot listen as it is told to; the message says what to set."""


def check_listening(settings: Settings) -> None:
    """ListeningError: others would read the keys that are sent, or the certificate and its key cannot be used."""
    cert, key = settings.api_tls_cert, settings.api_tls_key
    if (cert is None) != (key is None):
        raise ListeningError("PUCHIFY_API_TLS_CERT and PUCHIFY_API_TLS_KEY are set together or not at all")
    if cert and key:
        _load(cert, key)
    elif not settings.behind_proxy and not is_loopback(settings.api_address):
        raise ListeningError(
            f"the API would listen on {settings.api_address} without TLS, where others can read its keys: set "
            "PUCHIFY_API_TLS_CERT and PUCHIFY_API_TLS_KEY, or PUCHIFY_BEHIND_PROXY=true when a proxy speaks TLS for it"
        )


def tls_options(settings: Settings) -> dict[str, Any]:
    """For uvicorn."""
    return {"ssl_certfile": settings.api_tls_cert, "ssl_keyfile": settings.api_tls_key}


def is_loopback(address: str) -> bool:
    """Of a name we only know that "localhost" is this machine."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _load(cert: Any, key: Any) -> None:
    for path, what in ((cert, "PUCHIFY_API_TLS_CERT"), (key, "PUCHIFY_API_TLS_KEY")):
        try:
            path.read_bytes()
        except OSError as cause:
            raise ListeningError(f"{what}: {path} cannot be read: {cause.strerror}") from cause
    try:
        # A passphrase would be asked for on a terminal that nobody watches.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key, password="")
    except ssl.SSLError as cause:
        reason = (cause.reason or str(cause)).lower().replace("_", " ")
        raise ListeningError(f"{cert} and {key} are no certificate and its private key: {reason}") from cause
