"""`MoELayer`: choose, cap, dispatch, apply experts, combine; and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from . import kernels
from .capacity import NO_LIMIT, Capacity
from .dense import dense_backward, dense_forward
from .errors import FLOATS, check_array, check_choice, check_float, check_int
from .experts import ACTIVATIONS, dense_name, expert_flops, init_experts, up_name
from .routers import Router, make_router
from .routing import Routing
from .specials import init_specials, specials_backward, specials_forward

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class LayerContext:
    """What one forward pass leaves for backward, for metrics and for the curious.

    Attributes
    ----------
    routing
        Who went where.
    executed_rows, executed_flops
        Expert rows multiplied, counted where it happened, and the floating-point operations
        of the whole pass (gate, chosen experts, shared experts).
    y_SD
        Result of each kept assignment before weighting, sorted by expert (`plan`).
    rows_ND
        What `plan` takes rows from: x, or Soft MoE's slots.
    """

    routing: Routing
    plan: kernels.Plan
    executed_rows: int
    executed_flops: int
    x_ND: np.ndarray
    x_gate_ND: np.ndarray
    perturb_ND: np.ndarray | None
    rows_ND: np.ndarray
    weight_S: np.ndarray
    h_SH: np.ndarray | None
    y_SD: np.ndarray
    shared_h_NH: np.ndarray | None


@dataclass
class MoELayer:
    """A mixture-of-experts feed-forward layer: y = sum over chosen e of w_e f_e(x) + shared(x).

    Build one with `MoELayer.init`. The arrays in `params` are the truth: an in-place edit takes
    effect at the next call.

    Attributes
    ----------
    router, capacity, activation
        How tokens choose, who gets in, and what experts compute.
    params
        `gate_DE` (and the router's other projections), `w_gate_up_ED2F` (SwiGLU: gate half
        first) or `w_up_EDF`, `w_down_EFD`, optional `gate_bias_E`; shared experts, side by side
        as one network, under `shared_...`.
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
    check_finite: bool = field(default=True, repr=False)
    origin: object | None = field(default=None, repr=False)

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
            'swiglu', 'gelu' or 'relu'.
        seed, dtype
            Same seed, same bits; 'float32' or 'float64'.
        capacity
            Limit per expert; without one nothing is dropped.
        gate_scale
            Factor on the gate's initial spread; Switch's init scale of 0.1, a variance, is 0.316.

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
        check_float("gate_scale", gate_scale, 0.0)
        check_choice("activation", activation, ACTIVATIONS)
        check_choice("dtype", np.dtype(dtype).name, FLOATS)
        if isinstance(router, str):
            probe = make_router(router)
            router = make_router(router, k=k) if "k" in probe.options() else probe
        if not isinstance(router, Router):
            raise ValueError(f"router: got {router!r}, allowed is a registry name or a Router")
        router.check(n_experts)
        (capacity or NO_LIMIT).check(router, n_experts)
        rng = np.random.default_rng(seed)
        n_computing = n_experts - len(router.specials)
        check_int("n_experts", n_experts, len(router.specials) + 1, None, "one must compute")
        made = router.init_params(d_model, n_experts, rng)
        if "gate_DE" in made:
            made["gate_DE"] *= gate_scale
        made |= init_specials(router.specials, d_model, rng)
        params: Arrays = {name: array.astype(dtype) for name, array in made.items()}
        params |= init_experts(rng, n_computing, d_model, d_expert, activation, dtype)
        if n_shared:
            shared = init_experts(rng, 1, d_model, d_expert * n_shared, activation, dtype)
            params |= {_shared_name(name): array[0] for name, array in shared.items()}
        buffers = {name: np.zeros(n_experts, dtype) for name in router.buffers}
        return cls(router, activation, params, buffers, capacity or NO_LIMIT)

    @property
    def d_model(self) -> int:
        """Width of x and y, D."""
        return int(self.params["w_down_EFD"].shape[2])

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
        check_choice("dtype", np.dtype(dtype).name, FLOATS)
        return replace(
            self,
            params={name: array.astype(dtype) for name, array in self.params.items()},
            buffers={name: array.astype(dtype) for name, array in self.buffers.items()},
        )

    def __call__(self, x_ND: np.ndarray) -> np.ndarray:
        """Return y, (N, D), for x, (N, D); quicker than `forward`, which keeps more."""
        return self._forward(x_ND, keep=False)[0]

    def route(
        self,
        x_ND: np.ndarray,
        token_ids: np.ndarray | None = None,
        rng: np.random.Generator | None = None,
    ) -> Routing:
        """Return who would go where, without running any expert."""
        return self._route(self._check_x(x_ND), token_ids, rng)[0]

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
            (N,) integers, for routers that use them.
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
        x_ND = self._check_x(x_ND)
        routing, x_gate_ND, perturb_ND = self._route(x_ND, token_ids, rng, previous_NE)
        up_EDH, down_EFD = self._weights(self.params)
        flops = len(x_ND) * self.router.project_flops(self.d_model, self.n_experts)
        if routing.dispatch_NS is None or routing.combine_NS is None:
            rows_ND, plan = x_ND, self._plan(routing)
            y_SD, h_SH, rows = kernels.experts_forward(
                x_ND, plan, up_EDH, down_EFD, self.activation, keep
            )
            weight_S = routing.weight_A[plan.assignment_S]
            y_ND = kernels.combine(y_SD, weight_S, plan)
        else:
            rows_ND = kernels.matmul_tn(routing.dispatch_NS, x_ND)
            plan = _slot_plan(len(rows_ND), self.n_experts)
            y_SD, h_SH, rows = kernels.experts_forward(
                rows_ND, plan, up_EDH, down_EFD, self.activation, keep
            )
            weight_S = np.ones(len(rows_ND), self.dtype)
            y_ND = kernels.matmul(routing.combine_NS, y_SD)
            flops += 4 * routing.combine_NS.size * self.d_model
        flops += rows * expert_flops(self.d_model, self.d_expert, self.activation)
        if self.router.specials:
            special_ND, special_flops = specials_forward(
                x_ND, routing, self.router.specials, self.params
            )
            y_ND += special_ND
            flops += special_flops
        shared_h_NH = None
        if self._has_shared:
            up_DH, down_FD = self._shared_weights(self.params)
            shared_ND, shared_h_NH, rows_shared = dense_forward(
                x_ND, up_DH, down_FD, self.activation, keep
            )
            y_ND += shared_ND
            flops += rows_shared * expert_flops(self.d_model, len(down_FD), self.activation)
        context = LayerContext(
            routing, plan, rows, flops, x_ND, x_gate_ND, perturb_ND, rows_ND, weight_S, h_SH,
            y_SD, shared_h_NH,
        )  # fmt: skip
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
        """
        dy_ND = check_array("dy_ND", dy_ND, ctx.x_ND.shape, finite=self.check_finite)
        dy_ND = dy_ND.astype(self.dtype, copy=False)
        routing = ctx.routing
        dy_SD = (
            dy_ND if routing.combine_NS is None else kernels.matmul_tn(routing.combine_NS, dy_ND)
        )
        dx_SD, dweight_S, dup_EDH, ddown_EFD, _ = kernels.experts_backward(
            dy_SD, ctx.rows_ND, ctx.h_SH, ctx.weight_S, ctx.plan, *self._weights(self.params),
            self.activation,
        )  # fmt: skip
        grads: Arrays = {up_name(self.activation): dup_EDH, "w_down_EFD": ddown_EFD}
        dweight_A = np.zeros(routing.n_assignments, self.dtype)
        if routing.dispatch_NS is None:
            dx_ND = kernels.combine(dx_SD, np.ones_like(dweight_S), ctx.plan)
            dweight_A[ctx.plan.assignment_S] = dweight_S
            if self.router.specials:
                dspecial_ND, special_grads = specials_backward(
                    dy_ND, ctx.x_ND, routing, self.router.specials, self.params, dweight_A
                )
                dx_ND += dspecial_ND
                grads |= special_grads
            if extra and "weight_A" in extra:
                dweight_A += extra["weight_A"]
            drouted_NE = self.router.backward(routing, dweight_A)
        else:
            dx_ND = kernels.matmul(routing.dispatch_NS, dx_SD)
            drouted_NE = self.router.backward_slots(
                routing,
                ddispatch_NS=kernels.matmul_nt(ctx.x_ND, dx_SD),
                dcombine_NS=kernels.matmul_nt(dy_ND, ctx.y_SD),
            )
        if self._has_shared:
            dshared_ND, dup_DH, ddown_FD = self._shared_backward(dy_ND, ctx)
            dx_ND += dshared_ND
            grads[_shared_name(up_name(self.activation))] = dup_DH
            grads[_shared_name("w_down_EFD")] = ddown_FD
        dmade = self.router.backward_made(routing, drouted_NE)
        if dlogits_NE is not None:
            dmade["logits_NE"] = dmade["logits_NE"] + dlogits_NE
        for name in dmade.keys() & (extra or {}).keys():
            dmade[name] = dmade[name] + (extra or {})[name]
        dgate_ND, gate_grads = self.router.project_backward(ctx.x_gate_ND, self.params, dmade)
        dx_ND += dgate_ND if ctx.perturb_ND is None else dgate_ND * ctx.perturb_ND
        grads |= gate_grads | self.router.backward_params(routing, dmade["logits_NE"], dweight_A)
        inputs = self.router.backward_inputs(routing, dmade["logits_NE"], self.params)
        return dx_ND, {name: grads[name] for name in self.params} | inputs

    def expert_outputs(self, ctx: LayerContext, token: int) -> tuple[np.ndarray, np.ndarray]:
        """Experts that ran for one token and their unweighted results, (K,) and (K, D)."""
        check_int("token", token, 0, ctx.routing.n_tokens - 1)
        start, end = ctx.plan.token_start_N1[token : token + 2]
        slots = ctx.plan.slot_S[start:end]
        return ctx.routing.expert_A[ctx.plan.assignment_S[slots]], ctx.y_SD[slots]

    @property
    def n_params(self) -> int:
        """Numbers in all parameters."""
        return sum(array.size for array in self.params.values())

    @property
    def _has_shared(self) -> bool:
        return _shared_name("w_down_EFD") in self.params

    def _plan(self, routing: Routing) -> kernels.Plan:
        n_computing = len(self.params["w_down_EFD"])
        kept_A = routing.kept_A
        if self.router.specials:
            kept_A = kept_A & (routing.expert_A < n_computing)
        return kernels.dispatch_plan(
            routing.token_A, routing.expert_A, kept_A, routing.n_tokens, n_computing
        )

    def _weights(self, params: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return params[up_name(self.activation)], params["w_down_EFD"]

    def _shared_weights(self, params: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return params[_shared_name(up_name(self.activation))], params[_shared_name("w_down_EFD")]

    def _shared_backward(
        self, dy_ND: np.ndarray, ctx: LayerContext
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        assert ctx.shared_h_NH is not None
        up_DH, down_FD = self._shared_weights(self.params)
        return dense_backward(dy_ND, ctx.x_ND, ctx.shared_h_NH, up_DH, down_FD, self.activation)

    def _check_x(self, x_ND: np.ndarray) -> np.ndarray:
        x_ND = check_array("x_ND", x_ND, (None, self.d_model), finite=self.check_finite)
        return x_ND.astype(self.dtype, copy=False)

    def _route(
        self,
        x_ND: np.ndarray,
        token_ids: np.ndarray | None,
        rng: np.random.Generator | None,
        previous_NE: np.ndarray | None = None,
    ) -> tuple[Routing, np.ndarray, np.ndarray | None]:
        if token_ids is not None:
            token_ids = np.asarray(token_ids)
            if token_ids.shape != (len(x_ND),) or token_ids.dtype.kind not in "iu":
                raise ValueError(
                    f"token_ids: got {token_ids.dtype} of shape {token_ids.shape}, "
                    f"allowed are integers of shape ({len(x_ND)},)"
                )
        perturb_ND = self.router.perturb(x_ND, rng)
        x_gate_ND = x_ND if perturb_ND is None else x_ND * perturb_ND
        made = self.router.project(x_gate_ND, self.params, self.n_experts)
        logits_NE = made.pop("logits_NE")
        state = made | self.buffers
        for name in self.router.choice_params:
            state[name] = self.params[name]
        if previous_NE is not None:
            state["previous_NE"] = check_array(
                "previous_NE", previous_NE, (len(x_ND), self.n_experts), finite=False
            )
        routing = self.router.choose(logits_NE, rng=rng, token_ids=token_ids, **state)
        return self.capacity.apply(routing, rng, self.router), x_gate_ND, perturb_ND


def _slot_plan(n_slots: int, n_experts: int) -> kernels.Plan:
    """Slots as rows of their own, S / E for each expert in order."""
    slots = np.arange(n_slots)
    starts = np.arange(n_experts + 1) * (n_slots // n_experts)
    return kernels.Plan(slots, slots, starts, slots, np.arange(n_slots + 1))


def _shared_name(name: str) -> str:
    """`w_down_EFD` to `shared_w_down_FD`."""
    return f"shared_{dense_name(name)}"
