"""PowerDNS: zones and what they answer, written through its HTTP API.

Every call converges: what is there already is fine, what is gone is gone. Zones that somebody else made there are not
touched: ours carry our mark (PowerDNS' ``account``). What one request changes is served at once, or not at all; a big
change is several requests, and the serial rises with the last.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import httpx

from infra.domain.errors import Unavailable
from infra.domain.refusals import Refusal
from infra.domain.served_names import Answer, Difference, Key
from infra.domain.zones import PrimaryNameserver

BATCH = 500
"""RRsets that one request changes: half a second's work."""
NARROW = 4
"""Names that are asked for one by one; of more the whole zone is read."""
TIMES = httpx.Timeout(20.0, connect=2.0)
PRIMARY, SECONDARY = "Native", "Slave"
"""Zones that are written here, and zones that are transferred; in PowerDNS' words."""
AWAY = "the name servers do not answer now; try again"


REFUSALS = (400, 413, 422)
"""Statuses by which it says that it never takes this. By any other it does not now."""


class NamesRefused(Refusal):
    """PowerDNS does not take what is to be served, or the zone is not ours: trying again changes nothing."""

    code = "record_refused"


@dataclass(frozen=True, slots=True)
class ServedZone:
    """``answers``: those that were asked for, the SOA record left out; that of the whole zone is ``soa``."""

    account: str
    kind: str
    serial: int
    masters: tuple[str, ...]
    keys: tuple[str, ...]
    answers: dict[Key, Answer]
    soa: Answer | None = None


class PowerDns:
    def __init__(self, url: str, key: str) -> None:
        """``url``: of its web server."""
        self._url = url.rstrip("/") + "/api/v1/servers/localhost"
        self._key = key
        # It listens on loopback, without TLS. A client is made for each use; a context would be as often, and slowly.
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    async def answers(self) -> bool:
        """Whether it does now."""
        try:
            async with self._open() as http:
                await _ask(http, "GET", "")
        except Unavailable:
            return False
        return True

    async def zones(self, account: str) -> set[str]:
        """The names of those that carry this mark."""
        async with self._open() as http:
            found = (await _ask(http, "GET", "/zones")).json()
        return {_bare(one["name"]) for one in found if one["account"] == account}

    async def read(self, zone: str, names: Collection[str] | None = None) -> ServedZone | None:
        """What is served of ``names``, or of the whole zone; None: there is no such zone."""
        if names is not None and len(names) > NARROW:
            whole = await self.read(zone)
            return whole and _narrowed(whole, names)
        async with self._open() as http:
            told: dict[str, Any] = {}
            rrsets: list[Any] = []
            for query in [{}] if names is None else [{"rrset_name": f"{name}."} for name in sorted(names)]:
                reply = await _ask(http, "GET", _path(zone), params=query, absent=True)
                if reply.status_code == 404:
                    return None
                told = reply.json()
                rrsets += told["rrsets"]
        return _served(told, rrsets)

    async def create(self, zone: str, account: str, soa: Answer) -> None:
        """A zone that holds nothing but its SOA record. ``account``: our mark, of at most 40 characters."""
        first = {"name": f"{zone}.", "type": "SOA", **_records(soa)}
        told = {"name": f"{zone}.", "kind": PRIMARY, "account": account, "rrsets": [first], "nameservers": []}
        async with self._open() as http:  # its serials are ours, so that it serves what owners are told
            await _ask(http, "POST", "/zones", json={**told, "soa_edit": "", "soa_edit_api": ""})

    async def delete(self, zone: str) -> None:
        async with self._open() as http:
            await _ask(http, "DELETE", _path(zone), absent=True)
            await _keep_key(http, zone, None)

    async def apply(self, zone: str, change: Difference, soa: Answer) -> dict[Key, str]:
        """``soa`` comes with the last request. What is not taken is returned, with the reason; all else is served.

        NamesRefused: the SOA record is not taken."""
        gone = [{"name": f"{name}.", "type": type, "changetype": "DELETE"} for name, type in change.gone]
        other = [
            {"name": f"{name}.", "type": type, "changetype": "REPLACE", **_records(answer)}
            for (name, type), answer in sorted(change.other.items())
        ]
        last = {"name": f"{zone}.", "type": "SOA", "changetype": "REPLACE", **_records(soa)}
        rrsets = [*gone, *other]
        refused: dict[Key, str] = {}
        async with self._open() as http:
            for start in range(0, len(rrsets), BATCH):
                end = [last] if start + BATCH >= len(rrsets) else []
                refused |= await _patch(http, zone, rrsets[start : start + BATCH], end)
            if not rrsets:
                await _ask(http, "PATCH", _path(zone), json={"rrsets": [last]})
        return refused

    async def follow(
        self, zone: str, account: str, primaries: Sequence[PrimaryNameserver], served: ServedZone | None
    ) -> bool:
        """Have it transferred from these; whether something was changed. The key is called as the zone is."""
        masters = [_master(one) for one in primaries]
        key = next((one for one in primaries if one.tsig_key), None)
        async with self._open() as http:
            changed = await _keep_key(http, zone, key)
            told = {"kind": SECONDARY, "masters": masters, "slave_tsig_key_ids": [f"{zone}."] if key else []}
            if served is None:
                whole = {"name": f"{zone}.", "account": account, "nameservers": [], **told}
                await _ask(http, "POST", "/zones", json=whole)
            elif (sorted(served.masters), list(served.keys)) != (sorted(masters), told["slave_tsig_key_ids"]):
                await _ask(http, "PUT", _path(zone), json=told)
            elif not changed:
                return False
            await _ask(http, "PUT", f"{_path(zone)}/axfr-retrieve")
        return True

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"X-API-Key": self._key}
        async with httpx.AsyncClient(
            base_url=self._url, headers=headers, timeout=TIMES, verify=self._context, trust_env=False
        ) as http:
            yield http


async def _ask(http: httpx.AsyncClient, method: str, path: str, absent: bool = False, **options: Any) -> httpx.Response:
    """``absent``: 404 is an answer. Unavailable: it does not do it now. NamesRefused: it never does."""
    try:
        reply = await http.request(method, f"{http.base_url}".rstrip("/") + path, **options)
    except httpx.TransportError as cause:
        raise Unavailable(AWAY) from cause
    if reply.status_code in REFUSALS:
        raise NamesRefused(_complaint(reply))
    if reply.status_code >= 400 and not (absent and reply.status_code == 404):
        raise Unavailable(AWAY) from RuntimeError(f"{method} {path}: {reply.status_code} {reply.text[:500]}")
    return reply


async def _patch(http: httpx.AsyncClient, zone: str, batch: list[Any], end: list[Any]) -> dict[Key, str]:
    """All of the batch but for what is refused, which is told; found by halves."""
    try:
        await _ask(http, "PATCH", _path(zone), json={"rrsets": [*batch, *end]})
    except NamesRefused as refusal:
        if end:
            refused = await _patch(http, zone, batch, [])
            await _ask(http, "PATCH", _path(zone), json={"rrsets": end})
            return refused
        if len(batch) == 1:
            return {(_bare(batch[0]["name"]), str(batch[0]["type"])): refusal.message}
        half = len(batch) // 2
        return await _patch(http, zone, batch[:half], []) | await _patch(http, zone, batch[half:], [])
    return {}


async def _keep_key(http: httpx.AsyncClient, zone: str, key: PrimaryNameserver | None) -> bool:
    """The zone's TSIG key, as it is to be; whether it was otherwise."""
    path = f"/tsigkeys/{zone}."
    reply = await _ask(http, "GET", path, absent=True)
    there = reply.json() if reply.status_code == 200 else None
    if there and key and (there["algorithm"], there["key"]) == (key.tsig_algorithm, key.tsig_key):
        return False
    if there:
        await _ask(http, "DELETE", path, absent=True)  # it does not change one
    if key:
        told = {"name": zone, "algorithm": key.tsig_algorithm, "key": key.tsig_key}
        await _ask(http, "POST", "/tsigkeys", json=told)
    return bool(there or key)


def _served(told: dict[str, Any], rrsets: Iterable[Any]) -> ServedZone:
    answers = {
        (_bare(one["name"]), str(one["type"])): Answer(
            one["ttl"], frozenset(record["content"] for record in one["records"])
        )
        for one in rrsets
    }
    soa = answers.pop((_bare(told["name"]), "SOA"), None)
    masters, keys = tuple(told["masters"]), tuple(told["slave_tsig_key_ids"])
    return ServedZone(told["account"], told["kind"], told["serial"], masters, keys, answers, soa)


def _narrowed(whole: ServedZone, names: Collection[str]) -> ServedZone:
    answers = {key: answer for key, answer in whole.answers.items() if key[0] in names}
    return ServedZone(whole.account, whole.kind, whole.serial, whole.masters, whole.keys, answers, whole.soa)


def _records(answer: Answer) -> dict[str, Any]:
    return {"ttl": answer.ttl, "records": [{"content": one, "disabled": False} for one in sorted(answer.contents)]}


def _master(one: PrimaryNameserver) -> str:
    """As PowerDNS writes it: the port only where it is another than 53."""
    if one.port == 53:
        return str(ip_address(one.address))
    return f"[{ip_address(one.address)}]:{one.port}" if ":" in one.address else f"{one.address}:{one.port}"


def _path(zone: str) -> str:
    return f"/zones/{zone}."


def _bare(name: str) -> str:
    return name.rstrip(".").lower()


def _complaint(reply: httpx.Response) -> str:
    try:
        return str(reply.json()["error"])
    except (ValueError, KeyError, TypeError):
        return reply.text[:200] or f"status {reply.status_code}"
