"""Which addresses of the web an installation may be sent to: public unicast ones, and no others.

Whoever names a source must not reach through us what only we can reach. So the ranges of the IANA registries of special
addresses are refused; of IPv6 only what is given out (2000::/3) is taken, without the parts of it that hold an IPv4
address of their own. An IPv4 address written as IPv6 is one of the latter, whatever it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL = 2048

REFUSED_IPV4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and where clouds answer for the machine itself
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
GIVEN_OUT = IPv6Network("2000::/3")
REFUSED_IPV6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocols, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3fff::/20",  # documentation
    )
)
DOCUMENTS_IPV4 = tuple(IPv4Network(one) for one in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))
DOCUMENTS_IPV6 = tuple(IPv6Network(one) for one in ("2001:db8::/32", "3fff::/20"))


def is_public(address: Address, refused: Sequence[Network] = ()) -> bool:
    """``refused``: networks that an installation keeps to itself, beside those that nobody may be sent to."""
    if any(address in network for network in refused if network.version == address.version):
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in REFUSED_IPV4)
    return address in GIVEN_OUT and not any(address in network for network in REFUSED_IPV6)


def is_elsewhere(address: Address, refused: Sequence[Network] = (), allowed: Sequence[Network] = ()) -> bool:
    """Whether an owner may have us talk to that address of his: a public one, or one of documentation, which leads
    nowhere. ``allowed``: networks that are his to name all the same."""
    if any(address in network for network in allowed if network.version == address.version):
        return True
    documents = DOCUMENTS_IPV4 if isinstance(address, IPv4Address) else DOCUMENTS_IPV6
    return is_public(address, refused) or any(address in network for network in documents)


def url_problem(url: str, refused: Sequence[Network] = ()) -> str | None:
    """What keeps a URL from being a source, as far as can be told without asking for its name; None: nothing."""
    if len(url) > LONGEST_URL:
        return f"must have at most {LONGEST_URL} characters"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "must be a URL: printable ASCII characters, others escaped"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "must be a URL such as https://example.com/image.qcow2"
    if parts.scheme != "https" or not host or port == 0:
        return "must be a URL that begins with https:// and names a host"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user name or a password"
    address = _address(host)
    if address is not None and not is_public(address, refused):
        return "must name a public address"
    return None


def _address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
