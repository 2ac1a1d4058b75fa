"""The disk cache of compiled kernels: one file for each kernel and signature.

numba's own cache does not fit for three reasons. It compares only the file of the function itself,
while kernels call each other across files. Two processes that start without a cache at the same
time can pair a signature with the code of another one in its index. And it reads only from a
folder that it may also write to. Here there is no index, since the name of a file says all that
its content depends on. Every folder is read, the first writable one is written to, and a full or
read-only disk only costs the time to compile again.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from .environment import CHECK
from .width import VECTOR_BYTES

HERE = Path(__file__).parent

# While set, a kernel that the disk lacks raises `NotCached` instead of being compiled.
only_cached: ContextVar[bool] = ContextVar("moe_only_cached", default=False)


class NotCached(Exception):
    """A kernel is not on the disk and would have to be compiled."""


def source_stamp(folder: Path = HERE) -> str:
    """Digest of all kernel files, and of the versions of numba and Python that compile them."""
    digest = sha256(f"{numba.__version__} {sys.version}".encode())
    for file in sorted(folder.glob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def folders() -> list[Path]:
    """Folders of compiled kernels: in NUMBA_CACHE_DIR, in the package, in the user's cache."""
    # Installations do not share a folder: each would delete the other's files as out of date.
    subfolder = f"moescope-{sha256(str(HERE).encode()).hexdigest()[:12]}"
    setting = os.environ.get("NUMBA_CACHE_DIR")
    user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    places = [Path(setting, subfolder)] if setting else []
    places.append(HERE / "__pycache__")
    # Without a home directory "~" stays as it is, and there is no user's cache.
    return [*places, Path(user, subfolder)] if os.path.isabs(user) else places


STAMP, FOLDERS = source_stamp(), folders()
UNSAVED: set[str] = set()  # kernels that could not be written to any folder


class KernelCache(_Cache):  # type: ignore[misc]
    """The cache of one kernel, with the methods that numba calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        code = function.__code__
        self._code = code.co_code
        python = f"py{sys.version_info[0]}{sys.version_info[1]}"
        # Kernels of several vector widths are kept side by side, since the tests run them all.
        width = f"v{VECTOR_BYTES}{'checked' if CHECK else ''}"
        self._name = f"{Path(code.co_filename).stem}.{function.__qualname__}.{python}-{width}-"
        self._name = self._name.replace("<", "").replace(">", "")

    @property
    def cache_path(self) -> str:
        """The folder that is read first."""
        return str(FOLDERS[0])

    def file_name(self, signature: Any, codegen: Any) -> str:
        """Name of the file for a signature: NAME-STAMP-KEY.nbc.

        NAME is legible: file, kernel, Python version and vector width. STAMP is the digest of all
        kernel sources, and stands apart from KEY so that files of older sources can be recognised
        and deleted. KEY is the digest of argument types, processor and bytecode.
        """
        # magic_tuple holds the processor and its instruction sets. The bytecode tells functions of
        # the same name apart.
        key = f"{signature} {codegen.magic_tuple()}".encode() + self._code
        return f"{self._name}{STAMP}-{sha256(key).hexdigest()[:16]}.nbc"

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return the compiled code from the disk, or None."""
        target.refresh()
        name = self.file_name(signature, target.codegen())
        for folder in FOLDERS:
            # Whatever is wrong with a file, the kernel can still be compiled.
            with contextlib.suppress(Exception):
                payload = pickle.loads((folder / name).read_bytes())
                return CompileResult._rebuild(target, *payload)
        if only_cached.get():
            raise NotCached(name)
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Write compiled code to the first folder that can be written to."""
        if result.library.has_dynamic_globals:  # its addresses are valid in this process only
            return
        name, payload = self.file_name(signature, result.codegen), dumps(result._reduce())
        for folder in FOLDERS:
            with contextlib.suppress(OSError):
                self._write(folder, name, payload)
                return
        UNSAVED.add(name)

    def _write(self, folder: Path, name: str, payload: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{name}.{uuid.uuid4().hex[:8]}.tmp"
        try:
            part.write_bytes(payload)
            part.replace(folder / name)  # atomic, so that no other process reads half a file
        finally:
            part.unlink(missing_ok=True)
        for old in folder.glob(f"{self._name}*.nbc"):
            if not old.name.startswith(f"{self._name}{STAMP}-"):
                old.unlink(missing_ok=True)

    def enable(self) -> None:
        """Do nothing: this cache is always enabled."""

    def disable(self) -> None:
        """Do nothing: numba never calls it."""

    def flush(self) -> None:
        """Do nothing: a file whose name has an old stamp is never read."""
