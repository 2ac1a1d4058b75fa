"""`MoELayer`: choose, cap, dispatch, apply experts, combine; and back.

Arrays carry their shapes in their names, here and in all of the library: `logits_NE` is (N, E).

    N   tokens of the batch              A   assignments, entries of a routing's list
    D   width of the model, d_model      S   slots: rows that experts multiply, sorted by expert
    E   experts, all of the pool         K   choices of a token
    F   hidden width of an expert        T   tokens of one expert
    H   columns of an expert's first product: 2F if it has a gate half, else F
    L   width of what latent experts get and give, in place of D

`E1` is E + 1, for starts and ends. A gradient's name is that of its array after a d: `dx_ND`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import kernels
from .arrays import Contract, check_latent, contract_of, model_width
from .capacity import NO_LIMIT, Capacity
from .choosing import route, route_backward
from .context import LayerContext, check_context, sign
from .errors import check_array, check_dtype, check_float, check_int
from .experts import check_activation
from .fresh import fresh_params
from .from_arrays import arrays_from
from .identity import as_html, options_words, same_arrays, same_options, sizes_words
from .latent_experts import DOWN, has_latent
from .layer_file import write_layer
from .pool import pool_backward, pool_forward
from .router_check import check_added, check_gradients, check_pairs, warn_of_gate
from .routers import Router, router_of
from .routing import Routing
from .shared import has_shared, shared_backward, shared_forward

Arrays = dict[str, np.ndarray]


@dataclass(eq=False, repr=False)
class MoELayer:
    """A mixture-of-experts feed-forward layer: y = sum over chosen e of w_e f_e(x) + shared(x).

    Build one with `MoELayer.init`. The layer keeps no copies of the arrays in `params`: an edit in
    place takes effect at the next call.

    Attributes
    ----------
    router, capacity, activation
        How tokens choose, who gets in, and what experts compute.
    params
        `gate_DE` (and the router's other projections), `w_gate_up_ED2F` (SwiGLU: gate half
        first) or `w_up_EDF`, `w_down_EFD`, optional `gate_bias_E`; shared experts, side by side
        as one network, under `shared_...`. Optional, as some published models have them:
        `shared_gate_D1`, the shared result times sigmoid(x @ shared_gate_D1) (Qwen2-MoE);
        `b_gate_up_E2F` or `b_up_EF`, and `b_down_ED`, biases of the experts (gpt-oss);
        `latent_down_DL` and `latent_up_LD`, between which experts are L wide wherever their names
        say D (Nemotron 3): y = (sum over e of w_e f_e(x @ down)) @ up + shared(x).
    buffers
        Named arrays without gradient, such as `select_bias_E`.
    check_finite
        Refuse NaN and infinity in x; switch it off for speed.
    origin
        Where a loaded layer came from (`moe.load_layer`); None for all others.
    """

    router: Router
    activation: str
    params: Arrays
    buffers: Arrays
    capacity: Capacity = NO_LIMIT
    check_finite: bool = True
    origin: object | None = None
    _mark: bytes = field(default_factory=lambda: os.urandom(8), init=False)
    _contract: Contract | None = field(default=None, init=False)

    @classmethod
    def init(
        cls,
        d_model: int,
        d_expert: int,
        n_experts: int,
        router: str | Router = "topk",
        k: int = 2,
        n_shared: int = 0,
        activation: str = "swiglu",
        seed: int = 0,
        dtype: str = "float32",
        capacity: Capacity | None = None,
        gate_scale: float = 1.0,
        gate_init: str = "normal",
        d_latent: int = 0,
    ) -> MoELayer:
        """Make a layer with fresh weights.

        Parameters
        ----------
        d_model, d_expert, n_experts
            D, F and E.
        router
            A registry name (`moe.ROUTERS`) or a router object.
        k
            Experts per token, for routers named here that take it.
        n_shared
            Shared experts of width F, applied to every token.
        activation
            'swiglu', 'gelu', 'relu', 'relu2' (its square) or 'clamped_swiglu' (gpt-oss), the last
            with options if need be: 'clamped_swiglu(alpha=1.702,limit=7.0,plus=1.0)'.
        seed, dtype
            Same seed, same bits; 'float32' or 'float64'.
        capacity
            Limit per expert; without one nothing is dropped.
        gate_scale
            Factor on the gate's initial spread; Switch's init scale of 0.1, a variance, is 0.316.
        gate_init
            'normal'; 'equal': the gate's columns, one an expert, start equally long (Qwen3-Next);
            'orthonormal': and at right angles (SimBal), if D is no less than E.
        d_latent
            L, width of what the routed experts get and give; 0 for D, without products between.

        Raises
        ------
        ValueError
            If an argument is not allowed; the message names it.
        """
        check_int("d_model", d_model, 1)
        check_int("d_expert", d_expert, 1)
        check_int("n_experts", n_experts, 1)
        check_int("n_shared", n_shared, 0)
        check_int("seed", seed, 0)
        check_int("d_latent", d_latent, 0)
        check_float("gate_scale", gate_scale, 0.0)
        check_activation(activation)
        dtype = check_dtype(dtype)
        router = router_of(router, k)
        router.check(n_experts)
        (capacity or NO_LIMIT).check(router, n_experts)
        if d_latent:
            check_latent("d_latent", router.specials)
        params = fresh_params(
            router, d_model, d_expert, n_experts, n_shared, activation, seed, dtype, gate_scale,
            gate_init, d_latent,
        )  # fmt: skip
        buffers = {name: np.zeros(n_experts, dtype) for name in router.buffers}
        return cls(router, activation, params, buffers, capacity or NO_LIMIT)

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, Any],
        order: str = "moe",
        router: str | Router = "topk",
        k: int = 2,
        activation: str = "swiglu",
        dtype: str | None = None,
        capacity: Capacity | None = None,
    ) -> MoELayer:
        """Make a layer of existing weights, which are copied.

        Parameters
        ----------
        arrays
            Arrays or tensors by name; of bfloat16 and float16 too, and parameters that need a
            gradient. In place of an array of all experts there may be a list, one per expert.

            In order 'moe' these are the names of `params` and `buffers`. In all others `gate`
            is (E, D), `gate_bias` and `select_bias` are (E,), `shared_gate_proj` and
            `shared_up_proj` (F, D), `shared_down_proj` (D, F), `shared_gate` (1, D), and there may
            be `down_proj_bias` and the like. `latent_down_proj` is (L, D) and `latent_up_proj`
            (D, L): the routed experts then have L for D. A router's further parameters keep their
            names.
        order
            How the experts lie. 'moe': `w_gate_up_ED2F`, `w_down_EFD`.
            'torch': `gate_proj` and `up_proj` (E, F, D), `down_proj` (E, D, F), as nn.Linear does.
            'transformers': `gate_up_proj` (E, 2F, D), gate half first, `down_proj` (E, D, F).
            'llama4': (E, D, 2F) and (E, F, D). 'gpt_oss': the same, gate and up alternating.
        router, k, activation, capacity
            As in `init`.
        dtype
            'float32' or 'float64'; without it float64 if one of the arrays is, else float32.

        Raises
        ------
        ValueError
            If an array is missing, unknown, or of another shape than the others say.
        """
        kind = router_of(router, k)
        dtype = None if dtype is None else check_dtype(dtype)
        params, buffers = arrays_from(arrays, order, kind, check_activation(activation), dtype)
        layer = cls(kind, activation, params, buffers, capacity or NO_LIMIT)
        layer.check()
        return layer

    def save(self, path: str | Path) -> None:
        """Write router, activation, capacity, parameters and buffers to one safetensors file.

        `moe.load` reads it back bit for bit. What is not kept: `check_finite` and `origin`.

        Raises
        ------
        ValueError
            If the path is none, the router is not registered (`moe.register_router`), or an
            array or option is not allowed.
        """
        self.check()
        write_layer(path, self.router, self.capacity, self.activation, self.params, self.buffers)

    def check(self) -> None:
        """Raise ValueError if an array or option does not fit; every call does this first."""
        self._checked()

    def __eq__(self, other: object) -> bool:
        """Whether it computes the same: equal options, and arrays equal to the last bit."""
        if not isinstance(other, MoELayer):
            return NotImplemented
        return (
            self.activation == other.activation
            and same_options(self.router, other.router)
            and same_options(self.capacity, other.capacity)
            and same_arrays(self.params, other.params)
            and same_arrays(self.buffers, other.buffers)
        )

    def __repr__(self) -> str:
        router, sizes = options_words(self.router), sizes_words(self.params)
        limit = "" if self.capacity == NO_LIMIT else f", {options_words(self.capacity)}"
        return f"MoELayer({router}, {self.activation}{limit}: {sizes})"

    def _repr_html_(self) -> str:
        return as_html("MoELayer", repr(self), {"params": self.params, "buffers": self.buffers})

    @property
    def d_model(self) -> int:
        """Width of x and y, D."""
        return model_width(self.params)

    @property
    def d_latent(self) -> int:
        """Width of what latent experts get and give, L; 0 if the layer has others."""
        return int(self.params[DOWN].shape[1]) if has_latent(self.params) else 0

    @property
    def d_expert(self) -> int:
        """Width of an expert, F."""
        return int(self.params["w_down_EFD"].shape[1])

    @property
    def n_experts(self) -> int:
        """Routed experts, E, those that compute nothing included."""
        return int(self.params["w_down_EFD"].shape[0]) + len(self.router.specials)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that the layer computes in."""
        return self.params["w_down_EFD"].dtype

    def astype(self, dtype: str) -> MoELayer:
        """Return a copy that computes in another dtype."""
        dtype = check_dtype(dtype)
        return replace(
            self,
            params={name: array.astype(dtype) for name, array in self.params.items()},
            buffers={name: array.astype(dtype) for name, array in self.buffers.items()},
        )

    def __call__(
        self,
        x_ND: np.ndarray,
        token_ids: np.ndarray | None = None,
        previous_NE: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return y, (N, D), as `forward` does, but faster: nothing is kept for backward."""
        return self._forward(x_ND, None, token_ids, previous_NE, keep=False)[0]

    def route(
        self,
        x_ND: np.ndarray,
        token_ids: np.ndarray | None = None,
        rng: np.random.Generator | None = None,
        previous_NE: np.ndarray | None = None,
    ) -> Routing:
        """Return which experts each token would go to, running none; arguments as in `forward`."""
        contract = self._checked()
        x_ND = self._check_x(contract, x_ND)
        return route(contract, self.params, self.buffers, x_ND, token_ids, rng, previous_NE)[0]

    def forward(
        self,
        x_ND: np.ndarray,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        previous_NE: np.ndarray | None = None,
    ) -> tuple[np.ndarray, LayerContext]:
        """Return y and what backward needs.

        Parameters
        ----------
        x_ND
            Tokens, (N, D), float32 or float64; N may be 0.
        rng
            Source of router noise while training; without it there is none.
        token_ids
            (N,) integers, for routers that look experts up in a table (hash, deepseek_v4 with
            `by_token`); without them a token's position stands for its id.
        previous_NE
            Logits of the layer before, (N, E), for routers with a gating residual.

        Raises
        ------
        ValueError
            If x has another shape or dtype, or holds NaN or infinity.
        """
        return self._forward(x_ND, rng, token_ids, previous_NE)

    def _forward(
        self,
        x_ND: np.ndarray,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        previous_NE: np.ndarray | None = None,
        keep: bool = True,
    ) -> tuple[np.ndarray, LayerContext]:
        """`forward`; without `keep` the context lacks what only backward needs."""
        contract = self._checked()
        x_ND = self._check_x(contract, x_ND)
        with kernels.counting() as count:
            routing, x_gate_ND, perturb_ND = route(
                contract, self.params, self.buffers, x_ND, token_ids, rng, previous_NE
            )
            routed, latent_NL, sum_NL = pool_forward(
                self.router, self.activation, self.params, x_ND, routing, keep
            )
            y_ND, plan, rows, rows_ND, weight_S, h_SH, y_SD = routed
            shared_h_NH = shared_weight_N = None
            if has_shared(self.params):
                shared_ND, shared_h_NH, shared_weight_N = shared_forward(
                    self.params, self.activation, x_ND, keep
                )
                y_ND += shared_ND
        context = LayerContext(
            routing, plan, rows, count.flops, x_ND, x_gate_ND, perturb_ND, rows_ND, weight_S, h_SH,
            y_SD, shared_h_NH, shared_weight_N, latent_NL, sum_NL,
        )  # fmt: skip
        sign(context, contract.owner)
        return y_ND, context

    def backward(
        self,
        dy_ND: np.ndarray,
        ctx: LayerContext,
        dlogits_NE: np.ndarray | None = None,
        extra: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, Arrays]:
        """Return the gradient at x and at every parameter.

        Parameters
        ----------
        dy_ND
            Gradient at y, (N, D).
        ctx
            From `forward`; it stays valid for further calls.
        dlogits_NE
            Gradient that reaches the logits from elsewhere, such as a balance loss.
        extra
            Likewise, by name: 'weight_A' reaches the assignments' weights, '<name>_NE' another
            of the router's projections.

        Returns
        -------
        dx_ND, grads
            `grads` has the keys and shapes of `params`, and 'previous_NE' if forward got that.

        Raises
        ------
        ValueError
            If a gradient has another shape than what it is the gradient of, `extra` has an
            unknown name, or the context is another layer's.
        """
        contract = self._checked()
        check_context(ctx, LayerContext, contract.owner)
        if not self.router.gate_learns:
            warn_of_gate(self.router)
        dtype, routing = contract.dtype, ctx.routing
        dy_ND = check_array("dy_ND", dy_ND, ctx.x_ND.shape, finite=self.check_finite)
        dy_ND = dy_ND.astype(dtype, copy=False)
        # The caller may have written into its arrays since forward, and kernels follow them again.
        check_pairs(routing, "ctx.routing")
        sizes = {name: (len(dy_ND), width) for name, width in contract.widths.items()}
        added = check_added(dlogits_NE, extra, sizes, routing, dtype)
        dx_ND, dweight_A, drouted_NE, grads = pool_backward(
            self.router, self.activation, self.params, dy_ND, ctx, added.get("weight_A")
        )
        if ctx.shared_h_NH is not None:
            dshared_ND, shared_grads = shared_backward(
                self.params, self.activation, dy_ND, ctx.x_ND, ctx.shared_h_NH,
                ctx.shared_weight_N,
            )  # fmt: skip
            dx_ND += dshared_ND
            grads |= shared_grads
        dgate_ND, gate_grads, inputs = route_backward(
            contract, self.params, ctx, dweight_A, drouted_NE, added, sizes
        )
        dx_ND += dgate_ND
        grads |= gate_grads
        return dx_ND, check_gradients(grads, contract.shapes, dtype, contract.by) | inputs

    def expert_outputs(self, ctx: LayerContext, token: int) -> tuple[np.ndarray, np.ndarray]:
        """Experts that ran for one token and their unweighted results, (K,) and (K, D or L)."""
        check_context(ctx, LayerContext, self._checked().owner)
        check_int("token", token, 0, ctx.routing.n_tokens - 1)
        start, end = ctx.plan.token_start_N1[token : token + 2]
        slots = ctx.plan.slot_S[start:end]
        return ctx.routing.expert_A[ctx.plan.assignment_S[slots]], ctx.y_SD[slots]

    @property
    def n_params(self) -> int:
        """Numbers in all parameters."""
        return sum(array.size for array in self.params.values())

    def _checked(self) -> Contract:
        """The contract, made anew only if something other than numbers changed since."""
        contract = self._contract
        if contract is None or not contract.still_holds(self):
            contract = self._contract = contract_of(self)
        return contract

    def _check_x(self, contract: Contract, x_ND: np.ndarray) -> np.ndarray:
        x_ND = check_array("x_ND", x_ND, (None, contract.d_model), finite=self.check_finite)
        return x_ND.astype(contract.dtype, copy=False)
