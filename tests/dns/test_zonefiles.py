"""Zone files: what is written is read back, and no file takes long or brings in what is not its zone's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.dns.zonefiles import Unreadable, read, write
from infra.domain.rrsets import NewRRSet, Record, RRSetType
from infra.domain.zones import MOST_RECORDS
from tests.dns.test_values import GOOD

ZONE = "example.com"
TYPES: list[RRSetType] = ["A", "AAAA", "CAA", "HTTPS", "MX", "SRV", "TLSA", "TXT"]


@st.composite
def rrsets(draw: st.DrawFn) -> list[NewRRSet]:
    names = draw(st.lists(st.sampled_from(["@", "www", "*", "*.dev", "_dmarc", "a.b.c"]), unique=True))
    return [
        NewRRSet(name, type, (Record(canonical_value(type), draw(comments)),), draw(ttls))
        for name in names
        for type in draw(st.lists(st.sampled_from(TYPES), unique=True))
    ]


comments = st.none() | st.text("abc ;\"'()\\", min_size=1).map(lambda text: " ".join(text.split()) or None)
ttls = st.none() | st.sampled_from([60, 300, 2**31 - 1])


def canonical_value(type: RRSetType) -> str:
    """As the library writes it."""
    [found] = read(f"x {type} {GOOD[type]}", ZONE, 3600).rrsets
    return found.records[0].value


@given(rrsets())
def test_what_is_written_is_read_back(written: list[NewRRSet]) -> None:
    found = read(write(ZONE, 3600, written), ZONE, 7200)

    assert found.ttl == 3600
    assert found.rrsets == tuple(written)


def test_a_file_speaks_of_ttls_in_its_own_way() -> None:
    found = read("a A 192.0.2.1\n$TTL 1h\nb A 192.0.2.1\nc 5m IN A 192.0.2.1\nd IN 1h A 192.0.2.1\n", ZONE, 600)

    assert found.ttl == 3600
    assert [(one.name, one.ttl) for one in found.rrsets] == [("a", 600), ("b", None), ("c", 300), ("d", None)]
    assert read("a A 192.0.2.1", ZONE, 600).ttl == 600


def test_names_are_the_zones() -> None:
    found = read("@ A 192.0.2.1\n$ORIGIN sub\nWWW CNAME @\n", ZONE, 600)

    assert [(one.name, one.records[0].value) for one in found.rrsets] == [
        ("@", "192.0.2.1"),
        ("www.sub", "sub.example.com."),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("$INCLUDE /etc/passwd", "not allowed"),
        ("$GENERATE 1-1000000000 a$ A 192.0.2.1", "not allowed"),
        ("elsewhere.org. A 192.0.2.1", "outside the zone"),
        ("$ORIGIN org.\na A 192.0.2.1", "outside the zone"),
        ("a A 192.0.2", "malformed"),
        ("a A", "identifier"),
        ("a CH A 192.0.2.1", "class"),
        ("a LOC 52 22 23 N 4 53 32 E 0", "not served"),
        ("a 5 A 192.0.2.1", "TTL"),
        ("$TTL 5\na A 192.0.2.1", "TTL"),
        ("a CNAME b\na A 192.0.2.1", "CNAME"),
        ("a CNAME b\na CNAME c", "exactly one"),
        ("@ SOA a. b. 1 2 3 4 5\n@ SOA c. d. 1 2 3 4 5", "exactly one"),
        ("a!b A 192.0.2.1", "letters"),
        ('a TXT "open', "ended unexpectedly"),
        ("a A ( 192.0.2.1", "parentheses"),
        ("a TXT " + '"x" ' * 3000, "4096"),
        ("\0", "malformed"),
        ("".join(f"a A 192.0.2.{n}\n" for n in range(51)), "50 records"),
        ("".join(f"h{n} A 192.0.2.1\n" for n in range(MOST_RECORDS + 1)), f"{MOST_RECORDS} records"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read(text, ZONE, 3600)
