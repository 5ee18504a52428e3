"""What owners may write is what a real name server takes, also at the edges of what it does."""

from __future__ import annotations

import secrets

import pytest

from infra.dns.contents import content
from infra.dns.values import value_problem
from infra.dns.zonefiles import Unreadable, read
from infra.domain.served_names import Answer, Difference
from infra.drivers.powerdns import PowerDns
from tests.dns.test_changes import FILE
from tests.fix_dns import NameServer

ZONE = "edges.example"

TAKEN = {
    "MX": ("0 .", "10 MAIL.Example.com.", "10 1.2.3.4", "10 xn--bcher-kva.example.", "10 a--b"),
    "NS": ("NS1.x.", "ns"),
    "SRV": ("0 0 0 .", "1 1 5060 sip--1.x."),
    "CNAME": ("_x._y.example.", "*.x.", r"a\.b.x.", "a/b.x.", r"a\\b.x.", r"a\000b\255.x.", "."),
    "PTR": ("a_b.x.", "."),
    "RP": (r"a\.b.x. .",),
    "AAAA": ("::", "::1", "::ffff", "64:ff9b::1.2.3.4", "::ffff:0:1.2.3.4", "1:0:2:3:4:5:6:7", "::5:0:0:1", "fe80::1"),
    "HTTPS": (
        "0 x.y.",
        r'1 . alpn="h2,h\\,3" no-default-alpn port=0 mandatory=alpn,port',
        "1 . ipv4hint=1.2.3.4,1.2.3.4 ipv6hint=2001:DB8::1,::1.2.3.4",
        "1 . dohpath=/q{?dns}",
        "1 . ech=AEX+DQBBpAAgACCUpdsWNTo8WxYYqGMdUtUVWvTmVnwxRSuEmJcmqPoIWQAEAAEAAQASY2xvdWRmbGFyZS1lY2guY29tAAA=",
        r'1 a-very.b.x. key65001=b key65000="a\"\255\\ b" key9=a mandatory=key65000',
    ),
    "CAA": ('0 issue ";"', r'255 issue ""', r'0 issueWild "a\"b\255"', '0 issue "a.b; accounturi=https://a/b"'),
    "HINFO": (r'"\255" "a;b"', '"" ""'),
    "TXT": ('""', r'"a\000b\255\010" "" "$@();"', '"grün"'),
}
REFUSED = {
    "MX": ("10 mail_server.example.com.", "1 -x.test.", "1 x-.test.", "10 *.test.", r"10 a\.b.test."),
    "NS": ("ns_1", "*.test.", ".", "ns-.x."),
    "SRV": ("1 1 5060 sip_1",),
    "CNAME": ("a@b.x.", r"a\(b.x.", r"a\;b.x.", "a$b.x."),
    "RP": (r"a\@b.x. .",),
    "AAAA": ("::1.2.3.4", "::102:304", "::1:0", "::ffff:1.2.3.4"),
    "HTTPS": (
        "1 . ohttp",
        "1 . key12345",
        '1 . key10="\\001\\002"',
        "1 . mandatory=ohttp ohttp",
        '1 . alpn="a b"',
        r'1 . alpn="a\"b"',
        '1 . key65000="a;b"',
        "1 a@b.x.",
    ),
    "SOA": (r"ns.x. a\@b.x. 0 1 1 1 1",),
}


async def test_what_owners_may_write_is_taken_as_it_is_written(name_server: NameServer) -> None:
    values = [(type, value) for type, some in TAKEN.items() for value in some]
    assert [one for one in values if value_problem(ZONE, *one)] == []

    zone = f"edges{secrets.token_hex(4)}.example"
    server = PowerDns(name_server.settings["dns_api_url"], name_server.settings["dns_api_key"])
    soa = Answer(60, frozenset({"ns.x. h.x. 1 1 1 600 60"}))
    wanted = {
        (f"n{n}.{zone}", type): Answer(60, frozenset({content(zone, type, value)}))
        for n, (type, value) in enumerate(values)
    }
    await server.create(zone, "edges", soa)
    try:
        await server.apply(zone, Difference(wanted, ()), soa)
        served = await server.read(zone)
        assert served is not None
        assert served.answers == wanted
    finally:
        await server.delete(zone)


@pytest.mark.parametrize("type", REFUSED)
def test_what_no_name_server_takes_is_refused_at_once(type: str) -> None:
    assert [value for value in REFUSED[type] if value_problem(ZONE, type, value) is None] == []


def test_a_zone_file_is_held_to_the_same() -> None:
    with pytest.raises(Unreadable, match="must name a host"):
        read(FILE.format(zone=ZONE) + "@ IN MX 1 mail_server\n", ZONE, 3600)
