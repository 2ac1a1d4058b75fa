"""Counting operations where they happen: products say what they did to whoever asked."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from functools import wraps
from typing import Any

_listening: ContextVar[counting | None] = ContextVar("moe_counting", default=None)


class counting:
    """Count what products do in the body of a `with`, in this thread: 2 per multiply-add.

    Attributes
    ----------
    flops
        Floating-point operations so far.

    Examples
    --------
    >>> import numpy as np
    >>> from moe import kernels
    >>> with kernels.counting() as count:
    ...     y = kernels.matmul(np.ones((5, 3)), np.ones((3, 4)))
    >>> count.flops
    120
    """

    def __init__(self) -> None:
        self.flops = 0
        self._outer: Token[counting | None] | None = None

    def __enter__(self) -> counting:
        self._outer = _listening.set(self)
        return self

    def __exit__(self, *failure: object) -> None:
        assert self._outer is not None
        _listening.reset(self._outer)
        count_flops(self.flops)  # whoever counts outside counts this too


def count_flops(flops: int) -> None:
    """Say that so many operations were done."""
    count = _listening.get()
    if count is not None:
        count.flops += flops


def counted(operation: Callable[..., Any], flops: Callable[..., int]) -> Callable[..., Any]:
    """The operation, counted: `flops(result, *arguments)` says what it did."""

    @wraps(operation)
    def counted_operation(*args: Any, **kwargs: Any) -> Any:
        result = operation(*args, **kwargs)
        count = _listening.get()
        if count is not None:
            count.flops += flops(result, *args, **kwargs)
        return result

    return counted_operation
