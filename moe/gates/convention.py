"""What a gate is meant to compute, and what it computes with known bugs: weights, choice, loss.

Written in plain numpy, apart from the routers, so that one can be checked against the other.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from ..routers import Router
from ..routers.fixed_k import choices
from ..scores import make_scores

GUESSED_SCORES = ("softmax", "sigmoid", "sqrt_softplus")
GROUP_SCORES = (1, 2)  # best experts whose sum is a group's score: DeepSeek-V2's and V3's
WEIGHT_BUGS = ("bias_in_weights", "no_renormalize", "double_softmax")


class Form(NamedTuple):
    """One formula that may have produced a number: its bugs, and legitimate variants."""

    bugs: frozenset[str]
    variant: frozenset[str] = frozenset()


Residuals = dict[Form, float]  # how far the data are from each form


@dataclass(frozen=True)
class Convention:
    """What a top-k gate is meant to be.

    Attributes
    ----------
    name
        Registry name of the router that it follows; empty if it was guessed from the weights.
    k, score, renormalize, scale
        Experts per token, score function, whether chosen scores are divided by their sum, factor.
    n_group, topk_group
        Groups of experts, and how many of them a token may reach.
    best_of
        A group scores by the sum of this many of its best experts; several if not known.
    chooser
        The router itself if the experts are not the k best scores: BASE and Sinkhorn look at the
        whole batch.
    takes_bias
        Whether a selection bias exists.
    states_renormalize
        False if `renormalize` was only guessed.
    """

    name: str
    k: int
    score: str
    renormalize: bool
    scale: float
    n_group: int = 1
    topk_group: int = 1
    best_of: tuple[int, ...] = GROUP_SCORES
    chooser: Router | None = None
    takes_bias: bool = True
    states_renormalize: bool = True

    @property
    def masks(self) -> bool:
        """Whether a token cannot reach all groups."""
        return self.topk_group < self.n_group

    def words(self) -> str:
        """The convention in a few words."""
        kept = "renormalised" if self.renormalize else "not renormalised"
        groups = f", {self.topk_group} of {self.n_group} groups" if self.masks else ""
        return f"k = {self.k}, {self.score} scores, {kept}, scale {self.scale:.4g}{groups}"


def score_table(
    logits_NE: np.ndarray, score: str, bugs: Iterable[str], bias_NE: np.ndarray | None = None
) -> np.ndarray:
    """What weights are taken from, (N, E): scores, made twice or with the bias if so asked."""
    table_NE = make_scores(logits_NE, score)
    if "double_softmax" in bugs:
        table_NE = make_scores(table_NE, score)
    if "bias_in_weights" in bugs and bias_NE is not None:
        table_NE = table_NE + bias_NE
    return table_NE


def weights(
    convention: Convention,
    logits_NE: np.ndarray,
    expert_NK: np.ndarray,
    bias_NE: np.ndarray | None,
    bugs: Iterable[str],
) -> np.ndarray:
    """Weights of given experts, (N, K)."""
    table_NE = score_table(logits_NE, convention.score, bugs, bias_NE)
    chosen_NK = np.take_along_axis(table_NE, expert_NK, axis=1)
    if convention.renormalize and "no_renormalize" not in bugs:
        chosen_NK = chosen_NK / (chosen_NK.sum(axis=1, keepdims=True) + 1e-20)
    return np.asarray(convention.scale * chosen_NK)


def distance(value: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference over the largest expected size."""
    size = max(float(np.abs(expected).max(initial=0)), 1e-30)
    return _finite(float(np.abs(value - expected).max(initial=0)) / size)


def _finite(off: float) -> float:
    """The distance, or the largest number for one that floats cannot hold: JSON has no infinity."""
    return min(off, sys.float_info.max) if off == off else sys.float_info.max


def weight_residuals(
    convention: Convention,
    logits_NE: np.ndarray,
    expert_NK: np.ndarray,
    weight_NK: np.ndarray,
    bias_NE: np.ndarray | None,
) -> Residuals:
    """How far recorded weights are from each combination of weight bugs."""
    bugs = [b for b in WEIGHT_BUGS if convention.renormalize or b != "no_renormalize"]
    residuals: Residuals = {}
    for on in product((False, True), repeat=len(bugs)):
        form = frozenset(bug for bug, is_on in zip(bugs, on, strict=True) if is_on)
        expected_NK = weights(convention, logits_NE, expert_NK, bias_NE, form)
        residuals[Form(form)] = distance(weight_NK, expected_NK)
    return residuals


def choice_residuals(
    convention: Convention,
    logits_NE: np.ndarray,
    expert_NK: np.ndarray,
    bias_NE: np.ndarray | None,
    tolerance: float,
) -> Residuals:
    """Share of tokens whose experts are not the k best, with groups scored and masked either way.

    Tokens whose choice of groups is a near tie are left out.
    """
    residuals: Residuals = {}
    masks = ((), ("mask_zero",)) if convention.masks else ((),)
    group_scores = GROUP_SCORES if convention.masks else convention.best_of[:1]
    for scored, best_of in product(((), ("double_softmax",)), group_scores):
        misjudged = () if best_of in convention.best_of else ("group_score",)
        select_NE = score_table(logits_NE, convention.score, scored)
        near = tolerance * float(select_NE.std())
        if bias_NE is not None:
            select_NE = select_NE + bias_NE
        allowed_NE, clear_N = _reachable(convention, select_NE, best_of, near)
        for mask in masks:
            masked_NE = np.where(allowed_NE, select_NE, 0.0 if mask else -np.inf)
            wrong_N = _not_the_best(masked_NE, expert_NK, near) & clear_N
            bugs = frozenset((*misjudged, *mask))
            form = Form(bugs, frozenset((*scored, f"best of {best_of}")))
            residuals[form] = float(wrong_N.sum() / max(int(clear_N.sum()), 1))
    return residuals


def _reachable(
    convention: Convention, select_NE: np.ndarray, best_of: int, near: float
) -> tuple[np.ndarray, np.ndarray]:
    n_tokens, n_experts = select_NE.shape
    if not convention.masks:
        return np.ones(select_NE.shape, bool), np.ones(n_tokens, bool)
    grouped_NGM = select_NE.reshape(n_tokens, convention.n_group, -1)
    score_NG = np.sort(grouped_NGM, axis=2)[:, :, -best_of:].sum(axis=2)
    ranked_NG = np.sort(score_NG, axis=1)[:, ::-1]
    last_N, next_N = ranked_NG[:, convention.topk_group - 1], ranked_NG[:, convention.topk_group]
    allowed_NG = score_NG >= last_N[:, None]
    size = n_experts // convention.n_group
    return np.repeat(allowed_NG, size, axis=1), last_N - next_N > near


def _not_the_best(select_NE: np.ndarray, expert_NK: np.ndarray, near: float) -> np.ndarray:
    """Tokens with an expert that scores clearly less than one not chosen, (N,) bool."""
    worst_N = np.take_along_axis(select_NE, expert_NK, axis=1).min(axis=1)
    rest_NE = select_NE.copy()
    np.put_along_axis(rest_NE, expert_NK, -np.inf, axis=1)
    return np.asarray((worst_N < rest_NE.max(axis=1) - near) | np.isneginf(worst_N))


def choice_differs(chooser: Router, logits_LNE: np.ndarray, expert_LNK: np.ndarray) -> float:
    """Share of tokens whose experts are not those that a router chooses for the same batches."""
    differs = [
        (np.sort(choices(chooser.choose(logits_NE)), axis=1) != np.sort(expert_NK, axis=1)).any(1)
        for logits_NE, expert_NK in zip(logits_LNE, expert_LNK, strict=True)
    ]
    return float(np.mean(differs))


def loss_residuals(
    convention: Convention, logits_LNE: np.ndarray, expert_LNK: np.ndarray, loss: float
) -> Residuals:
    """How far a recorded loss, relative to its size, is from E sum_i f_i P_i and its bugs.

    Legitimate variants: mean or sum over layers; f from all choices or from the first one only.
    """
    n_layers, _, n_experts = logits_LNE.shape
    chosen_LNE = np.zeros(logits_LNE.shape, bool)
    np.put_along_axis(chosen_LNE, expert_LNK, True, axis=2)
    first_LNE = np.zeros(logits_LNE.shape, bool)
    np.put_along_axis(first_LNE, expert_LNK[:, :, :1], True, axis=2)
    loads = {"all": chosen_LNE.mean(axis=1) / convention.k, "first": first_LNE.mean(axis=1)}
    residuals: Residuals = {}
    for scored in ((), ("double_softmax",)):
        flat_NE = score_table(logits_LNE.reshape(-1, n_experts), convention.score, scored)
        share_LNE = _shares(flat_NE).reshape(logits_LNE.shape)
        kept_LNE = share_LNE * chosen_LNE
        means = {
            ((), "full"): share_LNE.mean(axis=1),
            (("p_over_topk",), "kept"): kept_LNE.mean(axis=1),
            (("p_over_topk",), "shared"): _shares(kept_LNE).mean(axis=1),
        }
        for (p_bug, p_form), (f_form, f_LE) in product(means, loads.items()):
            p_LE = means[p_bug, p_form]
            mean = n_experts * float((f_LE * p_LE).sum()) / n_layers
            joined = n_experts * float(f_LE.mean(axis=0) @ p_LE.mean(axis=0))
            totals = (((), "mean", mean), ((), "sum", n_layers * mean),
                      (("concatenated_layers",), "joined", joined))  # fmt: skip
            for (l_bug, l_form, value), f_bug in product(totals, ((), ("f_sums_to_k",))):
                bugs = frozenset((*scored, *p_bug, *l_bug, *f_bug))
                form = Form(bugs, frozenset((p_form, f_form, l_form)))
                expected = value * (convention.k if f_bug else 1)
                residuals[form] = _finite(abs(loss - expected) / max(abs(expected), 1e-30))
    return residuals


def _shares(scores: np.ndarray) -> np.ndarray:
    return np.asarray(scores / np.maximum(scores.sum(axis=-1, keepdims=True), 1e-30))


def fit_convention(
    logits_NE: np.ndarray,
    expert_NK: np.ndarray,
    weight_NK: np.ndarray,
    bias_NE: np.ndarray | None,
    tolerance: float,
    scores: Iterable[str] = GUESSED_SCORES,
    stated: Mapping[str, Any] | None = None,
) -> Convention | None:
    """Convention with the fewest bugs that the weights follow, at any scale; None if there is none.

    `stated` are fields that are known and not to be guessed.
    """
    stated = dict(stated or {})
    asked = stated.pop("renormalize", None)
    best: tuple[tuple[int, float], Convention] | None = None
    for score, renormalize in product(scores, (True, False)):
        plain = Convention("", expert_NK.shape[1], score, renormalize, 1.0)
        for bugs in ((), ("double_softmax",), ("bias_in_weights",)):
            with np.errstate(over="ignore", invalid="ignore"):  # a file may hold any numbers
                shape_NK = weights(plain, logits_NE, expert_NK, bias_NE, bugs)
                scale = float((weight_NK * shape_NK).sum() / max(float((shape_NK**2).sum()), 1e-30))
            if not 0 < scale < math.inf:
                continue
            residual = distance(weight_NK, scale * shape_NK)
            rank = len(bugs), residual
            if residual <= tolerance and (best is None or rank < best[0]):
                best = rank, replace(plain, scale=scale)
    if best is None:
        return None
    if asked is not None:
        stated["renormalize"] = bool(asked)
    return replace(best[1], states_renormalize=asked is not None, **stated)


@lru_cache(maxsize=64)
def convention_of(router: Router, n_experts: int) -> Convention:
    """Measure what a router of the library does, by letting it route 64 random tokens.

    Raises
    ------
    ValueError
        If its options don't fit that many experts, or it has no fixed k or no scores.
    """
    logits_NE = np.random.default_rng(0).normal(0.0, 1.5, (64, n_experts))
    routing = router.choose(logits_NE)
    count_N = np.bincount(routing.token_A, minlength=routing.n_tokens)
    fixed = routing.scores_NE is not None and count_N.min() == count_N.max() < n_experts
    fitted = None
    if fixed:
        expert_NK = routing.expert_A.reshape(len(logits_NE), -1).astype(np.int64)
        weight_NK = routing.weight_A.reshape(expert_NK.shape)
        scores = (routing.score,)
        fitted = fit_convention(logits_NE, expert_NK, weight_NK, None, 1e-9, scores)
    if fitted is None:
        raise ValueError(
            f"like: got {router.name!r}, allowed is a router that gives every token the same "
            "number of experts, fewer than all, weighted by scores"
        )
    fitted = replace(
        fitted,
        name=router.name,
        n_group=getattr(router, "n_group", 1),
        topk_group=getattr(router, "topk_group", 1),
        best_of=(router.group_score_of,) if hasattr(router, "group_score_of") else GROUP_SCORES,
        takes_bias="select_bias_E" in router.buffers,
        states_renormalize=True,
    )
    wrong = choice_residuals(fitted, logits_NE, expert_NK, None, 1e-9)
    by_score = min(off for form, off in wrong.items() if not form.bugs) == 0
    return replace(fitted, chooser=None if by_score else router)
