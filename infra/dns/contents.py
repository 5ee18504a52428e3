"""Records as PowerDNS writes them: it takes what it would have written itself, and nothing else."""

from __future__ import annotations

from typing import Any

from dns.rdtypes.svcbbase import ParamKey, SVCBBase

from infra.dns.servable import KNOWN, aaaa
from infra.dns.values import parsed

BARE = frozenset({ParamKey.MANDATORY, ParamKey.ALPN, ParamKey.PORT, ParamKey.IPV4HINT, ParamKey.IPV6HINT})
"""Service parameters that stand without quotes."""
HEX = {"DS": 3, "TLSA": 3}
"""Types that end with hexadecimal digits, and the fields before: long ones are not broken up."""


def content(zone: str, type: str, value: str) -> str:
    """``value``: one that the zone's owner may write (infra/dns/values.py), whose relative names are the zone's."""
    rdata = parsed(zone, type, value)
    if type == "AAAA":
        return aaaa(rdata)
    if isinstance(rdata, SVCBBase):
        return _service(rdata)
    text = rdata.to_text()
    if fields := HEX.get(type):
        parts = text.split()
        return " ".join([*parts[:fields], "".join(parts[fields:])])
    return text


def _service(rdata: SVCBBase) -> str:
    params = (_param(key, rdata.params[key]) for key in sorted(rdata.params))
    return " ".join([str(rdata.priority), rdata.target.to_text(), *params])


def _param(key: ParamKey, value: Any) -> str:
    name = ParamKey.to_text(key).replace("_", "-").lower() if key <= KNOWN else f"key{int(key)}"
    if value is None:
        return name
    text = str(value.to_text())
    return f"{name}={text.strip(chr(34)) if key in BARE else text}"
