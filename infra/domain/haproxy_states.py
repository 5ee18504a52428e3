"""The states of servers that a new worker of HAProxy begins with: what the old one knew, and down for who is new.

Without it a server that was just added would be given requests before anybody has asked it whether it is there. One
that was found there has no line: it is up until its first check, which alone may end that. The lines are those of
``show servers state`` (management guide, section 9.3), found by the names of proxy and server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from infra.domain.edge_plan import Backend, Balancer, EdgePlan
from infra.domain.haproxy_config import backend_name, service_name

VERSION = "1"
COLUMNS = (
    *("be_id", "be_name", "srv_id", "srv_name", "srv_addr", "srv_op_state", "srv_admin_state", "srv_uweight"),
    *("srv_iweight", "srv_time_since_last_change", "srv_check_status", "srv_check_result", "srv_check_health"),
    *("srv_check_state", "srv_agent_state", "bk_f_forced_id", "srv_f_forced_id", "srv_fqdn", "srv_port", "srvrecord"),
    *("srv_use_ssl", "srv_check_port", "srv_check_addr", "srv_agent_addr", "srv_agent_port"),
)
DOWN = dict.fromkeys(COLUMNS, "0") | {
    "be_id": "1",
    "srv_id": "1",
    "srv_uweight": "1",
    "srv_iweight": "1",
    "srv_check_status": "1",
    "srv_check_state": "6",
    "srv_fqdn": "-",
    "srvrecord": "-",
    "srv_check_addr": "-",
    "srv_agent_addr": "-",
}


@dataclass(frozen=True, slots=True)
class NewServer:
    """``check_port``: where it is asked."""

    balancer: Balancer
    backend: Backend
    proxy: str
    port: int
    check_port: int


def new_servers(plan: EdgePlan, told: str) -> list[NewServer]:
    """Those of which nothing was told. ``told``: the states that the running worker has told, or nothing."""
    known = _known(told)
    return [one for one in _servers(plan) if _key(one) not in known]


def states(plan: EdgePlan, told: str, there: Collection[NewServer]) -> str:
    """The file for that plan. ``there``: the new ones that were found."""
    known, lines = _known(told), [VERSION, f"# {' '.join(COLUMNS)}"]
    for one in _servers(plan):
        if one not in there:
            row = known.get(_key(one)) or _down(one)
            lines.append(" ".join(row[column] for column in COLUMNS))
    return "\n".join(lines) + "\n"


def _servers(plan: EdgePlan) -> Iterator[NewServer]:
    for balancer in plan.balancers:
        for service in balancer.services:
            proxy, check = service_name(balancer.id, service.listen_port), service.health_check
            for backend in balancer.backends:
                yield NewServer(balancer, backend, proxy, service.destination_port, check.port)


def _key(server: NewServer) -> tuple[str, str, str]:
    return server.proxy, backend_name(server.backend), str(server.port)


def _known(told: str) -> dict[tuple[str, str, str], dict[str, str]]:
    return {(row["be_name"], row["srv_name"], row["srv_port"]): row for row in _rows(told)}


def _down(server: NewServer) -> dict[str, str]:
    told = {"be_name": server.proxy, "srv_name": backend_name(server.backend), "srv_addr": server.backend.address}
    return DOWN | told | {"srv_port": str(server.port)}


def _rows(told: str) -> Iterator[dict[str, str]]:
    """None of a version that is not known."""
    lines = told.strip().splitlines()
    if len(lines) < 2 or lines[0].strip() != VERSION:
        return
    columns = lines[1].removeprefix("# ").split()
    for line in lines[2:]:
        row = dict(zip(columns, line.split(), strict=False))
        if all(column in row for column in COLUMNS):
            yield row
