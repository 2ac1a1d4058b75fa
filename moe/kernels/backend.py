"""The switch between numba kernels and numpy oracles, and how kernels are compiled."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import check_choice, check_int

BACKENDS = ("numba", "numpy")

_override: ContextVar[str | None] = ContextVar("moe_backend", default=None)
threads_override: ContextVar[int | None] = ContextVar("moe_threads", default=None)


def _numba_or_none() -> Any:
    if os.environ.get("MOE_BACKEND", "numba") == "numpy":
        return None
    try:
        import numba
    except ImportError:
        return None
    return numba


numba = _numba_or_none()
KERNELS: list[Any] = []  # every compiled function, so that `warm` can say what it compiles


def backend_name() -> str:
    """Name of the implementation in use: 'numba' or 'numpy' (environment `MOE_BACKEND`)."""
    chosen = _override.get() or check_choice(
        "MOE_BACKEND", os.environ.get("MOE_BACKEND", "numba"), BACKENDS
    )
    return chosen if numba is not None else "numpy"


@cache
def _from_environment() -> str:
    """`backend_name` at the first operation; asking the environment each time takes longer."""
    return backend_name()


@contextlib.contextmanager
def using(name: str | None = None, threads: int | None = None) -> Iterator[None]:
    """Run the body with another backend or number of threads; this thread only."""
    tokens = (
        _override.set(None if name is None else check_choice("backend", name, BACKENDS)),
        threads_override.set(None if threads is None else check_int("threads", threads, 1, 256)),
    )
    try:
        yield
    finally:
        _override.reset(tokens[0])
        threads_override.reset(tokens[1])


def _source_stamp() -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of every kernel file."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files)


_stamp = _source_stamp()


def njit(
    function: Callable[..., Any], reorder: bool = False, fuse: bool = False
) -> Callable[..., Any]:
    """Compile with numba: cached on disk, GIL released, IEEE division; as it is without numba.

    `reorder`: sums may be taken lane by lane; `fuse`: a * b + c may be rounded once. The bits
    then depend on the machine's vectors, but still on nothing else.
    """
    if numba is None:
        return function
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    if reorder or fuse:
        options["fastmath"] = {"contract"} | ({"reassoc"} if reorder else set())
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to write: neither beside the package nor in the user's cache
        compiled = numba.njit(**options)(function)
    else:
        # numba compares only the function's own file; kernels call each other across files.
        compiled._cache._cache_file._source_stamp = _stamp
    KERNELS.append(compiled)
    return compiled


def compiled() -> int:
    """Kernels compiled so far in this process, rather than loaded from the disk cache."""
    return sum(sum(kernel.stats.cache_misses.values()) for kernel in KERNELS)


def all_cached() -> bool:
    """Say whether the disk cache has an entry for every kernel."""
    return all(
        any(Path(kernel.stats.cache_path).glob(f"*.{kernel.py_func.__qualname__}-*.nbi"))
        for kernel in KERNELS
    )


def choose(oracle: Callable[..., Any], fast: Callable[..., Any]) -> Callable[..., Any]:
    """Make the public function of an operation: `fast` under numba, else its numpy `oracle`."""

    def operation(*args: Any, **kwargs: Any) -> Any:
        plain = numba is None or (_override.get() or _from_environment()) == "numpy"
        return (oracle if plain else fast)(*args, **kwargs)

    operation.__doc__ = oracle.__doc__
    operation.__name__ = fast.__name__.removesuffix("_fast")
    return operation
