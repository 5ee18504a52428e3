"""HAProxy on an edge: what the plan says becomes its configuration, and that its new worker, without a lost request.

The file is the truth: written whole, checked, put in its place, then the master is told to load it anew, and the new
worker takes over the sockets while the old one ends what it has begun. What cannot be served is left out and told; it
takes nobody else down. HAProxy is nobody's child here: it goes on when this process ends.
"""

from __future__ import annotations

import errno
import os
import pwd
import resource
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import psutil

from infra.domain.edge_plan import Balancer, Certificate, EdgePlan, Health, HealthStatus, Served
from infra.domain.edge_shares import shares
from infra.domain.errors import HostUnavailable
from infra.domain.haproxy_config import (
    LONGEST_PAUSE_S,
    MOST_CONNECTIONS,
    Ground,
    Unservable,
    backend_of,
    certificate_list,
    config,
    pause,
    service_name,
    service_of,
    service_text,
    together,
)
from infra.domain.haproxy_states import NewServer, new_servers, states
from infra.domain.load_balancers import Service
from infra.drivers.edge_probes import Place, reached
from infra.drivers.haproxy_checks import Checks
from infra.drivers.haproxy_sockets import Processes, SeenServer, Silent, Sockets

USER = "haproxy"
CAPABILITIES = "+net_bind_service,+net_admin,+sys_admin"
"""Low ports, addresses as sources, and private sides' namespaces (setns(2)); without root HAProxy 2.6 has none of them
unless they are ambient."""
RELOAD_S = 20.0
LOOK_S = 0.01
CONFIG = "haproxy.cfg"
FILES = 2.2
"""Open at a time for each connection of a client: its own, that to a target, and some room."""
MEMORY = 64 * 1024
"""Bytes for each: its two buffers of 16 KiB (tune.bufsize), and as much again for TLS and its sockets."""


class CannotRun(Exception):
    """HAProxy cannot run on this machine, and why."""


def require() -> None:
    """CannotRun: it is not installed, or this is not root."""
    if shutil.which("haproxy") is None:
        raise CannotRun("an edge needs HAProxy: install the package haproxy (PUCHIFY_HOST=simulated does without)")
    if os.geteuid() != 0:
        raise CannotRun("an edge changes this machine's network: run it as root (PUCHIFY_HOST=simulated does without)")


def argv(directory: Path, death_signal: str | None = None) -> tuple[str, ...]:
    """The master, as HAProxy's own user where we are root. ``death_signal``: from the kernel, when its parent dies."""
    words = ("haproxy", "-W", "-S", f"{directory}/master.sock,mode,600", "-f", f"{directory}/{CONFIG}")
    if os.geteuid() != 0:
        return words
    dies = (f"--pdeathsig={death_signal}",) if death_signal else ()
    who = (f"--reuid={USER}", f"--regid={USER}", "--init-groups")
    may = (f"--inh-caps={CAPABILITIES}", f"--ambient-caps={CAPABILITIES}")
    return ("setpriv", *dies, *who, *may, "--", *words)


def prepare(directory: Path) -> None:
    """The directory with a configuration to begin with, unless one is there already: it serves nothing."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    _hand_over(directory)
    if not (directory / CONFIG).exists():
        ground = Ground(str(directory), str, affordable())
        _write(directory / "states", states(EdgePlan(0), "", ()))
        _write(directory / CONFIG, config(EdgePlan(0), ground))


def affordable() -> int:
    """Connections of clients that this machine's memory is enough for, and the open files of this process: HAProxy,
    which may be another's child, is to have as many."""
    most = min(MOST_CONNECTIONS, psutil.virtual_memory().total // MEMORY)
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if files == resource.RLIM_INFINITY else min(most, int(files / FILES))


def is_up(directory: Path) -> bool:
    """Whether a worker answers. Blocking."""
    sockets = Sockets(directory)
    try:
        return sockets.worker() in sockets.processes().workers
    except Silent:
        return False


class Haproxy:
    """Blocking; one call at a time, but for ``health``. ``namespace``: of a private side, by its member's id.
    ``connections``: of clients, at a time; None: as many as are affordable."""

    def __init__(self, directory: Path, namespace: Callable[[int], str], connections: int | None = None) -> None:
        self._directory = directory
        self._namespace = namespace
        self._connections = connections or affordable()
        self._sockets = Sockets(directory)
        self._checks = Checks(directory, _write)
        self._seen: dict[tuple[str, str], HealthStatus] = {}
        self._reloaded = -LONGEST_PAUSE_S

    def serve(self, whole: EdgePlan, left_out: Mapping[int, str]) -> Served:
        """The plan, live, without the load balancers that are ``left_out`` (why, by id). HostUnavailable:
        HAProxy does not run, or does not take it; the next call begins anew."""
        plan = replace(whole, balancers=tuple(one for one in whole.balancers if one.id not in left_out))
        problems = {f"lb{id}": problem for id, problem in left_out.items()}
        ground = self._ground(plan, problems)
        texts = self._texts(plan, ground, problems)
        problems |= self._checks.remembered(texts)
        text = self._without(problems, ground, texts)
        if text != self._current():
            problems |= self._checks.refused({name: one for name, one in texts.items() if name not in problems}, ground)
            text = self._without(problems, ground, texts)
        if text != self._current() or not self._runs_it():
            self._load(plan, text)
        self._tidy(text)
        return Served(whole.digest, tuple(f"{name}: {problem}" for name, problem in sorted(problems.items())))

    def _without(self, problems: Mapping[str, str], ground: Ground, texts: Mapping[str, str]) -> str:
        return together(ground, (text for name, text in texts.items() if name not in problems))

    def rest(self) -> float:
        """Seconds until it should be changed again."""
        try:
            old = len(self._sockets.processes().old)
        except Silent:
            return 0.0
        return max(0.0, self._reloaded + pause(old) - time.monotonic())

    def health(self) -> list[Health]:
        """Of every backend of every service. Who was not asked since a reload is as it was before."""
        try:
            seen = self._sockets.servers()
        except Silent as silence:
            raise HostUnavailable("the load balancers of the edge do not run") from silence
        self._seen = {(one.proxy, one.name): self._status(one) for one in seen}
        return [health for one in seen if (health := self._health(one))]

    def _status(self, server: SeenServer) -> HealthStatus:
        if server.check == "INI":
            return self._seen.get((server.proxy, server.name), "unknown")
        return "healthy" if server.status.startswith("UP") else "unhealthy"

    def _health(self, server: SeenServer) -> Health | None:
        service, backend = service_of(server.proxy), backend_of(server.name)
        if service is None or backend is None:
            return None
        status = self._seen[server.proxy, server.name]
        return Health(*service, backend.address, backend.by_network, status)

    # What is written

    def _ground(self, plan: EdgePlan, problems: dict[str, str]) -> Ground:
        kept = {one.id: self._keep(one, problems) for one in plan.certificates}
        files = {id: str(file) for id, file in kept.items() if file}
        return Ground(str(self._directory), self._namespace, self._connections, files)

    def _keep(self, certificate: Certificate, problems: dict[str, str]) -> Path | None:
        """A file of its own for each content: an old worker's is never written over."""
        digest = sha256(certificate.pem.encode()).hexdigest()[:16]
        file = self._directory / f"certificate-{certificate.id}-{digest}.pem"
        _keep_text(file, certificate.pem)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file, password="")
        except (OSError, ValueError) as error:  # ssl's errors are among them
            problems[f"certificate {certificate.id}"] = f"it cannot be used: {getattr(error, 'reason', error)}"
            file.unlink()
            return None
        return file

    def _texts(self, plan: EdgePlan, ground: Ground, problems: dict[str, str]) -> dict[str, str]:
        """By service; not of what cannot be written, and of what would keep a new worker from its start: where another
        listens already."""
        ours, share, texts = _bound(self._current()), shares(plan, ground.max_connections), {}
        for name, balancer, service in _services(plan):
            places = {_at(address, port): (address, port) for address in balancer.public for port in service.ports}
            taken = [place for place, where in places.items() if place not in ours and _is_taken(*where)]
            if taken:
                problems[name] = f"another process of the edge is at {', '.join(taken)}"
                continue
            try:
                if service.protocol == "https":
                    _keep_text(*certificate_list(service, ground))
                texts[name] = service_text(balancer, service, ground, share[balancer.id])
            except Unservable as problem:
                problems[name] = str(problem)
        return texts

    def _current(self) -> str:
        try:
            return (self._directory / CONFIG).read_text()
        except FileNotFoundError:
            return ""

    # What is loaded

    def _runs_it(self) -> bool:
        """Whether the newest worker was made of the file as it is: the last reload did not fail, and none is due."""
        try:
            return self._processes().failed == 0 and not self._due.exists()
        except Silent:
            return False

    @property
    def _due(self) -> Path:
        """There from before the file changes until its worker is live: a reload that nobody saw the end of is done
        again."""
        return self._directory / "reload-due"

    def _load(self, plan: EdgePlan, text: str) -> None:
        self._due.touch()
        try:
            known = self._sockets.states()
        except Silent:
            known = ""
        new = {one: self._place(one) for one in new_servers(plan, known)}
        open_ = reached(set(new.values()))
        there = [one for one, place in new.items() if place in open_]
        _write(self._directory / "states", states(plan, known, there))
        _write(self._directory / CONFIG, text)
        self._reload()

    def _place(self, server: NewServer) -> Place:
        side = server.balancer.private if server.backend.by_network else None
        inside = self._namespace(side.member_id) if side else None
        return Place(inside, server.backend.address, server.check_port)

    def _reload(self) -> None:
        """HostUnavailable: the new worker did not begin, and the old one goes on; or nobody says how it went."""
        try:
            before = self._processes()
            self._sockets.reload()
            self._reloaded = time.monotonic()
        except Silent as silence:
            raise HostUnavailable("the load balancers of the edge do not run") from silence
        deadline = time.monotonic() + RELOAD_S
        while time.monotonic() < deadline:
            try:
                now = self._sockets.processes()
                if now.reloads > before.reloads and now.failed:
                    break
                if _is_newer(now, before) and self._sockets.worker() == now.workers[0]:
                    self._due.unlink(missing_ok=True)
                    return
            except Silent:
                pass  # between two masters
            time.sleep(LOOK_S)
        raise HostUnavailable("the load balancers of the edge do not take their new configuration")

    def _processes(self) -> Processes:
        """It may be between two masters for a moment."""
        for _ in range(20):
            try:
                return self._sockets.processes()
            except Silent:
                time.sleep(LOOK_S * 5)
        return self._sockets.processes()

    def _tidy(self, text: str) -> None:
        """Certificates that are not in the configuration any more: a worker has read its own."""
        lists = [file for file in self._directory.glob("certificates-*.list") if str(file) in text]
        named = "".join((text, *(file.read_text() for file in lists)))
        for file in self._directory.glob("certificate*"):
            if str(file) not in named:
                file.unlink(missing_ok=True)


def _is_newer(now: Processes, before: Processes) -> bool:
    changed = now.reloads > before.reloads or now.master != before.master
    return bool(changed and now.workers and now.workers[0] not in before.workers)


def _services(plan: EdgePlan) -> Iterator[tuple[str, Balancer, Service]]:
    for balancer in plan.balancers:
        for service in balancer.services:
            yield service_name(balancer.id, service.listen_port), balancer, service


def _bound(text: str) -> set[str]:
    """Where a configuration listens."""
    return {line.split()[1] for line in text.splitlines() if line.startswith("  bind ")}


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _is_taken(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _keep_text(path: str | Path, text: str) -> None:
    """In a file that is named after it."""
    if not Path(path).exists():
        _write(Path(path), text)


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and for HAProxy alone."""
    fresh = path.with_name(f"{path.name}~")
    fresh.unlink(missing_ok=True)
    with open(fresh, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _hand_over(fresh)
    fresh.replace(path)


def _hand_over(path: Path) -> None:
    if os.geteuid() == 0 and shutil.which("haproxy"):
        user = pwd.getpwnam(USER)
        os.chown(path, user.pw_uid, user.pw_gid)
