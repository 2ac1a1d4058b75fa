"""The switch between numba kernels and numpy oracles, and how kernels are compiled."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache
from typing import Any

from ..errors import check_choice, check_int
from .environment import CHECK, numba
from .flop_count import listening

BACKENDS = ("numba", "numpy")

_override: ContextVar[str | None] = ContextVar("moe_backend", default=None)
threads_override: ContextVar[int | None] = ContextVar("moe_threads", default=None)
_standing_in = False  # whether oracles do the work of kernels that are still being compiled

KERNELS: list[Any] = []  # every compiled function, so that `warm` can say what it compiles


def backend_name() -> str:
    """Name of the implementation in use: 'numba' or 'numpy' (environment `MOE_BACKEND`)."""
    chosen = _override.get() or check_choice(
        "MOE_BACKEND", os.environ.get("MOE_BACKEND", "numba"), BACKENDS
    )
    if _standing_in and _override.get() is None:
        return "numpy"
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


def stand_in(on: bool) -> None:
    """Let oracles do all work of this process, until it is called again with False.

    For a server that is up while its kernels are still compiled elsewhere. Who names a backend with
    `using` gets it all the same.
    """
    global _standing_in
    _standing_in = on


def standing_in() -> bool:
    """Say whether oracles stand in for kernels that are still being compiled."""
    return _standing_in


@contextlib.contextmanager
def steady(backend: str | None = None) -> Iterator[None]:
    """Run the body on one backend to its end, even if kernels become ready meanwhile.

    Parameters
    ----------
    backend
        The backend of whatever the body goes on with, if that was begun while oracles stood in;
        None leaves all as it is unless they stand in now.
    """
    if _override.get() is not None or not (backend or _standing_in):
        yield
        return
    token = _override.set(backend or "numpy")
    try:
        yield
    finally:
        _override.reset(token)


def njit(
    function: Callable[..., Any], reorder: bool = False, fuse: bool = False, borrow: bool = False
) -> Callable[..., Any]:
    """Compile with numba: cached on disk, GIL released, IEEE division; as it is without numba.

    With `reorder` sums may be taken lane by lane; with `fuse` a * b + c may be rounded once. The
    bits then depend on the machine's vectors, but still on nothing else. With `borrow` references
    to arrays are not counted; see `inner`.
    """
    if numba is None:
        return function
    from .cache import KernelCache

    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    if borrow:
        options["_nrt"] = False
    if CHECK:
        options["boundscheck"] = True
    if reorder or fuse:
        options["fastmath"] = {"contract"} | ({"reassoc"} if reorder else set())
    compiled = numba.njit(**options)(function)
    compiled._cache = KernelCache(function)
    _compile_once(compiled)
    KERNELS.append(compiled)
    return compiled


def inner(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that only kernels call, and that makes no arrays: it borrows theirs.

    Otherwise numba counts each tuple that holds an array as one more reference to it, by an atomic
    addition; these took 2 % of the benchmarks' `tiny` layer.
    """
    return njit(function, borrow=True)


def _compile_once(kernel: Any) -> None:
    """Compile for numbers and arrays, not again for each constant and each read-only array.

    Kernels write only to arrays that their callers made.
    """
    compile_types, call_template = kernel.compile, kernel.get_call_template

    def plain(kind: Any) -> Any:
        if isinstance(kind, numba.types.Array) and not kind.mutable:
            return kind.copy(readonly=False)
        if isinstance(kind, numba.types.BaseTuple) and kind.types:
            members = [plain(member) for member in kind.types]
            return numba.types.BaseTuple.from_types(members, getattr(kind, "instance_class", None))
        return numba.types.unliteral(kind)

    def compile_plain(given: tuple[Any, ...]) -> Any:
        wanted = tuple(plain(kind) for kind in given)
        entry = compile_types(wanted)
        if wanted != given:  # the next call with such arguments finds its way at once
            kernel._insert([kind._code for kind in given], entry, False)
        return entry

    def call_plain(args: Any, kws: dict[str, Any]) -> Any:
        return call_template([plain(a) for a in args], {name: plain(a) for name, a in kws.items()})

    kernel.compile, kernel.get_call_template = compile_plain, call_plain


def compiled() -> list[str]:
    """Kernels compiled so far in this process, rather than loaded from the disk cache.

    A kernel is named once for each set of types that it was compiled for.
    """
    return [
        kernel.py_func.__name__.removeprefix("_")
        for kernel in KERNELS
        for _ in range(sum(kernel.stats.cache_misses.values()))
    ]


def unsaved() -> list[str]:
    """Folders that were tried, if kernels were compiled that none of them took."""
    if numba is None:
        return []
    from .cache import FOLDERS, UNSAVED

    return [str(folder) for folder in FOLDERS] if UNSAVED else []


def must_compile(run: Callable[[], object]) -> bool:
    """Say whether `run` needs a kernel that is not compiled yet; it is stopped at the first."""
    if backend_name() == "numpy":
        return False
    from .cache import NotCached, only_cached

    token = only_cached.set(True)
    try:
        with using(threads=1):  # helpers would not see the flag
            run()
    except NotCached:
        return True
    finally:
        only_cached.reset(token)
    return False


def choose(
    oracle: Callable[..., Any],
    fast: Callable[..., Any],
    flops: Callable[..., int] | None = None,
) -> Callable[..., Any]:
    """Make the public function of an operation: `fast` under numba, else its numpy `oracle`.

    `flops(result, *arguments)` says what a call did to whoever counts (`tally.py`).
    """

    def operation(*args: Any, **kwargs: Any) -> Any:
        chosen = _override.get() or ("numpy" if _standing_in else _from_environment())
        plain = numba is None or chosen == "numpy"
        result = (oracle if plain else fast)(*args, **kwargs)
        if flops is not None and (count := listening.get()) is not None:
            count.flops += flops(result, *args, **kwargs)
        return result

    operation.__doc__ = oracle.__doc__
    operation.__name__ = fast.__name__.removesuffix("_fast")
    return operation
