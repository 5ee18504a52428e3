"""Whom we believe when we call our own API: where it has a certificate, exactly that one, whatever name it is for.

On its own machine the API is called by an address, for which nobody certifies it.
"""

from __future__ import annotations

import ssl

from infra.config import Settings

END = "-----END CERTIFICATE-----"


def trust_of(settings: Settings) -> ssl.SSLContext | bool:
    """For httpx. True: as all the world, since the API's certificate is not known here (a host of its own)."""
    if settings.api_tls_cert is None:
        return True
    first, _, _ = settings.api_tls_cert.read_text().partition(END)  # and none of those who vouch for it and for others
    context = ssl.create_default_context(cadata=first + END)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context
