"""Central finite differences, shared by the gradient tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np


def worst_error(
    value: Callable[[], float],
    arrays: Mapping[str, np.ndarray],
    grads: Mapping[str, np.ndarray],
    step: float = 1e-6,
    probes: int = 8,
) -> float:
    """Largest |finite difference - gradient| / max(1, |gradient|) over random entries.

    `arrays` are changed in place and put back; `value` is computed from them.
    """
    rng = np.random.default_rng(0)
    worst = 0.0
    for name, array in arrays.items():
        assert grads[name].shape == array.shape, name
        for _ in range(min(probes, array.size)):
            at = tuple(int(rng.integers(0, n)) for n in array.shape)
            before = array[at]
            array[at] = before + step
            high = value()
            array[at] = before - step
            low = value()
            array[at] = before
            exact = grads[name][at]
            error = abs((high - low) / (2 * step) - exact) / max(1.0, abs(exact))
            worst = max(worst, error)
    return worst
