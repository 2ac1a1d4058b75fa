"""Counting operations where they happen: products say what they did to whoever asked."""

from __future__ import annotations

from contextvars import ContextVar

listening: ContextVar[counting | None] = ContextVar("moe_counting", default=None)


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

    def __enter__(self) -> counting:
        self._token = listening.set(self)
        return self

    def __exit__(self, *failure: object) -> None:
        listening.reset(self._token)
        count_flops(self.flops)  # whoever counts outside counts this too


def count_flops(flops: int) -> None:
    """Say that so many operations were done."""
    count = listening.get()
    if count is not None:
        count.flops += flops
