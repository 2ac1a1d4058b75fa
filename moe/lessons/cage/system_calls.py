"""A filter on this process's system calls: computing and reading, and nothing else (Linux).

Whatever is not on the list fails with "operation not permitted": processes and threads, sockets,
signals, and every way to change a file. Files open for reading only. The filter needs no
privilege, holds for the rest of the process's life, and cannot be taken off again.

Source: Linux, Documentation/userspace-api/seccomp_filter.rst; numbers from arch/x86/entry/syscalls
and include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

END_WITH_PARENT, NO_NEW_PRIVILEGES, SET_FILTER, FILTER_MODE = 1, 38, 22, 2
KILL = 9
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 1  # the latter with EPERM
# Instructions of the classic packet filter.
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER_AT, MACHINE_AT, FLAGS_AT = 0, 4, 32  # of the call's number, the machine, the third argument
CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

# What Python and numpy need once they are loaded. Numbers of (x86_64, aarch64); None: not there.
CALLS: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "stat": (4, None), "fstat": (5, 80),
    "lstat": (6, None), "poll": (7, None), "lseek": (8, 62), "mmap": (9, 222),
    "mprotect": (10, 226), "munmap": (11, 215),
    "brk": (12, 214), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139), "pread64": (17, 67), "readv": (19, 65), "access": (21, None),
    "sched_yield": (24, 124), "mremap": (25, 216), "madvise": (28, 233), "nanosleep": (35, 101),
    "getpid": (39, 172), "exit": (60, 93), "uname": (63, 160), "getcwd": (79, 17),
    "readlink": (89, None), "gettimeofday": (96, 169), "getrusage": (98, 165),
    "sysinfo": (99, 179), "times": (100, 153), "getuid": (102, 174), "getgid": (104, 176),
    "geteuid": (107, 175), "getegid": (108, 177), "getppid": (110, 173), "sigaltstack": (131, 132),
    "gettid": (186, 178), "futex": (202, 98), "sched_getaffinity": (204, 123),
    "getdents64": (217, 61), "restart_syscall": (219, 128), "clock_gettime": (228, 113),
    "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "exit_group": (231, 94),
    "newfstatat": (262, 79), "readlinkat": (267, 78), "faccessat": (269, 48),
    "ppoll": (271, 73), "getrandom": (318, 278), "statx": (332, 291), "rseq": (334, 293),
    "faccessat2": (439, 439),
}  # fmt: skip
OPENAT = (257, 56)
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}


def restrict() -> None:
    """Put the filter on this process.

    Raises
    ------
    OSError
        If the system or the machine has no such filter.
    """
    name = platform.machine()
    if platform.system() != "Linux" or name not in MACHINES:
        raise OSError(f"no filter of system calls for {platform.system()} on {name}")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(END_WITH_PARENT, KILL, 0, 0, 0)  # or it would outlive a judge that was killed
    code = _program(*MACHINES[name])
    kept = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: the number of instructions, and where they are.
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(kept))
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(SET_FILTER, FILTER_MODE, program):
        raise OSError(ctypes.get_errno(), "no filter of system calls")


def _program(machine: int, column: int) -> bytes:
    """The filter: allowed numbers, and `openat` if its flags change nothing."""
    numbers = [pair[column] for pair in CALLS.values()]
    allowed = [number for number in numbers if number is not None]
    # Jumps count instructions to skip; every comparison goes to the end, or on to the next one.
    lines = [(LOAD, 0, 0, MACHINE_AT), (EQUAL, 1, 0, machine), (RETURN, 0, 0, REFUSE)]
    lines.append((LOAD, 0, 0, NUMBER_AT))
    for place, number in enumerate(allowed):
        lines.append((EQUAL, len(allowed) - place + 4, 0, number))
    lines += [
        (EQUAL, 1, 0, OPENAT[column]),
        (RETURN, 0, 0, REFUSE),
        (LOAD, 0, 0, FLAGS_AT),
        (ANY_BIT, 0, 1, CHANGES),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)
