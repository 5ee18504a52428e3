"""Who asks: a bearer token, looked up by its HMAC digest each time, so that a revoked or expired one ends at once.

The look-up is by digest, so no comparison's time tells anything about a key.
"""

from __future__ import annotations

from api.rate_limit import Passage, Turnstile
from infra.db.hosts import host_of_key
from infra.db.keys import digest_of
from infra.db.pool import Pool
from infra.domain.errors import Unauthorized

LONGEST = 1024  # characters of a token worth hashing


class Authenticator:
    def __init__(self, pool: Pool, turnstile: Turnstile, secret: bytes) -> None:
        self._pool = pool
        self._turnstile = turnstile
        self._secret = secret

    def digest_of(self, key: str) -> bytes:
        return digest_of(self._secret, key)

    async def admit(self, authorization: str | None) -> Passage:
        """Whose token it is, and whether they may ask now. Unauthorized: no token, or none of ours."""
        passage = await self._turnstile.admit(self.digest_of(bearer(authorization)))
        if passage is None:
            raise Unauthorized("the token is not valid")
        return passage

    async def host(self, authorization: str | None) -> int:
        """The id of the host whose key this is."""
        digest = self.digest_of(bearer(authorization))
        async with self._pool.connection() as connection:
            host_id = await host_of_key(connection, digest)
        if host_id is None:
            raise Unauthorized("the host key is not valid")
        return host_id


def bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > LONGEST:
        raise Unauthorized("a token is needed: Authorization: Bearer <token>")
    return token
