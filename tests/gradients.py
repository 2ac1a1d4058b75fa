"""Central finite differences, shared by the gradient tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

import moe


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


def layer_error(
    layer: moe.MoELayer | moe.DenseFFN, x_ND: np.ndarray, g_ND: np.ndarray, **how: float
) -> float:
    """`worst_error` of a layer at every parameter and at x, of its result times `g_ND` in sum.

    `how` goes to `worst_error`.
    """
    dx_ND, grads = layer.backward(g_ND, layer.forward(x_ND)[1])  # type: ignore[arg-type]
    assert list(grads) == list(layer.params)
    return worst_error(
        lambda: float((layer(x_ND) * g_ND).sum()),
        layer.params | {"x": x_ND},
        grads | {"x": dx_ND},
        **how,  # type: ignore[arg-type]
    )
