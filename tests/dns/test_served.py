"""Zones on a real name server: what their owners write is what is answered, each type of it, as soon as it is done."""

from __future__ import annotations

import pytest

from infra.dns.values import canonical
from tests.dns.acts import done, values, zone_of
from tests.fix_api import Api
from tests.fix_dns import NameServer

RECORDS: dict[str, list[str]] = {
    "A": ["192.0.2.1", "192.0.2.2"],
    "AAAA": ["2001:DB8:0::1", "2001:db8:0:0:1:0:0:1"],
    "CAA": ['0 issue "letsencrypt.org"', '128 iodef "mailto:a@example.com"'],
    "CNAME": ["elsewhere"],
    "DS": ["12345 13 2 " + "AB" * 32, "12345 8 4 " + "cd" * 48],
    "HINFO": ['"a PC" "Linux"'],
    "HTTPS": [
        '1 . alpn="h2,h3" ipv4hint=192.0.2.1,192.0.2.2 port=8443',
        "2 other.example.net. no-default-alpn alpn=h2",
    ],
    "MX": ["10 mx1", "20 mx.example.net."],
    "NS": ["ns.example.net."],
    "PTR": ["host.example.net."],
    "RP": ["admin.example.net. text"],
    "SRV": ["1 2 5060 sip"],
    "SVCB": ["0 alias.example.net.", "1 svc ipv6hint=2001:db8::1 key65000=hello"],
    "TLSA": ["3 1 1 " + "ab" * 32, "3 0 0 " + "cd" * 200],
    "TXT": [
        '"v=spf1 -all"',
        '"one" "and \\"two\\"; more"',
        '"gr\u00fc\u00df \\\\ \\200"',
        f'"{"x" * 255}" "{"y" * 255}"',
    ],
}


@pytest.mark.parametrize("type", RECORDS)
async def test_each_type_is_answered_as_it_was_written(module_api: Api, name_server: NameServer, type: str) -> None:
    zone = await zone_of(module_api, f"{type.lower()}.{module_api.region.location}.example")
    await done(module_api, f"/zones/{zone}/rrsets", name="at", type=type, records=values(*RECORDS[type]))
    if type in ("NS", "DS"):
        served = await name_server.referral(f"at.{zone}", type)
    else:
        served = await name_server.ask(f"at.{zone}", type)
    assert [one.lower() for one in served] == sorted(canonical(zone, type, one).lower() for one in RECORDS[type])
