"""`DenseFFN`, the yardstick: one network for every token, on the same kernels as the experts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from . import kernels
from .errors import FLOATS, check_array, check_choice, check_int
from .experts import ACTIVATIONS, dense_name, expert_flops, init_experts

Arrays = dict[str, np.ndarray]


def _all_tokens_plan(n_tokens: int) -> kernels.Plan:
    """One expert, every token: how a dense or shared network uses the expert kernels."""
    slots, ends = np.arange(n_tokens), np.array([0, n_tokens])
    return kernels.Plan(slots, slots, ends, slots, np.arange(n_tokens + 1))


def dense_forward(
    x_ND: np.ndarray, up_DH: np.ndarray, down_FD: np.ndarray, activation: str, keep: bool = True
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Result (N, D), first product (N, H) if kept, and rows executed of one network."""
    plan = _all_tokens_plan(len(x_ND))
    y_ND, h_NH, rows = kernels.experts_forward(
        x_ND, plan, up_DH[None], down_FD[None], activation, keep
    )
    return y_ND, h_NH, rows


def dense_backward(
    dy_ND: np.ndarray,
    x_ND: np.ndarray,
    h_NH: np.ndarray,
    up_DH: np.ndarray,
    down_FD: np.ndarray,
    activation: str,
    weight_N: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gradients at x, at both weights of one network, and at what its results are weighed with."""
    weight_N = np.ones(len(x_ND), x_ND.dtype) if weight_N is None else weight_N
    dx_ND, dweight_N, dup_1DH, ddown_1FD, _ = kernels.experts_backward(
        dy_ND, x_ND, h_NH, weight_N, _all_tokens_plan(len(x_ND)), up_DH[None], down_FD[None],
        activation,
    )  # fmt: skip
    return dx_ND, dup_1DH[0], ddown_1FD[0], dweight_N


@dataclass(frozen=True)
class DenseContext:
    """What `DenseFFN.forward` leaves for backward."""

    x_ND: np.ndarray
    h_NH: np.ndarray | None
    executed_rows: int
    executed_flops: int


@dataclass
class DenseFFN:
    """An ordinary feed-forward layer, the yardstick: every token uses every weight.

    Attributes
    ----------
    params
        `w_gate_up_D2F` (SwiGLU: gate half first) or `w_up_DF`, and `w_down_FD`.
    """

    activation: str
    params: Arrays
    check_finite: bool = field(default=True, repr=False)

    @classmethod
    def init(
        cls,
        d_model: int,
        d_hidden: int,
        activation: str = "swiglu",
        seed: int = 0,
        dtype: str = "float32",
    ) -> DenseFFN:
        """Make a layer of width `d_hidden` with fresh weights; arguments as in `MoELayer.init`."""
        check_int("d_model", d_model, 1)
        check_int("d_hidden", d_hidden, 1)
        check_int("seed", seed, 0)
        check_choice("activation", activation, ACTIVATIONS)
        check_choice("dtype", np.dtype(dtype).name, FLOATS)
        made = init_experts(np.random.default_rng(seed), 1, d_model, d_hidden, activation, dtype)
        return cls(activation, {dense_name(name): array[0] for name, array in made.items()})

    @property
    def d_model(self) -> int:
        """Width of x and y, D."""
        return int(self.params["w_down_FD"].shape[1])

    @property
    def d_hidden(self) -> int:
        """Width inside."""
        return int(self.params["w_down_FD"].shape[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that the layer computes in."""
        return self.params["w_down_FD"].dtype

    @property
    def n_params(self) -> int:
        """Numbers in all parameters."""
        return sum(array.size for array in self.params.values())

    def astype(self, dtype: str) -> DenseFFN:
        """Return a copy that computes in another dtype."""
        check_choice("dtype", np.dtype(dtype).name, FLOATS)
        return replace(self, params={n: array.astype(dtype) for n, array in self.params.items()})

    def __call__(self, x_ND: np.ndarray) -> np.ndarray:
        """Return y, (N, D), for x, (N, D); quicker than `forward`, which keeps more."""
        return self._forward(x_ND, keep=False)[0]

    def forward(
        self,
        x_ND: np.ndarray,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
    ) -> tuple[np.ndarray, DenseContext]:
        """Return y and what backward needs; `rng` and `token_ids` change nothing here."""
        return self._forward(x_ND)

    def _forward(self, x_ND: np.ndarray, keep: bool = True) -> tuple[np.ndarray, DenseContext]:
        x_ND = check_array("x_ND", x_ND, (None, self.d_model), finite=self.check_finite)
        x_ND = x_ND.astype(self.dtype, copy=False)
        y_ND, h_NH, rows = dense_forward(x_ND, *self._weights(), self.activation, keep)
        flops = rows * expert_flops(self.d_model, self.d_hidden, self.activation)
        return y_ND, DenseContext(x_ND, h_NH, rows, flops)

    def backward(self, dy_ND: np.ndarray, ctx: DenseContext) -> tuple[np.ndarray, Arrays]:
        """Return the gradient at x and at every parameter."""
        dy_ND = check_array("dy_ND", dy_ND, ctx.x_ND.shape, finite=self.check_finite)
        assert ctx.h_NH is not None
        dx_ND, dup_DH, ddown_FD, _ = dense_backward(
            dy_ND.astype(self.dtype, copy=False), ctx.x_ND, ctx.h_NH, *self._weights(),
            self.activation,
        )  # fmt: skip
        names = list(self.params)
        return dx_ND, {names[0]: dup_DH, names[1]: ddown_FD}

    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        up_DH, down_FD = self.params.values()
        return up_DH, down_FD
