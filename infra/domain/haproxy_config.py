"""HAProxy's configuration, made of an edge's plan: one text, always the same for the same plan.

Names are made of what they belong to and read back, so that statistics and states of servers find their way home:

    lb<id>-<port>           the frontend and the backend of a service       lb<id>-<port>-redirect  its way from port 80
    pub_<address>           a backend that is reached in public             net_<address>           in the network
    lb<id>, project<id>     who is counted for a connection                 project<id>-requests    and for a request

The keywords are those of HAProxy 2.6 (its configuration manual: sections 4.2 and 5).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

from infra.domain.edge_plan import Backend, Balancer, EdgePlan
from infra.domain.edge_shares import Share, shares
from infra.domain.load_balancers import REDIRECTED_PORT, HealthCheck, HttpCheck, Service

HARD_STOP_S = 3600
"""What is under way when a configuration changes has so long to end by itself."""
MOST_RELOADS = 100
"""Old workers whose streams last: beyond so many, the oldest ends. Each takes 5 MB with 9,000 connections
allowed, 16 MB with 100,000."""
MOST_CONNECTIONS = 100_000
"""Unless the edge's operator says otherwise, or its open files or its memory allow fewer."""
CONNECT_S = 5
STREAM_S = 3600
"""A stream of plain TCP, or what an HTTP connection was upgraded to, may be silent for so long."""
PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
"""Between two reloads, for each old worker: whatever is asked for meanwhile comes in one, so that nobody's changes use
the old workers up in moments, and with them the streams of others."""
DOWN_INTERVAL_S = 3
"""Who is down is asked at least so often. One good answer brings it back: a new server serves when it can."""
STATUS_CODES = range(100, 600)
SPECIAL = re.compile(r"[ #\"'\\]")
"""Outside of quotes, and what a backslash is taken off again; it stays before anything else (its manual, 2.2)."""


class Unservable(ValueError):
    """A part of a plan that no configuration can be made of; its text says why."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where things are on the edge. ``namespace``: of the private side with that member's id."""

    directory: str
    namespace: Callable[[int], str]
    max_connections: int = MOST_CONNECTIONS
    certificates: Mapping[int, str] = field(default_factory=dict)
    """By id: the file."""


def config(plan: EdgePlan, ground: Ground, left_out: Collection[str] = ()) -> str:
    """``left_out``: names of services that are not served."""
    share = shares(plan, ground.max_connections)
    services = (
        service_text(balancer, service, ground, share[balancer.id])
        for balancer in plan.balancers
        for service in balancer.services
        if service_name(balancer.id, service.listen_port) not in left_out
    )
    return together(ground, services)


def together(ground: Ground, services: Iterable[str]) -> str:
    return "\n\n".join((_text([_global(ground), _defaults(), _counts()]), *services)) + "\n"


def service_text(balancer: Balancer, service: Service, ground: Ground, share: Share) -> str:
    """Its sections. Unservable."""
    return _text(_service(balancer, service, ground, share))


def _text(sections: Iterable[Iterable[str]]) -> str:
    return "\n\n".join("\n".join(section) for section in sections)


def service_name(balancer_id: int, listen_port: int) -> str:
    return f"lb{balancer_id}-{listen_port}"


def service_of(name: str) -> tuple[int, int] | None:
    """The load balancer and the port of a name; None for any other."""
    found = re.fullmatch(r"lb(\d+)-(\d+)", name)
    return (int(found[1]), int(found[2])) if found else None


def pause(old_workers: int) -> float:
    """Seconds from one reload to the next."""
    return min(old_workers * PAUSE_S, LONGEST_PAUSE_S)


def backend_name(backend: Backend) -> str:
    return f"{'net' if backend.by_network else 'pub'}_{backend.address}"


def backend_of(name: str) -> Backend | None:
    way, _, address = name.partition("_")
    return Backend(address, way == "net") if way in ("net", "pub") and address else None


def _global(ground: Ground) -> list[str]:
    at = ground.directory
    return [
        "global",
        "  master-worker",
        f"  mworker-max-reloads {MOST_RELOADS}",
        f"  hard-stop-after {HARD_STOP_S}s",
        f"  maxconn {ground.max_connections}",
        "  no strict-limits",
        f"  stats socket {at}/stats.sock mode 600 level admin expose-fd listeners",
        f"  server-state-file {at}/states",
        "  ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets",
        "  tune.ssl.default-dh-param 2048",
    ]


def _defaults() -> list[str]:
    return [
        "defaults",
        f"  timeout connect {CONNECT_S}s",
        f"  timeout client {STREAM_S}s",
        f"  timeout server {STREAM_S}s",
        f"  timeout tunnel {STREAM_S}s",
        "  timeout http-request 10s",
        "  timeout queue 30s",
        "  retries 3",
        "  option redispatch 1",
        "  option dontlognull",
        "  load-server-state-from-file global",
    ]


def _counts() -> list[str]:
    """A table, which is of a backend: it counts what lives of connections and requests, whatever frontend took them."""
    return ["backend counts", "  stick-table type string len 48 size 100k store conn_cur"]


def _service(balancer: Balancer, service: Service, ground: Ground, share: Share) -> list[list[str]]:
    sections = [_frontend(balancer, service, ground, share), _backend(balancer, service, ground)]
    if service.protocol == "https" and service.http and service.http.redirect_http:
        sections.append(_redirect(balancer, service, ground, share))
    return sections


def _frontend(balancer: Balancer, service: Service, ground: Ground, share: Share) -> list[str]:
    name, http = service_name(balancer.id, service.listen_port), service.http
    lines = [
        f"frontend {name}",
        f"  mode {'http' if http else 'tcp'}",
        *_binds(balancer, service.listen_port, ground, _tls(service, ground)),
        *_bounds(balancer, share),
    ]
    if http:
        scheme = "https" if service.protocol == "https" else "http"
        lines += [
            f"  timeout client {http.timeout_idle}s",
            # A client that waits on an open connection learns with its next answer that it is to open another.
            "  option idle-close-on-response",
            "  option forwardfor",
            *_request_bounds(balancer, share),
            f"  http-request set-header X-Forwarded-Proto {scheme}",
            "  http-request set-header X-Forwarded-Port %[dst_port]",
        ]
    return [*lines, f"  default_backend {name}"]


def _redirect(balancer: Balancer, service: Service, ground: Ground, share: Share) -> list[str]:
    port = "" if service.listen_port == 443 else f":{service.listen_port}"
    return [
        f"frontend {service_name(balancer.id, service.listen_port)}-redirect",
        "  mode http",
        *_binds(balancer, REDIRECTED_PORT, ground, ""),
        *_bounds(balancer, share),
        "  timeout client 10s",
        f"  http-request redirect code 301 location https://%[req.hdr(host),host_only]{port}%[pathq]",
    ]


def _bounds(balancer: Balancer, share: Share) -> list[str]:
    """One service full makes its clients wait; several of one load balancer, or of one project, turn them away. Each
    worker counts its own: a new one begins with none, whatever old ones have yet to end."""
    return [
        f"  maxconn {share.of_balancer}",
        f"  tcp-request connection track-sc0 str(lb{balancer.id}) table counts",
        f"  tcp-request connection reject if {{ sc0_conn_cur gt {share.of_balancer} }}",
        f"  tcp-request connection track-sc1 str(project{balancer.project_id}) table counts",
        f"  tcp-request connection reject if {{ sc1_conn_cur gt {share.of_project} }}",
    ]


def _request_bounds(balancer: Balancer, share: Share) -> list[str]:
    """A connection of HTTP/2 has many requests at a time, each with a connection to a target."""
    return [
        f"  http-request track-sc2 str(project{balancer.project_id}-requests) table counts",
        f"  http-request deny deny_status 503 if {{ sc2_conn_cur gt {share.of_project} }}",
    ]


def _binds(balancer: Balancer, port: int, ground: Ground, tls: str) -> list[str]:
    lines = [f"  bind {_at(address, port)}{tls}" for address in balancer.public]
    if side := balancer.private:
        lines.append(f"  bind {_at(side.ip, port)} namespace {ground.namespace(side.member_id)}{tls}")
    if not lines:
        raise Unservable("it has no address")
    return lines


def _tls(service: Service, ground: Ground) -> str:
    if service.protocol != "https":
        return ""
    file, _ = certificate_list(service, ground)
    return f" ssl crt-list {_word(file)} alpn h2,http/1.1"


def certificate_list(service: Service, ground: Ground) -> tuple[str, str]:
    """A file, named after its content, and that: the files of the service's certificates, which are too many for a line
    of the configuration. The first is for clients that ask for no other. Unservable."""
    files = [ground.certificates[id] for id in service.certificates if id in ground.certificates]
    if not files:
        raise Unservable("it has no certificate that can be used")
    text = "".join(f"{file}\n" for file in files)
    return f"{ground.directory}/certificates-{hashlib.sha256(text.encode()).hexdigest()[:16]}.list", text


def _backend(balancer: Balancer, service: Service, ground: Ground) -> list[str]:
    check, http = service.health_check, service.http
    balance = "leastconn" if balancer.algorithm == "least_connections" else "roundrobin"
    lines = [
        f"backend {service_name(balancer.id, service.listen_port)}",
        f"  mode {'http' if http else 'tcp'}",
        f"  balance {balance}",
        f"  timeout check {check.timeout}s",
    ]
    if http:
        lines.append(f"  timeout server {http.timeout_idle}s")
    if http and http.sticky_sessions:
        name, life = http.cookie_name, http.cookie_lifetime
        lines.append(f"  cookie {_word(name)} insert indirect nocache httponly maxlife {life} attr Max-Age={life}")
    if check.http:
        lines += _http_check(check.http, check.port)
    return [*lines, *(_server(one, balancer, service, ground) for one in balancer.backends if _reached(one, balancer))]


def _http_check(http: HttpCheck, port: int) -> list[str]:
    path = quote(http.path, safe="".join(map(chr, range(0x21, 0x7F))))
    request = f"HTTP/1.1 hdr Host {_formatted(http.domain)} hdr Connection close" if http.domain else "HTTP/1.0"
    lines = [
        "  option httpchk",
        f"  http-check send meth GET uri {_word(path)} ver {request}",
        f"  http-check expect status {status_ranges(http.status_codes)}",
    ]
    if http.response:
        lines.append(f"  http-check expect string {_word(http.response)}")
    return lines


def _reached(backend: Backend, balancer: Balancer) -> bool:
    """By the side that it is reached by, and which the load balancer has."""
    return balancer.private is not None if backend.by_network else bool(balancer.public)


def _server(backend: Backend, balancer: Balancer, service: Service, ground: Ground) -> str:
    name, words = backend_name(backend), [_check(service.health_check, service)]
    if service.proxyprotocol:
        words.append("send-proxy-v2")
    if service.http and service.http.sticky_sessions:
        words.append(f"cookie {hashlib.sha256(name.encode()).hexdigest()[:12]}")
    if backend.by_network and balancer.private:
        words.append(f"namespace {ground.namespace(balancer.private.member_id)}")
    elif source := balancer.ipv6 if ":" in backend.address else balancer.ipv4:
        words.append(f"source {_at(source, 0)}")  # any port
    return f"  server {name} {_at(backend.address, service.destination_port)} {' '.join(words)}"


def _check(check: HealthCheck, service: Service) -> str:
    down = min(check.interval, DOWN_INTERVAL_S)
    words = f"check port {check.port} inter {check.interval}s downinter {down}s fall {check.retries} rise 1"
    if service.proxyprotocol and check.port == service.destination_port:
        words += " check-send-proxy"
    if check.protocol == "https" or (check.http and check.http.tls):
        words += " check-ssl verify none"
        if check.http and check.http.domain:
            words += f" check-sni {_word(check.http.domain)}"
    return words


def status_ranges(patterns: tuple[str, ...]) -> str:
    """``2??``, ``20*`` and ``404`` as ranges: 200-299,404."""
    if not (ranges := _ranges(patterns)):
        raise Unservable("its health check expects no status code that there is")
    return ranges


@lru_cache(1024)
def _ranges(patterns: tuple[str, ...]) -> str:
    codes = {code for pattern in patterns for code in STATUS_CODES if _is_like(str(code), pattern)}
    starts = sorted(code for code in codes if code - 1 not in codes)
    ends = sorted(code for code in codes if code + 1 not in codes)
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


def _is_like(code: str, pattern: str) -> bool:
    expression = "".join({"?": r"\d", "*": r"\d*"}.get(sign, re.escape(sign)) for sign in pattern)
    return re.fullmatch(expression, code) is not None


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _word(text: str) -> str:
    """One argument, whatever is in it: what is special outside of quotes is escaped."""
    if not text or not text.isprintable():
        raise Unservable("it has characters that cannot be sent")
    return SPECIAL.sub(r"\\\g<0>", text)


def _formatted(text: str) -> str:
    """One argument in which % begins a variable."""
    return _word(text.replace("%", "%%"))
