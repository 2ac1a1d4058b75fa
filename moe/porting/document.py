"""`golden`: 64 named tokens through a tiny layer of a family, with all numbers, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..balance import make_balancer
from ..checkpoints.families import LOADABLE
from ..checkpoints.save import save_layer
from ..errors import check_choice, check_dtype, check_int, shown, writing
from ..kernels.activation_text import GATED, parse
from ..layer import MoELayer
from ..routers.fixed_k import EPS, FixedK, choices
from ..routers.sparsemixer import SparseMixer
from ..routing import Routing
from .gate import Gate
from .tiny import drawn, inputs_of, tiny_config, tiny_layer
from .tokens import (
    BROKEN,
    CLAMPED,
    EVEN,
    HIGH,
    LOW,
    N_TOKENS,
    PADDING,
    PLAIN,
    ZEROS,
    named_logits,
)

SCHEMA = "moescope-golden-1"
# Largest difference that counts as none, over the largest number of the row it stands in: what
# another exponential and another order of sums may make of it.
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
AUX = make_balancer("aux", coefficient=1.0, scale="megatron")  # E sum f P, f summing to one
LOSS_OF_EVEN = "even load: the loss is one"
LOSS_OF_ALL_P = "P averages all experts, chosen or not"
LOSS_OF_TWO = "two layers: each by itself, then the mean"
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class GoldenLoss:
    """A balance loss: the mean over layers of E sum_i f_i P_i.

    Attributes
    ----------
    name
        What it tests.
    layers
        Numbers of the tokens that each layer sees.
    value
        The loss.
    """

    name: str
    layers: tuple[tuple[int, ...], ...]
    value: float


@dataclass(frozen=True, eq=False)
class Golden:
    """Golden vectors of one family.

    Attributes
    ----------
    family, config, trap
        The `model_type`, the config.json of the layer, and what is easily got wrong.
    dtype, seed
        Type of all arrays, and what drew them.
    layer
        The layer itself; `moe.save_layer` writes it as a checkpoint.
    names
        What each token tests.
    losses
        Balance losses of some of the tokens.
    arrays
        By name: x_ND, logits_NE, choices_NK, weights_NK, y_ND, mask_N (0 for padding), dy_ND (the
        gradient at y), all parameters, and the gradient at each behind a `d_`.
    """

    family: str
    config: Mapping[str, Any]
    trap: str
    dtype: str
    seed: int
    layer: MoELayer
    names: tuple[str, ...]
    losses: tuple[GoldenLoss, ...]
    arrays: Mapping[str, np.ndarray] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """What the file holds; arrays are flat lists in C order, and NaN is null."""
        layer, sizes = self.layer, self.arrays
        return {
            "schema": SCHEMA,
            "family": self.family,
            "dtype": self.dtype,
            "seed": self.seed,
            "tolerance": TOLERANCE[self.dtype],
            "trap": self.trap,
            "tokens": N_TOKENS,
            "d_model": layer.d_model,
            "d_expert": layer.d_expert,
            "n_experts": layer.n_experts,
            "n_identity": len(layer.router.specials),
            "k": sizes["choices_NK"].shape[1],
            "d_shared": len(layer.params.get("shared_w_down_FD", ())),
            **_gate_words(layer),
            **_expert_words(layer),
            "names": list(self.names),
            "losses": [vars(loss) for loss in self.losses],
            **{name: _numbers(array) for name, array in sizes.items()},
            # Last, so that a reader that searches for a key finds the one above.
            "shapes": {name: list(array.shape) for name, array in sizes.items()},
            "config": self.config,
        }

    def save(self, path: str | Path) -> None:
        """Write the file: JSON, one key a line.

        Raises
        ------
        ValueError
            If the file cannot be written.
        """
        lines = [
            f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'), allow_nan=False)}"
            for key, value in self.as_json().items()
        ]
        with writing("out", path):
            Path(path).write_text("{" + ",\n".join(lines) + "}\n", "utf-8")

    def save_checkpoint(self, folder: str | Path) -> None:
        """Write the layer as its family's config.json and model.safetensors.

        Raises
        ------
        ValueError
            If the folder holds a checkpoint already.
        """
        save_layer(self.layer, folder)

    def failures(
        self,
        choices_NK: np.ndarray,
        weights_NK: np.ndarray,
        y_ND: np.ndarray | None = None,
        losses: Sequence[float] = (),
    ) -> tuple[str, ...]:
        """Names of the tokens and losses that a port gets wrong, in their order.

        Parameters
        ----------
        choices_NK, weights_NK
            The port's experts and their weights, in any order.
        y_ND
            Its results, if it computes any.
        losses
            Its balance losses, as many of `losses` as it has, in their order.

        Raises
        ------
        ValueError
            If an array has another shape than the one here, or there are more losses than here.
        """
        right_NK, weight_NK = self.arrays["choices_NK"], self.arrays["weights_NK"]
        got_NK = self._like("choices_NK", choices_NK)
        broken_N = np.isnan(weight_NK).any(axis=1)  # whose choices mean nothing
        differs_N = (np.sort(got_NK, axis=1) != np.sort(right_NK, axis=1)).any(axis=1) & ~broken_N
        same_NK = np.where((differs_N | broken_N)[:, None], right_NK, got_NK)
        n_experts = self.layer.n_experts
        differs_N |= self._differs(
            _table(same_NK, self._like("weights_NK", weights_NK), n_experts),
            _table(right_NK, weight_NK, n_experts),
        )
        if y_ND is not None:
            differs_N |= self._differs(self._like("y_ND", y_ND), self.arrays["y_ND"])
        failed = [name for name, differs in zip(self.names, differs_N, strict=True) if differs]
        if len(losses) > len(self.losses):
            raise ValueError(
                f"losses: got {len(losses)}, allowed are at most {len(self.losses)}, in their order"
            )
        for got, loss in zip(losses, self.losses, strict=False):
            if self._differs(np.array([[got]]), np.array([[loss.value]])).any():
                failed.append(loss.name)
        return tuple(failed)

    def _like(self, name: str, array: Any) -> np.ndarray:
        """What a port gave, if it has the shape of the array of this name."""
        wanted = self.arrays[name].shape
        try:
            got = np.asarray(array, np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name}: got {shown(array)}, allowed are numbers of shape {wanted}"
            ) from error
        if got.shape != wanted:
            raise ValueError(f"{name}: got shape {got.shape}, allowed is {wanted}")
        return got

    def _differs(self, got_NC: np.ndarray, wanted_NC: np.ndarray) -> np.ndarray:
        """Rows that differ by more than rounding, (N,) bool; a row of NaN has to have one."""
        broken_N = np.isnan(wanted_NC).any(axis=1)
        most_N1 = np.abs(np.where(np.isnan(wanted_NC), 0, wanted_NC)).max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            close_NC = np.abs(got_NC - wanted_NC) <= TOLERANCE[self.dtype] * most_N1
        return np.where(broken_N, ~np.isnan(got_NC).any(axis=1), ~close_NC.all(axis=1))

    def summary(self) -> str:
        """What there is, in a sentence."""
        return (
            f"{self.family}: {len(self.names)} tokens and {len(self.losses)} balance losses in "
            f"{self.dtype}, {sum(array.size for array in self.arrays.values()):,} numbers"
        )

    def rows(self) -> list[dict[str, str]]:
        """What is tested, and by how many tokens, for a table."""
        kinds = [name.partition(" (")[0] for name in self.names]
        counts = {kind: kinds.count(kind) for kind in kinds} | {one.name: 0 for one in self.losses}
        return [
            {"tokens": str(count) if count else "a loss", "what is tested": kind}
            for kind, count in counts.items()
        ]


def _table(expert_NK: np.ndarray, weight_NK: np.ndarray, n_experts: int) -> np.ndarray:
    """Weights at their experts, (N, E), so that the order of the choices does not count."""
    table_NE = np.zeros((len(expert_NK), n_experts), weight_NK.dtype)
    np.put_along_axis(table_NE, expert_NK.astype(np.intp), weight_NK, axis=1)
    return table_NE


def golden(
    family: str,
    dtype: str = "float64",
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Golden:
    """Golden vectors of a family: what a port of its layer has to give for 64 tokens.

    Parameters
    ----------
    family
        A `model_type` whose layers load.
    dtype
        'float64' or 'float32': the type of all arrays and of what computes them.
    seed
        Same seed, same bits.
    options
        Options of the family that are not to be its class's defaults, by the keys of config.json,
        such as {"norm_topk_prob": True} for the published Qwen3.

    Raises
    ------
    ValueError
        If an argument is not allowed; the message names it.
    """
    check_choice("family", family, LOADABLE)
    dtype, seed = check_dtype(dtype), check_int("seed", seed, 0)
    rng = np.random.default_rng(seed)
    config, trap = tiny_config(family, options), LOADABLE[family].trap
    layer = tiny_layer(config, rng)
    bias_E = layer.buffers.get("select_bias_E", np.zeros(0))
    gate = Gate(layer.router, bias_E if bias_E.any() else None, "clamped" in layer.activation)
    at_zero_E = layer.params.get("gate_bias_E", np.zeros(layer.n_experts))
    names, logits_NE = named_logits(gate, rng, at_zero_E)
    rest_NR = _rest(rng, names, layer.d_model - layer.n_experts)
    x_ND = inputs_of(layer, logits_NE, rest_NR)
    x_ND[names.index(BROKEN)] = np.nan
    layer = layer.astype(dtype)
    losses, arrays = _computed(layer, names, x_ND.astype(dtype), drawn(rng, x_ND.shape))
    _check_limit(layer, names, arrays)
    return Golden(family, config, trap, dtype, seed, layer, tuple(names), losses, arrays)


def _rest(rng: np.random.Generator, names: Sequence[str], width: int) -> np.ndarray:
    """The channels that no logit fixes; large ones where activations are to be clamped."""
    rest_NR = drawn(rng, (len(names), width))
    rest_NR[[name == ZEROS for name in names]] = 0
    rest_NR[[name.startswith(CLAMPED) for name in names]] *= 64
    return rest_NR


def _check_limit(layer: MoELayer, names: Sequence[str], arrays: Arrays) -> None:
    """Refuse a limit of the activation that the tokens that test it do not reach."""
    limit = parse(layer.activation).limit
    tokens = [n for n, name in enumerate(names) if name.startswith(CLAMPED)]
    if not limit or not tokens:
        return
    expert_NK = arrays["choices_NK"][tokens]
    h_NKH = np.einsum("nd,nkdh->nkh", arrays["x_ND"][tokens], arrays["w_gate_up_ED2F"][expert_NK])
    h_NKH += arrays.get("b_gate_up_E2F", np.zeros((layer.n_experts, 1)))[expert_NK]
    reached = float(np.abs(h_NKH).max(axis=(1, 2)).min())
    if reached <= limit:
        raise ValueError(
            f"limit: got {limit:g}, allowed is less than what goes into the activation of tokens "
            f"that test it, here {reached:g}"
        )


def _computed(
    layer: MoELayer, names: Sequence[str], x_ND: np.ndarray, dy_ND: np.ndarray
) -> tuple[tuple[GoldenLoss, ...], Arrays]:
    """Losses, and arrays forward and back.

    The token of NaN is left out on the way back, as a training step would leave it out: else all
    gradients were NaN.
    """
    whole_N = np.isfinite(x_ND).all(axis=1)
    counts_N = whole_N & np.array([not name.startswith(PADDING) for name in names])
    y_ND, context = layer.forward(x_ND)
    losses = tuple(_losses(context.routing, names, counts_N))
    dy_ND = (dy_ND * counts_N[:, None]).astype(layer.dtype)
    _, finite = layer.forward(x_ND[whole_N])
    aux = AUX.loss(finite.routing, mask_N=counts_N[whole_N])
    assert aux.dlogits_NE is not None
    dx_ND, grads = layer.backward(
        dy_ND[whole_N], finite, aux.dlogits_NE.astype(layer.dtype), aux.extra
    )
    d_x_ND = np.full_like(x_ND, np.nan)
    d_x_ND[whole_N] = dx_ND
    expert_NK = choices(context.routing)
    arrays = {
        "x_ND": x_ND,
        "logits_NE": context.routing.logits_NE,
        "choices_NK": expert_NK,
        "weights_NK": context.routing.weight_A.reshape(expert_NK.shape),
        "y_ND": y_ND,
        "mask_N": counts_N.astype(np.int64),
        "dy_ND": dy_ND,
        **layer.params,
        **{name: buffer for name, buffer in layer.buffers.items() if buffer.any()},
        "d_x_ND": d_x_ND,
        **{f"d_{name}": gradient for name, gradient in grads.items()},
    }
    return losses, {name: np.asarray(array) for name, array in arrays.items()}


def _losses(routing: Routing, names: Sequence[str], counts_N: np.ndarray) -> list[GoldenLoss]:
    """Balance losses that come out otherwise where one of the known bugs is in them."""
    kinds = (EVEN, LOW, HIGH, PLAIN)
    of = {kind: np.array([name.startswith(kind) for name in names]) for kind in kinds}
    asked = {
        LOSS_OF_EVEN: [of[EVEN]],
        LOSS_OF_ALL_P: [of[PLAIN]],
        LOSS_OF_TWO: [of[LOW], of[HIGH]],
        "all tokens but padding and NaN": [counts_N],
    }
    return [
        GoldenLoss(
            name,
            tuple(tuple(np.flatnonzero(mask_N).tolist()) for mask_N in masks),
            float(np.mean([AUX.loss(routing.only(mask_N)).value for mask_N in masks])),
        )
        for name, masks in asked.items()
    ]


def _gate_words(layer: MoELayer) -> dict[str, Any]:
    """What the gate computes, in the words of one formula for all families."""
    router = layer.router
    options: dict[str, Any] = {
        "score": "softmax", "softmax_order": "before", "renormalize": False, "norm_min": 0.0,
        "norm_eps": 0.0, "scale": 1.0, "n_group": 1, "topk_group": 1, "group_score_of": 1,
        "weigh_input": False,
    }  # fmt: skip
    words = {name: getattr(router, name, default) for name, default in options.items()}
    words["norm_eps"] = words["norm_eps"] or EPS
    # The order says something of a softmax only.
    if not (isinstance(router, FixedK) and router.score == "softmax"):
        words["softmax_order"] = "before"
    jitter = router.jitter_eps if isinstance(router, SparseMixer) else 0.0
    return {"router": router.name} | words | {"jitter_eps": jitter}


def _expert_words(layer: MoELayer) -> dict[str, Any]:
    """What an expert computes between its products: SwiGLU is the clamped one without a limit."""
    name, _, alpha, limit, plus = parse(layer.activation)
    return {
        "activation": name,
        "gated": name in GATED,
        "alpha": alpha or 1.0,
        "limit": limit or None,
        "plus": plus,
    }


def _numbers(array: np.ndarray) -> list[float | int | None]:
    """An array as a flat list; NaN has no number in JSON."""
    # A float32 has the digits of the double that equals it: readers compute with that number.
    return [None if value != value else value for value in array.ravel().tolist()]
