"""Numbers of the lesson on causality, worked out apart from the lesson."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from scipy.special import log_softmax, softmax

import moe
from moe.studies.causality import ProbeSettings, causality_rows, futures
from tests.lessons.expected import Drawn, Worked

LEAKS = {
    "base", "sinkhorn", "expert_choice", "soft",
    "score", "rank", "batch_priority", "random", "reroute", "sequence",
}  # fmt: skip


def picked(logits_NE: np.ndarray) -> np.ndarray:
    """Expert choice, two experts a token: which tokens each expert takes."""
    score_NE = softmax(logits_NE, axis=1)
    rank_NE = np.argsort(np.argsort(-score_NE, axis=0, kind="stable"), axis=0)
    return rank_NE < 2 * len(logits_NE) // logits_NE.shape[1]


def moved_by_expert_choice(seed: int) -> float:
    rng, shares = np.random.default_rng(seed), []
    for _ in range(12):
        early = rng.standard_normal((16, 8)) + rng.standard_normal(8)
        rng.integers(0, 256, 16)
        seen = []
        for future in futures(rng, early, 16):
            seen.append(picked(np.concatenate([early, future]))[:16])
            rng.integers(0, 256, 16)
        shares += [(a != b).any(axis=1).mean() for a, b in pairwise(seen)]
    return float(np.mean(shares))


@cache
def losses(router: str, seed: int) -> tuple[float, float]:
    """Loss of 256 places together and alone."""
    settings = moe.TrainSettings(router=router, n_experts=8, steps=60, batch=512, seed=seed)
    trainer = moe.Trainer(settings)
    for _ in range(60):
        trainer.step()
    inputs, came = trainer.task.held_out(np.random.default_rng(0), 256)
    together = trainer.predict(inputs)
    alone = np.concatenate([trainer.predict(one[None]) for one in inputs])
    return tuple(  # type: ignore[return-value]
        -float(log_softmax(logits.astype(float), axis=1)[range(256), came].mean())
        for logits in (together, alone)
    )


def harm() -> float:
    runs = [losses("expert_choice", seed) for seed in range(3)]
    return float(100 * np.mean([alone / together - 1 for together, alone in runs]))


def each_seed_says_it() -> None:
    for seed in range(3):
        together, alone = losses("expert_choice", seed)
        assert 1e-3 < abs(alone - together) < 0.2 and 2 < together < 2.6
        together, alone = losses("topk", seed)
        assert abs(alone - together) < 1e-3
        rows = causality_rows(ProbeSettings(seed=seed))
        assert {row.name for row in rows if row.changed} == LEAKS


QUESTIONS = {
    "count": [Worked(4, {"none": 0, "the_famous_one": 1, "half": 11, "all": 22})],
    "room": [
        Worked(
            4, {"by_position": 0, "all_early": 8, "all_late": 7, "without_place": 4},
            {"room": 11, "early": 8, "late": 7},
        ),
    ],
    "alone": [Worked(12, {"mean": 3, "one": 1, "none": 0}, {"experts": 12, "mean": 3})],
    "loss": [Worked(harm(), {"tenth": 15, "half": 50, "double": 100}, within=1e-3)],
}  # fmt: skip


def leaks() -> Drawn:
    share = float(np.mean([moved_by_expert_choice(seed) for seed in range(3)]))
    soft = {"name": "soft", "kind": "router", "share": 1.0, "label": "100%"}
    mine = {
        "name": "expert_choice", "kind": "router", "share": share, "label": f"{share:.0%}",
    }  # fmt: skip
    return Drawn(
        {"leaks": len(LEAKS)},
        {"leaks": [soft, mine]},
        (f"expert_choice: {share:.0%}", "The other 20 ways: none"),
        ("10 of them let", "other 20 never", "most is 100%"),
    )


FIGURES = {"leaks": leaks}
CLAIMS = [each_seed_says_it]
