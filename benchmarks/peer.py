"""What every implementation in the comparison has: a name, two timed calls, and a common layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

OURS = "MoEscope"
NUMPY = "plain numpy"
LIBRARY_PREFIX = "HF "  # names the ways in which the library transformers itself runs experts
TOLERANCE = 1e-4  # largest difference over the largest number

Gradients = dict[str, np.ndarray]  # by the name of the layer's parameter


@dataclass(frozen=True)
class Peer:
    """One implementation.

    Attributes
    ----------
    forward, both
        What is timed: y without anything for backward; y, gradient at x and at all parameters.
    read
        What `both` returned, as arrays in the layer's own layout: y, gradient at x, gradients.
    """

    name: str
    forward: Callable[[], Any]
    both: Callable[[], Any]
    read: Callable[[Any], tuple[np.ndarray, np.ndarray, Gradients]]
