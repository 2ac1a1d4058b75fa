"""A process may read what it is given, and use no other file (Linux, Landlock).

Source: Linux, Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Mapping

CREATE, ADD_RULE, RESTRICT = 444, 445, 446  # the same numbers on every machine
VERSION_ASKED, BELOW_A_PATH, NO_NEW_PRIVILEGES = 1, 1, 38
EXECUTE, READ_FILE, READ_FOLDER = 1, 4, 8
# How many kinds of access each version of Landlock knows, the first version first.
KINDS = (13, 14, 15, 15, 16)


def read_only(paths: Mapping[str, bool]) -> None:
    """Forbid every use of files but reading these.

    Parameters
    ----------
    paths
        Files and folders; of a folder, whether what lies below it may be read, or only listed.

    Raises
    ------
    OSError
        If the system does not offer it.
    """
    if platform.system() != "Linux":
        raise OSError("no Landlock")
    libc = ctypes.CDLL(None, use_errno=True)
    version = _checked(libc.syscall(CREATE, None, ctypes.c_size_t(0), VERSION_ASKED))
    kinds = KINDS[min(version, len(KINDS)) - 1]
    handled = struct.pack("Q", (1 << kinds) - 1)
    rules = _checked(libc.syscall(CREATE, handled, ctypes.c_size_t(len(handled)), 0))
    try:
        for path, below in paths.items():
            rights = (EXECUTE | READ_FILE) if below else 0
            if os.path.isdir(path):
                rights |= READ_FOLDER
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = struct.pack("=Qi", rights, opened)
                _checked(libc.syscall(ADD_RULE, rules, BELOW_A_PATH, rule, 0))
            finally:
                os.close(opened)
        _checked(libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _checked(libc.syscall(RESTRICT, rules, 0))
    finally:
        os.close(rules)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "no Landlock")
    return result
