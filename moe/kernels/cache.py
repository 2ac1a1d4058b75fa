"""The disk cache of compiled kernels: one file a kernel and signature, named by what decides it.

numba's own cache compares only the file of the function itself, while kernels call each other
across files; two processes that start cold at once can pair a signature with another's code in
its index; and it reads only where it may write. Here there is no index, every folder is read, the
first one that lets itself be written is written, and a full or closed disk only costs the time to
compile again.
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
    """A kernel would have to be compiled."""


def source_stamp(folder: Path = HERE) -> str:
    """Digest of every kernel file, and of the versions that compile them."""
    digest = sha256(f"{numba.__version__} {sys.version}".encode())
    for file in sorted(folder.glob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def folders() -> list[Path]:
    """Where compiled kernels may lie: NUMBA_CACHE_DIR, beside the package, the user's cache."""
    own = f"moescope-{sha256(str(HERE).encode()).hexdigest()[:12]}"  # each installation its own
    named = os.environ.get("NUMBA_CACHE_DIR")
    user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    found = [Path(named, own)] if named else []
    found.append(HERE / "__pycache__")
    return [*found, Path(user, own)] if os.path.isabs(user) else found  # no home: no such folder


STAMP, FOLDERS = source_stamp(), folders()
UNSAVED: set[str] = set()  # kernels that no folder took


class KernelCache(_Cache):  # type: ignore[misc]
    """What numba asks for compiled code, for one kernel."""

    def __init__(self, function: Callable[..., Any]) -> None:
        code = function.__code__
        self._code = code.co_code
        python = f"py{sys.version_info[0]}{sys.version_info[1]}"
        # Kernels of several widths lie side by side; the tests run them all.
        width = f"v{VECTOR_BYTES}{'checked' if CHECK else ''}"
        self._name = f"{Path(code.co_filename).stem}.{function.__qualname__}.{python}-{width}-"
        self._name = self._name.replace("<", "").replace(">", "")

    @property
    def cache_path(self) -> str:
        """Folder that is read first."""
        return str(FOLDERS[0])

    def file_name(self, signature: Any, codegen: Any) -> str:
        """Name of the file: the kernel, its sources, and its argument types and processor."""
        # magic_tuple: the processor and what it can do.
        key = f"{signature} {codegen.magic_tuple()}".encode() + self._code
        return f"{self._name}{STAMP}-{sha256(key).hexdigest()[:16]}.nbc"

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Compiled code from the disk, or None."""
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
        """Write compiled code to the first folder that takes it."""
        if result.library.has_dynamic_globals:  # addresses of this process
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
            part.replace(folder / name)  # in one step: nobody reads half a file
        finally:
            part.unlink(missing_ok=True)
        for old in folder.glob(f"{self._name}*.nbc"):
            if not old.name.startswith(f"{self._name}{STAMP}-"):
                old.unlink(missing_ok=True)

    def enable(self) -> None:
        """Nothing to do: it always is."""

    def disable(self) -> None:
        """Nothing to do: numba never asks."""

    def flush(self) -> None:
        """Nothing to do: a file's name says when it is stale."""
