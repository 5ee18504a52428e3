"""Values of records: each type takes what it should, and one record is one however it is written."""

from __future__ import annotations

import pytest

from infra.dns.values import canonical, record_problems, stored, value_problem
from infra.domain.rrsets import TYPES, Record

ZONE = "example.com"

GOOD = {
    "A": "192.0.2.1",
    "AAAA": "2001:db8::1",
    "CAA": '0 issue "letsencrypt.org"',
    "CNAME": "www",
    "DS": "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118",
    "HINFO": '"a computer" "an operating system"',
    "HTTPS": '1 . alpn="h2,h3" ipv4hint=192.0.2.1',
    "MX": "10 mail.example.net.",
    "NS": "ns1.example.net.",
    "PTR": "host.example.net.",
    "RP": "admin.example.com. more.example.com.",
    "SOA": "ns1.example.net. hostmaster.example.net. 0 86400 10800 3600000 3600",
    "SRV": "10 20 5060 sip.example.net.",
    "SVCB": "0 other.example.net.",
    "TLSA": "3 1 1 " + "ab" * 32,
    "TXT": '"v=DKIM1; k=rsa" "p=abc \\"quoted\\" \U0001f36a"',
}
BAD = {
    "A": ("192.0.2", "192.0.2.01", "::1", "www", "192.0.2.1 192.0.2.2"),
    "AAAA": ("192.0.2.1", "2001:db8::g"),
    "CAA": ("0 issue", "300 issue x", "issue 0 x"),
    "CNAME": ("a b", "a..b", "x" * 64),
    "DS": ("1 2 3 zz", "60485 5 1 2BB1"),
    "HINFO": ('"one"',),
    "HTTPS": ("1 . ipv4hint=zz", "70000 ."),
    "MX": ("mail", "10", "x mail"),
    "NS": ("", "a b"),
    "PTR": ("a..b",),
    "RP": ("one",),
    "SOA": ("a. b. 0", "a. b. 0 1 2 3 x"),
    "SRV": ("1 2 sip", "70000 1 1 sip"),
    "SVCB": ("1 . key99999999=1",),
    "TLSA": ("3 1 1 zz",),
    "TXT": ("unquoted", '"a" b', '"open', f'"{"x" * 256}"', ""),
}
ANY = ("\\# 4 c0000201", "( ", "192.0.2.1 ; comment", "192.0.2.1\n192.0.2.2", "\t", "\0", "x" * 5000)
"""What no type takes."""


@pytest.mark.parametrize("type", TYPES)
def test_a_type_takes_its_own_values_only(type: str) -> None:
    assert value_problem(ZONE, type, GOOD[type]) is None
    assert [value for value in (*BAD[type], *ANY) if value_problem(ZONE, type, value) is None] == []


@pytest.mark.parametrize(
    ("type", "one", "other"),
    [
        ("AAAA", "2001:DB8::1", "2001:db8:0::1"),
        ("CNAME", "www", "WWW.example.com."),
        ("MX", "10 mail", "10  mail.example.com."),
        ("TLSA", "3 1 1 ABAB" + "ab" * 30, "3 1 1 abab" + "ab" * 30),
        ("TXT", '"a" "b"', '"a"   "b"'),
    ],
)
def test_one_record_is_one_however_it_is_written(type: str, one: str, other: str) -> None:
    assert canonical(ZONE, type, one) == canonical(ZONE, type, other)
    assert record_problems(ZONE, type, [Record(one), Record(other)])


def test_texts_that_differ_in_case_are_two_records() -> None:
    assert record_problems(ZONE, "TXT", [Record('"a"'), Record('"A"')]) == []


def test_values_are_kept_as_they_are_written() -> None:
    assert stored(ZONE, "CNAME", [Record("WWW", "c")]) == (Record("WWW", "c"),)
    soa = Record("ns1   hostmaster 0 1d 3h 1000h 1h")
    assert stored(ZONE, "SOA", [soa])[0].value == "ns1.example.com. hostmaster.example.com. 0 86400 10800 3600000 3600"
