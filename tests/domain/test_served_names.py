"""What is answered: owners' records before servers', owners' names before servers', and a serial that only rises."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from infra.domain.served_names import (
    Answer,
    Difference,
    HeldName,
    NamedServer,
    answers_for,
    difference,
    is_later,
    reverse_answers,
    serial_after,
    told,
    zone_of,
)

WEB = NamedServer("Web.example.com", ("192.0.2.1", "2001:db8::1"))
A, AAAA = ("web.example.com", "A"), ("web.example.com", "AAAA")
TODAY = date(2026, 11, 29)
SERIALS = st.integers(0, 2**32 - 1)


def one(content: str, ttl: int = 60) -> Answer:
    return Answer(ttl, frozenset({content}))


def test_a_server_is_found_by_its_name_in_lower_case() -> None:
    assert answers_for([WEB], ()) == {A: one("192.0.2.1"), AAAA: one("2001:db8::1")}


def test_what_its_owner_wrote_wins() -> None:
    assert answers_for([WEB], {A}) == {AAAA: one("2001:db8::1")}
    assert answers_for([WEB], {("web.example.com", "CNAME")}) == {}
    assert answers_for([WEB], {("web.example.com", "TXT")}).keys() == {A, AAAA}


def test_names_that_differ_in_case_only_are_one() -> None:
    twin = NamedServer("web.EXAMPLE.com", ("192.0.2.2",))
    assert answers_for([WEB, twin], ())[A] == Answer(60, frozenset({"192.0.2.1", "192.0.2.2"}))


def test_a_name_is_served_in_the_nearest_zone_and_only_where_that_is_a_primary_one() -> None:
    zones = {"example.com": "primary", "in.example.com": "primary", "other.example.com": "secondary"}
    assert zone_of("web.in.example.com", zones) == "in.example.com"  # type: ignore[arg-type]
    assert zone_of("In.example.com", zones) == "in.example.com"  # type: ignore[arg-type]
    assert zone_of("web.example.com", zones) == "example.com"  # type: ignore[arg-type]
    assert zone_of("web.other.example.com", zones) is None  # type: ignore[arg-type]
    assert zone_of("web", zones) is None  # type: ignore[arg-type]


def test_an_address_is_called_what_its_owner_says_then_its_server_then_the_default() -> None:
    template = "static.{ip}.example.net"
    held = [
        HeldName("192.0.2.1", {"192.0.2.1": "Mail.example.com"}, "web.example.com"),
        HeldName("192.0.2.2", {}, "web.example.com"),
        HeldName("192.0.2.3"),
        HeldName("192.0.2.4", {"192.0.2.4": "hidden.example.com"}, withheld=True),
        HeldName("2001:db8:0:1::/64", {"2001:db8:0:1::25": "mail6.example.com"}, "web.example.com"),
        HeldName("2001:db8:0:2::/64"),
    ]
    names = {key[0].split(".")[0]: answer.contents for key, answer in reverse_answers(held, template).items()}
    assert len(reverse_answers(held, template)) == 5
    assert names["3"] == {"static.192-0-2-3.example.net."}
    assert names["2"] == {"web.example.com."}
    assert names["1"] in ({"mail.example.com."}, {"web.example.com."})  # of IPv4, or of the network's first
    assert {"mail6.example.com."} in names.values()


def test_an_empty_template_names_nothing() -> None:
    assert reverse_answers([HeldName("192.0.2.3")], "") == {}


def test_the_difference_is_what_is_to_be_changed_and_no_more() -> None:
    served = {A: one("192.0.2.1"), AAAA: one("2001:db8::1"), ("x.example.com", "TXT"): one('"x"')}
    wanted = {A: one("192.0.2.9"), AAAA: one("2001:db8::1")}
    found = difference(served, wanted)
    assert found == Difference({A: one("192.0.2.9")}, (("x.example.com", "TXT"),))
    assert told(found) == (
        "answers otherwise, or not at all, for web.example.com A; it should not answer x.example.com TXT"
    )
    assert not difference(wanted, wanted)
    assert difference(wanted, {A: one("192.0.2.9", 300), AAAA: one("2001:db8::1")})


@given(SERIALS, SERIALS, st.booleans())
def test_what_changes_has_a_later_serial_and_no_serial_ever_falls(served: int, written: int, changed: bool) -> None:
    after = serial_after(served, written, changed, TODAY)
    assert after == served or is_later(after, served) or served == 2**32 - 1
    if changed:
        assert after != served
    if is_later(written, served):
        assert after == written


def test_an_address_answers_to_its_own_names_only() -> None:
    """A load balancer has those of both its addresses."""
    both = {"192.0.2.1": "lb.example.com", "2001:db8:0:1::1": "lb.example.com"}
    of_v4 = reverse_answers([HeldName("192.0.2.1", both)], "")
    of_v6 = reverse_answers([HeldName("2001:db8:0:1::/64", both)], "")
    assert [name.endswith(".in-addr.arpa") for name, _ in of_v4] == [True]
    assert [name.endswith(".ip6.arpa") for name, _ in of_v6] == [True]
