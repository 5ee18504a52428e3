"""Talk between machines of the lab: sockets are opened in a network namespace, and used from this process."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TypeVar

CLONE_NEWNET = 0x40000000
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
PATIENCE = 3.0  # seconds for an answer
T = TypeVar("T")
Do = Callable[[Callable[[], T]], T]


def inside(namespace: str, work: Callable[[], T]) -> T:
    """In a thread that is in there (a path); sockets that it opens belong there for good."""

    def enter() -> None:
        there = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(there, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(there)

    with ThreadPoolExecutor(1, initializer=enter) as thread:
        return thread.submit(work).result()


@contextmanager
def door(namespace: str, says: bytes, port: int = 22) -> Iterator[None]:
    """Something at that port, on IPv4 and IPv6, that says who it is to whoever calls."""
    listening = inside(
        namespace, lambda: socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    )
    thread = threading.Thread(target=_answer, args=(listening, says), daemon=True)
    thread.start()
    with closing(listening):
        yield
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def _answer(listening: socket.socket, says: bytes) -> None:
    while True:
        try:
            caller, _ = listening.accept()
        except OSError:
            return  # closed
        with caller:
            caller.sendall(says)


def asked(namespace: str, address: str, port: int = 22, patience: float = PATIENCE) -> bytes | None:
    """What is said there; None: nobody answers in time."""

    def ask() -> bytes | None:
        try:
            with socket.create_connection((address, port), patience) as calling:
                return calling.recv(100)
        except OSError:
            return None

    return inside(namespace, ask)


@contextmanager
def echo(namespace: str, ip: str, port: int = 5000) -> Iterator[None]:
    """Datagrams to there come back as they are."""
    receiving = inside(namespace, lambda: _datagrams(ip, port))

    def repeat() -> None:
        while True:
            data, sender = receiving.recvfrom(70_000)
            if not data:
                return
            receiving.sendto(data, sender)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    with closing(receiving):
        yield
        with inside(namespace, lambda: _datagrams(ip, 0)) as ending:
            ending.sendto(b"", (ip, port))
        thread.join()


def echoed(namespace: str, ip: str, target: str, data: bytes, whole: bool = False, port: int = 5000) -> bool:
    """Whether it comes back. ``whole``: it may not be taken apart on the way."""

    def ask() -> bool:
        with _datagrams(ip, 0) as sending:
            sending.settimeout(PATIENCE / 3)
            if whole:
                sending.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
            for _ in range(3):
                try:
                    sending.sendto(data, (target, port))
                    if sending.recv(70_000) == data:
                        return True
                except OSError:
                    continue
            return False

    return inside(namespace, ask)


def _datagrams(ip: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((ip, port))
    return opened
