"""Enrolling: a machine makes itself a key, shows a region the token of its enrolment, and keeps what it is answered.

The key is on the disk before it is sent, so that whatever is lost on the way, the same line may be run again: the
region knows the machine by its key, and answers the same. Neither token nor key is sent where others can read it.
"""

from __future__ import annotations

import json
import platform
import shlex
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from pydantic import TypeAdapter, ValidationError

from infra.config import Settings
from infra.db.keys import KEY_LENGTH, make_secret, new_key
from infra.domain.errors import InvalidInput, Unavailable
from infra.domain.topology import host_name_of
from infra.trust import trust_of
from workers.first.caller import Refused
from workers.listening import is_loopback
from workers.local.place import Place, unless_chosen, write_private

ARCHITECTURES = {"x86_64": "x86", "amd64": "x86", "aarch64": "arm", "arm64": "arm"}


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The region's answer: who this host is, and where what it works with is."""

    id: int
    name: str
    location: str
    address_pools: list[str]
    temporal_address: str
    temporal_namespace: str
    worker_pulse: float


_ENROLLED = TypeAdapter(Enrolled)


def check_url(url: str) -> None:
    """InvalidInput: it is no API's address, or what is sent there could be read on the way."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https") or parts.username or parts.path.strip("/") or parts.query:
        raise InvalidInput.field("url", "must be the address of the region's API, as in https://region:8080")
    if parts.scheme == "http" and not is_loopback(host):
        raise InvalidInput.field("url", f"{host} is another machine: over http, others would read the key; use https")


def check_token(token: str) -> None:
    if len(token) != KEY_LENGTH or not token.isascii() or not token.isalnum():
        raise InvalidInput.field("token", f"must be the {KEY_LENGTH} letters and digits of `puchify host join`")


def enrol(settings: Settings, url: str, token: str, name: str | None) -> tuple[Enrolled, Path]:
    """Who this machine is now, and the file with its worker's settings.

    InvalidInput. Refused: the region does not let it in. Unavailable: no answer; it may be let in all the same.
    """
    check_url(url)
    check_token(token)
    place = Place(settings.state.resolve())
    if place.host_key.exists():  # two hosts would clear away each other's servers
        raise InvalidInput.field("PUCHIFY_STATE", f"{place.state} is a host of `puchify up`: name another directory")
    key = _own_key(place.enrolled_key)
    enrolled = _ask(settings, url, token, {"key": key, "name": name or _node(), "architecture": _architecture()})
    told = _settings(settings, place, url, key, enrolled)
    lines = [f"PUCHIFY_{name.upper()}={shlex.quote(value)}\n" for name, value in told.items()]
    write_private(place.enrolled_settings, "".join(lines))
    return enrolled, place.enrolled_settings


def is_elsewhere(address: str) -> bool:
    """Whether another machine is meant by a URL, or by a host with a port."""
    return not is_loopback(urlsplit(address if "//" in address else f"//{address}").hostname or "")


def _own_key(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_secret(path, new_key())
    return path.read_text().strip()


def _node() -> str:
    return host_name_of(platform.node())


def _architecture() -> str:
    machine = platform.machine().lower()
    if machine not in ARCHITECTURES:
        raise InvalidInput.field("architecture", f"no server runs on {machine}, which this machine is")
    return ARCHITECTURES[machine]


def _ask(settings: Settings, url: str, token: str, application: dict[str, str]) -> Enrolled:
    headers = {"Authorization": f"Bearer {token}"}
    # No proxy on the way to ourselves; one that is on the way to others sees nothing but TLS.
    proxies = is_elsewhere(url)
    with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=proxies, verify=_trust(settings)) as http:
        try:
            reply = http.post("/internal/v1/enrolments", json=application)
        except httpx.TransportError as cause:
            raise _unanswered(url, cause) from cause
    try:
        if reply.status_code == 200:
            return _ENROLLED.validate_json(reply.content)
        told = InvalidInput(reply.json()["error"]["message"], reply.json()["error"]["details"])
    except (ValidationError, ValueError, LookupError, TypeError):
        raise Refused(f"{url} does not answer as a region does (HTTP status {reply.status_code})") from None
    again = "; run the same line again" if reply.status_code >= 500 else ""
    raise Refused(f"{url} refuses this machine: {told}{again}")


def _trust(settings: Settings) -> ssl.SSLContext | bool:
    try:
        return trust_of(settings)
    except (OSError, ValueError) as cause:  # ssl's errors are among them
        raise InvalidInput.field(
            "PUCHIFY_API_TLS_CERT", f"{settings.api_tls_cert} is no certificate: {cause}"
        ) from cause


def _unanswered(url: str, cause: httpx.TransportError) -> Exception:
    if "CERTIFICATE_VERIFY_FAILED" in str(cause):
        return Unavailable(
            f"the certificate of {url} is not one that this machine trusts: copy the region's here and set "
            "PUCHIFY_API_TLS_CERT to its path"
        )
    reason = str(cause) or type(cause).__name__
    return Unavailable(f"{url} does not answer ({reason}): run the same line again, nothing is lost")


def _settings(settings: Settings, place: Place, url: str, key: str, enrolled: Enrolled) -> dict[str, str]:
    """Of the host's worker, wherever it is started: what the region says, unless somebody set it otherwise here."""
    theirs = {
        "temporal_address": enrolled.temporal_address,
        "temporal_namespace": enrolled.temporal_namespace,
        "worker_pulse": enrolled.worker_pulse,
        "address_pools": enrolled.address_pools,
        "host_path": place.state / "host",
        "image_store": place.images,
    }
    told = {
        "state": place.state,
        "host_id": enrolled.id,
        "host_key": key,
        "location": enrolled.location,
        "internal_url": url,
        **unless_chosen(settings, theirs),
    }
    network = ("uplinks", "forbidden", "vtep", "vteps", "private_mtu", "connections_pace", "connections_idle")
    for name in ("host", "api_tls_cert", "host_run", "libvirt_uri", *network):
        if name in settings.model_fields_set:
            told[name] = getattr(settings, name)
    return {name: _written(value) for name, value in told.items()}


def _written(value: object) -> str:
    if isinstance(value, list):
        return json.dumps(value)
    return str(value.resolve() if isinstance(value, Path) else value)
