"""`DenseFFN`, the yardstick: one network for every token, on the same kernels as the experts."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from . import kernels
from .arrays import check_dense
from .context import check_context, sign
from .errors import check_array, check_dtype, check_int
from .experts import check_activation, dense_name, init_experts, row_plan, up_name
from .identity import as_html, same_arrays, sizes_words

Arrays = dict[str, np.ndarray]


def dense_forward(
    x_ND: np.ndarray, up_DH: np.ndarray, down_FD: np.ndarray, activation: str, keep: bool = True
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Result (N, D), first product (N, H) if kept, and rows executed of one network."""
    plan = row_plan(np.array([0, len(x_ND)]))
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
    """Gradients at x, at both matrices of one network, and at the weights of its results."""
    weight_N = np.ones(len(x_ND), x_ND.dtype) if weight_N is None else weight_N
    plan = row_plan(np.array([0, len(x_ND)]))
    dx_ND, dweight_N, dup_1DH, ddown_1FD = kernels.experts_backward(
        dy_ND, x_ND, h_NH, weight_N, plan, up_DH[None], down_FD[None], activation
    )
    return dx_ND, dup_1DH[0], ddown_1FD[0], dweight_N


@dataclass(frozen=True)
class DenseContext:
    """What `DenseFFN.forward` keeps for backward."""

    x_ND: np.ndarray
    h_NH: np.ndarray | None
    executed_rows: int
    executed_flops: int
    owner: tuple[Any, ...] | None = field(default=None, init=False, repr=False, compare=False)


@dataclass(eq=False, repr=False)
class DenseFFN:
    """An ordinary feed-forward layer, the yardstick: every token uses every weight.

    Attributes
    ----------
    params
        `w_gate_up_D2F` (SwiGLU: gate half first) or `w_up_DF`, and `w_down_FD`.
    """

    activation: str
    params: Arrays
    check_finite: bool = True
    _mark: bytes = field(default_factory=lambda: os.urandom(8), init=False)

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
        check_activation(activation)
        dtype = check_dtype(dtype)
        experts = init_experts(np.random.default_rng(seed), 1, d_model, d_hidden, activation, dtype)
        return cls(activation, {dense_name(name): array[0] for name, array in experts.items()})

    def __eq__(self, other: object) -> bool:
        """Whether it computes the same: equal activation, and arrays equal to the last bit."""
        if not isinstance(other, DenseFFN):
            return NotImplemented
        return self.activation == other.activation and same_arrays(self.params, other.params)

    def __repr__(self) -> str:
        return f"DenseFFN({self.activation}: {sizes_words(self.params)})"

    def _repr_html_(self) -> str:
        return as_html("DenseFFN", repr(self), {"params": self.params})

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
        dtype = check_dtype(dtype)
        return replace(self, params={n: array.astype(dtype) for n, array in self.params.items()})

    def __call__(self, x_ND: np.ndarray, token_ids: np.ndarray | None = None) -> np.ndarray:
        """Return y, (N, D), as `forward` does, but faster: nothing is kept for backward."""
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
        up_DH, down_FD = self._weights()
        x_ND = check_array("x_ND", x_ND, (None, down_FD.shape[1]), finite=self.check_finite)
        x_ND = x_ND.astype(down_FD.dtype, copy=False)
        with kernels.counting() as count:
            y_ND, h_NH, rows = dense_forward(x_ND, up_DH, down_FD, self.activation, keep)
        context = DenseContext(x_ND, h_NH, rows, count.flops)
        sign(context, self._owner(down_FD))
        return y_ND, context

    def backward(self, dy_ND: np.ndarray, ctx: DenseContext) -> tuple[np.ndarray, Arrays]:
        """Return the gradient at x and at every parameter.

        Raises
        ------
        ValueError
            If `dy_ND` has another shape than y, or the context is another layer's.
        """
        up_DH, down_FD = self._weights()
        check_context(ctx, DenseContext, self._owner(down_FD))
        dy_ND = check_array("dy_ND", dy_ND, ctx.x_ND.shape, finite=self.check_finite)
        assert ctx.h_NH is not None
        dx_ND, dup_DH, ddown_FD, _ = dense_backward(
            dy_ND.astype(down_FD.dtype, copy=False), ctx.x_ND, ctx.h_NH, up_DH, down_FD,
            self.activation,
        )  # fmt: skip
        grads = {dense_name(up_name(self.activation)): dup_DH, "w_down_FD": ddown_FD}
        return dx_ND, {name: grads[name] for name in self.params}

    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Both arrays, (D, H) and (F, D).

        Raises
        ------
        ValueError
            If one is missing or has a shape, type or layout that is not allowed.
        """
        return check_dense(self.params, self.activation)

    def _owner(self, down_FD: np.ndarray) -> tuple[Any, ...]:
        """Signature of this layer's contexts; see `moe.context`."""
        return self._mark, self.activation, down_FD.shape, down_FD.dtype
