"""Pruning: the experts that matter least to some calibration tokens are taken away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .context import LayerContext, check_context
from .errors import check_array, check_choice, check_int, shown
from .expert_axis import check_scored, with_experts
from .layer import MoELayer
from .router_check import check_weighs_results

CRITERIA = ("reap", "count", "random")


@dataclass(frozen=True, eq=False)
class ExpertUse:
    """What calibration tokens made of each expert of a layer; uses of one layer add up.

    Attributes
    ----------
    count_E
        Tokens that went to it, (E,) int64.
    sum_E
        Over these tokens: the weight of its result times the result's length, (E,) float64. Of a
        latent expert that is the length of its L numbers, before the product that leads back.

    Examples
    --------
    >>> import numpy as np, moe
    >>> layer = moe.MoELayer.init(4, 8, 6, k=2)
    >>> one, two = np.random.default_rng(0).standard_normal((2, 30, 4))
    >>> both = moe.ExpertUse.of(layer, one) + moe.ExpertUse.of(layer, two)
    >>> int(both.count_E.sum())
    120
    """

    count_E: np.ndarray
    sum_E: np.ndarray

    def __post_init__(self) -> None:
        count_E = np.asarray(self.count_E)
        if count_E.ndim != 1 or count_E.dtype.kind not in "iu" or not (count_E >= 0).all():
            raise ValueError(
                f"count_E: got {shown(self.count_E)}, allowed is a whole number >= 0 for each "
                "expert"
            )
        object.__setattr__(self, "count_E", count_E.astype(np.int64))
        sum_E = check_array("sum_E", self.sum_E, count_E.shape)
        object.__setattr__(self, "sum_E", sum_E.astype(np.float64, copy=False))

    @classmethod
    def of(
        cls, layer: MoELayer, x_ND: np.ndarray, token_ids: np.ndarray | None = None
    ) -> ExpertUse:
        """Run calibration tokens through a layer; arguments as in `MoELayer.forward`.

        Raises
        ------
        ValueError
            If the router is none that can be pruned (see `prune`), or weighs the experts' inputs,
            so that there is no result to weigh; or if a result is no finite number.
        """
        check_scored(layer)
        return cls.of_context(layer, layer.forward(x_ND, token_ids=token_ids)[1])

    @classmethod
    def of_context(cls, layer: MoELayer, ctx: LayerContext) -> ExpertUse:
        """The same of a pass that this layer has made."""
        check_scored(layer)
        check_context(ctx, LayerContext, layer._checked().owner)
        check_weighs_results(layer.router)
        loads_E = np.diff(ctx.plan.expert_start_E1)
        expert_S = np.repeat(np.arange(len(loads_E)), loads_E)
        length_S = np.sqrt(np.square(ctx.y_SD, dtype=np.float64).sum(axis=1))
        return cls(
            loads_E.astype(np.int64),
            np.bincount(expert_S, ctx.weight_S * length_S, len(loads_E)) * 1.0,  # ints of no token
        )

    def __add__(self, other: ExpertUse) -> ExpertUse:
        if len(self.count_E) != len(other.count_E):
            raise ValueError(
                f"uses: got {len(self.count_E)} and {len(other.count_E)} experts, allowed are uses "
                "of one layer"
            )
        return ExpertUse(self.count_E + other.count_E, self.sum_E + other.sum_E)

    @property
    def reap_E(self) -> np.ndarray:
        """REAP's saliency, (E,): mean over an expert's own tokens of weight times length.

        0 for an expert that no token chose.
        """
        return np.asarray(self.sum_E / np.maximum(self.count_E, 1))


def experts_to_keep(use: ExpertUse, n_keep: int, by: str = "reap", seed: int = 0) -> np.ndarray:
    """Numbers of the experts that stay, ascending.

    Parameters
    ----------
    use
        Of calibration tokens.
    n_keep
        How many stay.
    by
        'reap': those of the largest saliency; 'count': those that most tokens chose; 'random'.
        Among equals the one with the lower number stays.
    seed
        Of 'random'.

    Raises
    ------
    ValueError
        If there are not as many experts, no such criterion, or no tokens where it is about them.

    Notes
    -----
    REAP, arXiv 2510.13999; the mean is over the tokens that the router sends to the expert, and
    the weight is the one that the layer gives its result, divided by the sum of the chosen if the
    layer does so (CerebrasResearch/reap, `pruning_metrics.py` at commit 1970473).

    Examples
    --------
    >>> import numpy as np, moe
    >>> use = moe.ExpertUse(np.array([9, 1, 4]), np.array([2.0, 1.0, 4.0]))
    >>> [moe.experts_to_keep(use, 2, by).tolist() for by in ("reap", "count")]
    [[1, 2], [0, 2]]
    """
    check_choice("by", by, CRITERIA)
    check_int("n_keep", n_keep, 1, len(use.count_E), f"there are {len(use.count_E)} experts")
    check_int("seed", seed, 0)
    if by == "random":
        worth_E = np.random.default_rng(seed).random(len(use.count_E))
    elif not use.count_E.any():
        raise ValueError(f"use: got no token, allowed are some, without which {by!r} says nothing")
    else:
        worth_E = use.reap_E if by == "reap" else use.count_E
    return np.sort(np.argsort(-worth_E, kind="stable")[:n_keep])


def prune(layer: MoELayer, keep_M: np.ndarray) -> MoELayer:
    """Return the layer with these experts only; the others' columns of the gate go, too.

    A token then chooses its k among those that are left, so k has to be at most as many. What is
    left is neither trained nor scaled again.

    Parameters
    ----------
    layer
        It is copied.
    keep_M
        Numbers of the experts that stay, each once, as from `experts_to_keep`.

    Raises
    ------
    ValueError
        If a number is none of an expert or comes twice, fewer are left than a token chooses, or
        the router does not score every expert alike: it looks them up in a table, or has groups,
        slots, or experts that compute nothing.

    Examples
    --------
    >>> import numpy as np, moe
    >>> layer = moe.MoELayer.init(4, 8, 6, k=2)
    >>> use = moe.ExpertUse.of(layer, np.random.default_rng(0).standard_normal((50, 4)))
    >>> moe.prune(layer, moe.experts_to_keep(use, 3)).n_experts
    3
    """
    keep_M = np.asarray(keep_M)
    if len(np.unique(keep_M)) != keep_M.size:
        raise ValueError(f"experts: got {shown(keep_M.tolist())}, allowed is each once")
    return with_experts(layer, keep_M)
