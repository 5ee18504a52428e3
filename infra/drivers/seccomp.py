"""The system calls that a confined tool may make, as a program for the kernel (BPF) that libseccomp makes.

A list of what is allowed: files that are there, memory, threads, time and signals. No sockets, namespaces, mounts,
tracing, io_uring or keys. A tool that asks for more is told EPERM, so that it may do without. Through ctypes: the
bindings that libseccomp has are not on PyPI, what wraps it there is not kept up, and six functions are needed.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache

ALLOWED = (
    "access arch_prctl brk clock_getres clock_gettime clock_nanosleep close close_range copy_file_range dup dup2 "
    "dup3 epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2 execve exit exit_group faccessat faccessat2 "
    "fadvise64 fallocate fcntl fdatasync fgetxattr flock fstat fstatfs fsync ftruncate futex get_robust_list "
    "getcwd getdents64 getegid geteuid getgid getpid getppid getrandom getrlimit getrusage gettid gettimeofday "
    "getuid ioctl kill lseek lstat madvise mmap mprotect mremap munmap nanosleep newfstatat open openat pipe "
    "pipe2 poll ppoll prctl pread64 preadv prlimit64 pselect6 pwrite64 pwritev read readlink readlinkat readv "
    "restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait "
    "sched_getaffinity sched_yield select set_robust_list set_tid_address sigaltstack signalfd4 stat statfs statx "
    "sysinfo tgkill time timerfd_create timerfd_gettime timerfd_settime umask uname unlink unlinkat wait4 waitid "
    "write writev "
)
NEW_NAMESPACES = 0x7E02_0080  # CLONE_NEW*: time, mount, cgroup, uts, ipc, user, pid, net

ALLOW, REFUSE = 0x7FFF_0000, 0x0005_0000  # SCMP_ACT_ALLOW, SCMP_ACT_ERRNO
MASKED_EQUAL = 7
UNKNOWN = -1  # __NR_SCMP_ERROR: this machine's architecture has no such call


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp"""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def filter_file() -> int:
    """The filter as an open file at its beginning, for ``bwrap --seccomp``. OSError: libseccomp is not there."""
    file = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    os.write(file, _program())
    os.lseek(file, 0, os.SEEK_SET)
    return file


@cache
def _program() -> bytes:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    rules = ctypes.c_void_p(library.seccomp_init(REFUSE | errno.EPERM))
    try:
        for name in ALLOWED.split():
            _add(library, rules, ALLOW, name)
        _add(library, rules, ALLOW, "clone", Comparison(0, MASKED_EQUAL, NEW_NAMESPACES, 0))
        _add(library, rules, REFUSE | errno.ENOSYS, "clone3")  # its flags are out of sight; clone is used instead
        with open(os.memfd_create("seccomp"), "r+b") as file:
            _checked(library.seccomp_export_bpf(rules, file.fileno()))
            file.seek(0)
            return file.read()
    finally:
        library.seccomp_release(rules)


def _add(library: ctypes.CDLL, rules: ctypes.c_void_p, action: int, name: str, *comparisons: Comparison) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number == UNKNOWN:
        raise OSError(errno.ENOSYS, f"libseccomp does not know the system call {name}")
    array = (Comparison * len(comparisons))(*comparisons)
    _checked(
        library.seccomp_rule_add_array(
            rules, ctypes.c_uint32(action), ctypes.c_int(number), ctypes.c_uint(len(comparisons)), array
        )
    )


def _checked(status: int) -> None:
    if status < 0:
        raise OSError(-status, os.strerror(-status))
