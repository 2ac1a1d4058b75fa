"""Bugs that public gates shipped with, and the library's own gate with any one turned on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import kernels
from ..balance import make_balancer
from ..errors import check_choice
from ..routers import Router
from ..routers.fixed_k import biased, choices, gather, normalize, scatter
from ..routing import Routing
from ..scores import make_scores
from .convention import GROUP_SCORES, convention_of


@dataclass(frozen=True)
class GateBug:
    """One known bug.

    Attributes
    ----------
    name, title
        Identifier, and what it is called.
    wrong
        What goes wrong, in a sentence.
    metric
        What the number measures that exposes it; 0 in a gate without the bug.
    fix
        What to do about it.
    needs
        What a gate or recording must have for the bug to show: pairs of what the check knows to be
        there or not (a key of its conditions, '' for what it cannot know) and the words for it.
    sources
        Where it was found.
    """

    name: str
    title: str
    wrong: str
    metric: str
    fix: str
    needs: tuple[tuple[str, str], ...]
    sources: tuple[str, ...]


GITHUB = "https://github.com"
GROUPS_NEEDED = ("groups", "groups out of reach (n_group > topk_group)")
LOSS_NEEDED = ("loss", "aux_loss")
GATE_BUGS: dict[str, GateBug] = {
    bug.name: bug
    for bug in (
        GateBug(
            "bias_in_weights",
            "Selection bias in the weights",
            "The bias that only steers who is selected also changes how much an expert counts.",
            "largest difference from weights in which the bias only selects",
            "Select with score + bias, but take the weights from the scores alone.",
            (
                ("bias", "a selection bias (bias_E) that is not zero"),
                ("", "weights that the bias would change"),
            ),
            (
                f"{GITHUB}/vllm-project/vllm/pull/12002",
                f"{GITHUB}/huggingface/transformers/pull/41647",
            ),
        ),
        GateBug(
            "no_renormalize",
            "Weights not renormalised",
            "The chosen scores are not divided by their sum, so the experts' total weight "
            "changes from token to token.",
            "largest difference from weights whose sum is the scale",
            "Divide the chosen scores by their sum (norm_topk_prob), then multiply by the scale.",
            (
                ("renormalizes", "a model that renormalises"),
                ("states_renormalize", "like= or renormalize= to say that it should"),
                ("", "weights of two experts or more"),
            ),
            (
                f"{GITHUB}/pytorch/torchtitan/issues/1448",
                f"{GITHUB}/pytorch/torchtitan/pull/1419",
            ),
        ),
        GateBug(
            "mask_zero",
            "Groups masked with 0",
            "Groups out of reach get score 0 and not -inf, so they win once the allowed scores "
            "with their bias are negative.",
            "share of tokens whose experts are not the best of the groups in reach",
            "Fill masked groups with -inf.",
            (GROUPS_NEEDED, ("", "a bias that makes scores negative")),
            (
                f"{GITHUB}/huggingface/transformers/issues/45440",
                f"{GITHUB}/vllm-project/vllm/pull/13474",
                f"{GITHUB}/sgl-project/sglang/pull/3705",
            ),
        ),
        GateBug(
            "group_score",
            "Wrong group score",
            "A group of experts scores by its best expert and not by the sum of its two best, or "
            "the other way round, so tokens reach other groups than the model was trained with.",
            "share of tokens whose experts are not the best of the groups that should be in reach",
            "Score a group as the model does: DeepSeek-V3 and V4 by the sum of its two best "
            "experts, DeepSeek-V2 by its best one.",
            (
                GROUPS_NEEDED,
                ("states_group_score", "like= to say how a group should score"),
                ("", "groups that the two rules rank differently"),
            ),
            (
                f"{GITHUB}/vllm-project/vllm/pull/13474",
                f"{GITHUB}/NVIDIA/Megatron-LM/issues/1378",
            ),
        ),
        GateBug(
            "double_softmax",
            "Double softmax",
            "The score function is applied to scores instead of logits, which flattens them "
            "towards uniform.",
            "largest difference from weights, or a loss, whose scores are made once",
            "Hand on logits, and make scores of them in one place only.",
            (("", "weights or a loss that depend on the scores"),),
            (
                f"{GITHUB}/huggingface/transformers/issues/45120",
                f"{GITHUB}/huggingface/transformers/pull/45132",
                f"{GITHUB}/huggingface/transformers/issues/39055",
            ),
        ),
        GateBug(
            "p_over_topk",
            "P over the chosen experts only",
            "The balance loss averages only the chosen experts' probabilities, so experts that "
            "nobody chooses have P = 0 and get no pull.",
            "difference from a loss with P over all experts, relative to it",
            "Average the probabilities of all experts; only f counts choices.",
            (LOSS_NEEDED, ("", "experts that are not chosen")),
            (
                f"{GITHUB}/paiml/aprender/pull/2162",
                f"{GITHUB}/AI-Hypercomputer/maxtext/issues/1432",
            ),
        ),
        GateBug(
            "f_sums_to_k",
            "f sums to k",
            "The balance loss counts choices per token and not per choice: it is k times too "
            "strong, and k at uniform load instead of 1.",
            "difference from a loss in which f sums to 1, relative to it",
            "Divide f by k; or, if your coefficient allows for it, pass coefficient times k here.",
            (LOSS_NEEDED, ("", "k of 2 or more")),
            (f"{GITHUB}/huggingface/transformers/pull/43775",),
        ),
        GateBug(
            "concatenated_layers",
            "Layers concatenated",
            "The balance loss treats all layers' tokens as one batch, so layers that collapse to "
            "different experts look even together.",
            "difference from the mean or sum of the layers' own losses, relative to it",
            "Compute the loss of each layer, then take the mean or the sum.",
            (LOSS_NEEDED, ("", "two or more layers")),
            (
                f"{GITHUB}/huggingface/transformers/issues/28255",
                f"{GITHUB}/huggingface/transformers/issues/29503",
                f"{GITHUB}/huggingface/transformers/issues/31464",
            ),
        ),
    )
}


@dataclass(frozen=True)
class OwnGate:
    """A router of the library and the auxiliary loss, with one bug turned on, or none.

    It can be checked like any other gate: call it, and hand on its `aux_loss`.

    Parameters
    ----------
    router
        A router with fixed k and scores.
    bug
        A key of `GATE_BUGS`, or ''.

    Examples
    --------
    >>> import numpy as np, moe
    >>> gate = OwnGate(moe.make_router("topk", k=2), "no_renormalize")
    >>> gate(np.log([[1.0, 2.0, 4.0, 1.0]]))[1].tolist()  # 2/3 and 1/3 without the bug
    [[0.5, 0.25]]
    """

    router: Router
    bug: str = ""

    def __post_init__(self) -> None:
        check_choice("bug", self.bug, ("", *GATE_BUGS))

    def __call__(
        self, logits_NE: np.ndarray, *, bias_E: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Experts and their weights, both (N, K)."""
        convention = convention_of(self.router, logits_NE.shape[1])
        if self.bug == "double_softmax":
            logits_NE = make_scores(logits_NE, convention.score)
        if not convention.takes_bias:
            bias_E = None
        routing = (
            self.router.choose(logits_NE)
            if bias_E is None
            else self.router.choose(logits_NE, select_bias_E=bias_E)
        )
        expert_NK, scores_NE = choices(routing), routing.scores_NE
        assert scores_NE is not None
        biased_NE = biased(scores_NE, bias_E)
        if self.bug in ("mask_zero", "group_score") and convention.masks:
            best_of = convention.best_of[0]
            if self.bug == "group_score":
                best_of = next(number for number in GROUP_SCORES if number != best_of)
            groups = convention.n_group, convention.topk_group, best_of
            masked_NE = kernels.mask_groups(biased_NE, *groups)
            if self.bug == "mask_zero":
                masked_NE = np.where(np.isneginf(masked_NE), 0, masked_NE)
            expert_NK = kernels.topk(masked_NE, convention.k)
        elif self.bug not in ("bias_in_weights", "no_renormalize"):
            return expert_NK, routing.weight_A.reshape(expert_NK.shape)
        weight_NK = gather(biased_NE if self.bug == "bias_in_weights" else scores_NE, expert_NK)
        if convention.renormalize and self.bug != "no_renormalize":
            weight_NK = normalize(weight_NK)
        return expert_NK, weight_NK * weight_NK.dtype.type(convention.scale)

    def aux_loss(self, layers: Sequence[np.ndarray], experts: Sequence[np.ndarray]) -> float:
        """Balance loss of L layers' logits (N, E) and experts (N, K): 1 at uniform load."""
        if self.bug == "concatenated_layers":
            layers, experts = [np.concatenate(layers)], [np.concatenate(experts)]
        values = [self._layer_loss(*layer) for layer in zip(layers, experts, strict=True)]
        return float(np.mean(values))

    def _layer_loss(self, logits_NE: np.ndarray, expert_NK: np.ndarray) -> float:
        n_experts = logits_NE.shape[1]
        score = convention_of(self.router, n_experts).score
        if self.bug == "double_softmax":
            logits_NE = make_scores(logits_NE, score)
        scores_NE = make_scores(logits_NE, score)
        if self.bug == "p_over_topk":
            scores_NE = scatter(gather(scores_NE, expert_NK), expert_NK, n_experts)
        routing = Routing.from_choices(
            expert_NK,
            gather(scores_NE, expert_NK),
            n_experts,
            logits_NE=logits_NE,
            scores_NE=scores_NE,
            score=score,
        )
        scale = "flaxformer" if self.bug == "f_sums_to_k" else "megatron"
        return make_balancer("aux", coefficient=1.0, scale=scale).loss(routing).value
