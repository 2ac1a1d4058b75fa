"""The unified scaling law of routed language models: loss from parameters per token and experts.

Source of the form: Clark et al., Unified Scaling Laws for Routed Language Models, arXiv 2202.01169,
equation 1. The constants are fitted here, to the authors' published runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

START = (-0.08, -0.12, 0.01, 1.1, 0.0, 6.0)  # of a fit: any start near a power law ends alike


@dataclass(frozen=True)
class Law:
    """log10 L = a log10 N + b log10 Ê + c log10 N log10 Ê + d.

    Ê counts experts as far as they help: 1/Ê = 1/(E - 1 + 1/(1/start - 1/most)) + 1/most, so that
    one expert counts `start` and no number of them more than `most`.

    Attributes
    ----------
    a, b, c, d
        Exponents of parameters per token N, of experts, of both, and the constant.
    start, most
        What one expert counts, and where their number saturates.

    Examples
    --------
    >>> law = Law(a=-0.1, b=-0.1, c=0.01, d=1.0, start=2.0, most=100.0)
    >>> round(law.counted(1.0), 9), round(law.counted(1e12), 6)
    (2.0, 100.0)
    >>> f"{law.border:.0e}"
    '1e+10'
    """

    a: float
    b: float
    c: float
    d: float
    start: float
    most: float

    def counted(self, experts: float) -> float:
        """Ê of so many experts; one is a dense model."""
        first = 1 / (1 / self.start - 1 / self.most)
        return 1 / (1 / (experts - 1 + first) + 1 / self.most)

    def loss(self, active: float, experts: float) -> float:
        """Validation loss in nats of a model with so many parameters per token and experts."""
        n, e = np.log10(active), np.log10(self.counted(experts))
        return float(10 ** (self.a * n + self.b * e + self.c * n * e + self.d))

    def worth(self, active: float, experts: float) -> float:
        """Parameters of the dense model with the same loss."""
        one = np.log10(self.counted(1))
        left = np.log10(self.loss(active, experts)) - self.d - self.b * one
        return float(10 ** (left / (self.a + self.c * one)))

    @property
    def border(self) -> float:
        """Parameters per token from which on the formula says that more experts do not help."""
        return float(10 ** (-self.b / self.c))


def fit(active_R: np.ndarray, experts_R: np.ndarray, loss_R: np.ndarray) -> Law:
    """The law with the least squared error of log10 L over R runs.

    Raises
    ------
    ValueError
        If there are fewer runs than constants, the runs do not have one loss each, or a number
        is not finite and > 0 (experts: not finite and >= 1).
    """
    active_R, experts_R, loss_R = (
        np.asarray(values, np.float64) for values in (active_R, experts_R, loss_R)
    )
    if not len(active_R) == len(experts_R) == len(loss_R) >= len(START):
        raise ValueError(
            f"runs: got {len(active_R)}, {len(experts_R)} and {len(loss_R)} values, allowed are "
            f"as many of each, at least {len(START)}"
        )
    columns = {"active_R": (active_R, 0.0), "experts_R": (experts_R, 1.0), "loss_R": (loss_R, 0.0)}
    for name, (values_R, least) in columns.items():
        wrong_R = ~np.isfinite(values_R) | (values_R < least) | (values_R == 0)
        if wrong_R.any():
            raise ValueError(
                f"{name}: got {values_R[wrong_R][0]:g}, allowed are finite numbers "
                f"{'>= 1' if least else '> 0'}"
            )
    from scipy.optimize import least_squares

    n_R, wanted_R = np.log10(active_R), np.log10(loss_R)

    def off(constants: np.ndarray) -> np.ndarray:
        a, b, c, d, start, most = constants
        # Free numbers become 1 < start < most, which the formula needs.
        law = Law(a, b, c, d, 1 + np.exp(start), 1 + np.exp(start) + np.exp(most))
        e_R = np.log10(law.counted(experts_R))  # type: ignore[arg-type]
        return np.asarray(a * n_R + b * e_R + c * n_R * e_R + d - wanted_R)

    tight = dict.fromkeys(("xtol", "ftol", "gtol"), 1e-14)
    found = least_squares(off, START, x_scale="jac", max_nfev=5000, **tight).x
    a, b, c, d, start, most = map(float, found)
    first = 1 + float(np.exp(start))
    return Law(a, b, c, d, first, first + float(np.exp(most)))
