"""Who asks: a bearer token, looked up by its HMAC digest, remembered for a few seconds.

The look-up is by digest, so no comparison's time tells anything about a key. A revoked key is refused everywhere within
``REMEMBERED`` seconds; unknown keys are remembered too, so that a client gone wild costs no query each.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from infra.db.hosts import host_of_key
from infra.db.keys import Caller, caller_of, digest_of
from infra.db.pool import Pool
from infra.domain.errors import TokenReadonly, Unauthorized

T = TypeVar("T")
REMEMBERED = 3.0  # seconds
MOST = 10_000  # keys remembered at a time
LONGEST = 1024  # characters of a token worth hashing
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Recent(Generic[T]):
    """What was found out within the last seconds, by key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[float, T]] = {}

    async def get(self, key: bytes, find: Callable[[], Awaitable[T]]) -> T:
        now = self._clock()
        known = self._known.get(key)
        if known and known[0] > now:
            return known[1]
        found = await find()
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[key] = (now + REMEMBERED, found)
        return found


class Authenticator:
    def __init__(self, pool: Pool, secret: bytes) -> None:
        self._pool = pool
        self._secret = secret
        self._callers: Recent[Caller | None] = Recent()
        self._hosts: Recent[int | None] = Recent()

    async def caller(self, authorization: str | None, method: str) -> Caller:
        """Unauthorized: no token, or none of ours. TokenReadonly: the token may only look."""
        digest = digest_of(self._secret, bearer(authorization))
        caller = await self._callers.get(digest, lambda: self._find_caller(digest))
        if caller is None:
            raise Unauthorized("the token is not valid")
        if caller.read_only and method not in SAFE:
            raise TokenReadonly("the token is only valid for reading")
        return caller

    async def host(self, authorization: str | None) -> int:
        """The id of the host whose key this is."""
        digest = digest_of(self._secret, bearer(authorization))
        host_id = await self._hosts.get(digest, lambda: self._find_host(digest))
        if host_id is None:
            raise Unauthorized("the host key is not valid")
        return host_id

    async def _find_caller(self, digest: bytes) -> Caller | None:
        async with self._pool.connection() as connection:
            return await caller_of(connection, digest)

    async def _find_host(self, digest: bytes) -> int | None:
        async with self._pool.connection() as connection:
            return await host_of_key(connection, digest)


def bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > LONGEST:
        raise Unauthorized("a token is needed: Authorization: Bearer <token>")
    return token
