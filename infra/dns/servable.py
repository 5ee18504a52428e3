"""Servable records: what PowerDNS refuses although it is a value of its type, found before anybody relies on it.

Measured with PowerDNS 4.7: mail exchanges, name servers and services stand on host names; a name is written in the
characters that need no escaping in its form; an IPv6 address is none of IPv4's; of service parameters those are taken
that it knows, and others by number, with a value.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import dns.name
import dns.rdata
from dns.rdtypes.svcbbase import ALPNParam, GenericParam, MandatoryParam, Param, ParamKey, SVCBBase

from infra.domain.names import LABEL

HOSTS = {"MX": "exchange", "NS": "target", "SRV": "target"}
NOWHERE = ("MX", "SRV")
"""Types that say with a dot that there is no such service."""
UNTAKEN = frozenset(b'"();@$')
"""Bytes that PowerDNS writes in another form than those who read and write zone files."""
SEPARATING = frozenset(b";()")
KNOWN = ParamKey.IPV6HINT
"""The last service parameter that it calls by name."""
PROTOCOL = re.compile(rb'[^\0-\x20"();@$\x7f-\xff]+')


def unservable(type: str, rdata: dns.rdata.Rdata) -> str | None:
    """What keeps PowerDNS from taking it; None: nothing that we know of."""
    if type == "AAAA" and "." in aaaa(rdata):
        return "must be an IPv6 address: an IPv4 address is a record of type A"
    if field := HOSTS.get(type):
        return _host_problem(type, getattr(rdata, field))
    if any(byte in UNTAKEN for name in _names(rdata) for label in name.labels for byte in label):
        return 'must not name anything with one of the characters "();@$ in it'
    return _service_problem(rdata) if isinstance(rdata, SVCBBase) else None


def aaaa(rdata: dns.rdata.Rdata) -> str:
    """An IPv6 address in the spelling of the C library, which is PowerDNS' own."""
    return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, rdata.to_text()))


def _host_problem(type: str, name: dns.name.Name) -> str | None:
    if name == dns.name.root:
        return None if type in NOWHERE else "must name a host"
    if all(LABEL.fullmatch(label.decode("latin-1")) for label in name.labels[:-1]):
        return None
    return f"must name a host: {name} has other characters than letters, digits and inner hyphens"


def _names(rdata: dns.rdata.Rdata) -> Iterator[dns.name.Name]:
    for field in type(rdata).__slots__:
        if isinstance(value := getattr(rdata, field), dns.name.Name):
            yield value


def _service_problem(rdata: SVCBBase) -> str | None:
    problems = (_param_problem(ParamKey.make(key), value) for key, value in sorted(rdata.params.items()))
    return next((problem for problem in problems if problem), None)


def _param_problem(key: ParamKey, value: Param | None) -> str | None:
    if isinstance(value, MandatoryParam) and any(one > KNOWN and not _is_numbered(one) for one in value.keys):
        return "must not make a parameter mandatory that is not served"
    if isinstance(value, ALPNParam) and not all(PROTOCOL.fullmatch(id) for id in value.ids):
        return 'must name protocols (alpn) in printable characters other than "();@$'
    if key <= KNOWN:
        return None
    name = ParamKey.to_text(key).lower()
    if not _is_numbered(key) and key != ParamKey.DOHPATH:
        return f"the parameter {name} is not served"
    if not isinstance(value, GenericParam) or not value.value:
        return f"the parameter {name} is served with a value only"
    if SEPARATING & set(value.value):
        return f"the parameter {name} must not have one of the characters ;() in it"
    return None


def _is_numbered(key: ParamKey) -> bool:
    return ParamKey.to_text(key).startswith("KEY")
