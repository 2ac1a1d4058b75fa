"""The part of the page on claims that tries latent experts, from the rows of their study."""

from __future__ import annotations

from typing import Any

from docs.generator.studies import Study, distinct
from moe.experts import n_matrices

from .collapse import moves, number
from .methods import table

LATENT = "latent"
VARIED = ("d_latent", "n_experts", "k")
PAPER = "[LatentMoE](https://arxiv.org/abs/2601.18089)"


def sent(study: Study, case: dict[str, Any]) -> int:
    """Numbers sent for a token, there and back, if every chosen expert is elsewhere."""
    return int(2 * case["k"] * (case["d_latent"] or study.settings["d_model"]))


def weights(study: Study, case: dict[str, Any]) -> int:
    """Weights of the routed experts and of the products around them."""
    d_model, d_latent = study.settings["d_model"], case["d_latent"]
    expert = n_matrices(study.settings["activation"]) * study.settings["d_expert"]
    return int(case["n_experts"] * expert * (d_latent or d_model) + 2 * d_model * d_latent)


def cases(study: Study) -> list[dict[str, Any]]:
    """What was varied, the layer without a latent space first."""
    found = [dict(zip(VARIED, values, strict=True)) for values in distinct(study.rows, *VARIED)]
    return sorted(found, key=lambda case: case["d_latent"] != 0)


def section(study: Study) -> list[str]:
    """Return heading, claim, verdict and table."""
    rows = [
        [
            f"{case['d_latent'] or study.settings['d_model']}", str(case["n_experts"]),
            str(case["k"]), str(sent(study, case)), f"{weights(study, case):,}",
            f"{study.spread('flops_per_token', **case).mean:,.0f}",
            number(study.spread("held_out_loss", **case), ".3f"),
            number(study.spread("max_vio", **case)),
        ]
        for case in cases(study)
    ]  # fmt: skip
    return [
        "## Narrower experts, and more of them",
        f"The authors of {PAPER} (Nemotron 3 Super and Ultra) report that experts in a latent "
        "space are better than others per operation and per parameter, in models of up to 95 "
        "billion parameters. What a narrower row saves is spent on more choices among more "
        "experts: as many numbers are then sent for a token, and the experts hold as many weights. "
        f"Here `moe train --d-latent` learns text for {study.settings['steps']} steps, "
        f"{len(study.seeds())} seeds; *sent* counts the numbers of a token's rows to every chosen "
        "expert and back, *weights* includes the products around the experts.",
        words(study),
        table(
            ["Width", "Experts", "k", "Sent", "Weights", "Operations", "Held-out loss", "MaxVio"],
            rows,
        ),
    ]


def words(study: Study) -> str:
    """Return the verdict: what each latent layer's loss is against the plain one's."""
    plain, *latent = cases(study)
    before = study.spread("held_out_loss", **plain)
    equal: list[str] = []
    fewer: list[str] = []
    for case in latent:
        after = study.spread("held_out_loss", **case)
        said = (
            f"with {case['n_experts']} experts of width {case['d_latent']} and k = {case['k']} it "
            f"{moves(before, after)} ({number(after, '.3f')})"
        )
        (equal if sent(study, case) == sent(study, plain) else fewer).append(said)
    text = (
        f"Without a latent space the loss is {number(before, '.3f')}. As many numbers sent: "
        f"{'; '.join(equal)}."
    )
    return f"{text} Fewer: {'; '.join(fewer)}." if fewer else text
