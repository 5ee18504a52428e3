"""Reverse DNS of public addresses: which addresses a holder may name, and what an IPv4 address is called by default."""

from __future__ import annotations

from ipaddress import ip_address, ip_network


def covers(held: str, ip: str) -> bool:
    """Whether ``ip`` is the held address, or lies in the held network (a /64). False for what is no address."""
    try:
        return ip_address(ip) in ip_network(held)
    except ValueError:
        return False


def canonical(ip: str) -> str:
    """The address as it is stored and shown. ValueError: it is none."""
    return str(ip_address(ip))


def default_ptr(ip: str, template: str) -> str:
    """``ip``: as it is stored. ``template`` has ``{ip}``, for the address with hyphens between; an empty one names
    nothing."""
    return template.replace("{ip}", ip.replace(".", "-"))
