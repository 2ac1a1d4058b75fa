"""Chance figures held against random logits: `python -m tests.traces.chance` prints the distances.

Where choices depend on nothing, what is measured and what stands beside it as chance are two
estimates of one number. Their difference is measured anew for each of many seeds, so that its
standard error needs no theory. Over thousands of seeds expert choice shows that its tokens are not
quite independent: each expert takes a fixed number, so neighbours share one less often, by 0.2
points.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

import moe
from moe import metrics
from moe.traces import Trace, trace_of_routings
from moe.traces.myths import same_experts_stay_hot, topic_specialists
from moe.traces.report import analyse_trace

N_TOKENS, N_EXPERTS, N_LABELS, N_IDS = 512, 8, 4, 4096
PAIRS = {
    "first": ("repeat_first", "chance_repeat_first"),
    "first, same load": ("repeat_first", "same_load_repeat_first"),
    "any": ("repeat_any", "chance_repeat_any"),
    "domain": ("domain_information", "chance_domain_information"),
    "strongest domain": ("strongest_domain", "chance_strongest_domain"),
    "vocabulary": ("vocabulary", "chance_vocabulary"),
    "saturation": ("saturation", "chance_saturation"),
    "saturation, first": ("saturation_first", "chance_saturation_first"),
}


def random_trace(router: moe.routers.Router, rng: np.random.Generator) -> Trace:
    """What a router makes of random logits.

    It sees ids of its own, all different, for those that choose by ids; the trace has others.
    """
    logits_NE = rng.standard_normal((N_TOKENS, N_EXPERTS)).astype(np.float32)
    routing = router.choose(logits_NE, token_ids=rng.choice(N_IDS, N_TOKENS, replace=False))
    place_N = np.arange(N_TOKENS)
    return trace_of_routings(
        [routing],
        place_N * 7 % 10,
        sequence_N=place_N // 64,
        domain_N=place_N // 64 % N_LABELS,
        domains=tuple("abcd"),
    )


def figures(router: moe.routers.Router, seed: int, sayings: bool) -> Iterator[tuple[str, float]]:
    """Name of each chance figure, and how much more was measured."""
    rng = np.random.default_rng(seed)
    trace, later = random_trace(router, rng), random_trace(router, rng)
    (layer,) = analyse_trace(trace, later, seed=seed).layers
    for name, (measured, chance) in PAIRS.items():
        yield name, getattr(layer, measured) - getattr(layer, chance)
    routing = trace.routing(0)  # of all pairs some one: the strongest is above chance by choice
    yield "pair", metrics.coactivation(routing)[0, 1] - layer.chance_pair
    near_EE = metrics.adjacent_coactivation(routing)
    yield "adjacent pair", near_EE[0, 1] - layer.chance_adjacent_pair
    if sayings:
        topics = topic_specialists(trace, seed)
        yield "topics", topics.measured - topics.chance
        for name in ("token_above_chance", "domain_beyond_tokens"):
            yield name, dict(topics.figures)[name]
        hot = same_experts_stay_hot(trace, seed)
        yield "hot", hot.measured - dict(hot.figures)["same_load_everywhere"]


def seeded(name: str, seed: int) -> moe.routers.Router:
    """A router; one of a random table has another each time, since any single one is uneven.

    With a row for each id: two ids of one row would choose alike.
    """
    router = moe.make_router(name)
    tabled = "table_seed" in router.options()
    return replace(router, n_vocab=N_IDS, table_seed=seed) if tabled else router


def distances(n_seeds: int, sayings: bool) -> dict[tuple[str, str], float]:
    """Mean difference of each router's figures in its standard errors; 0 if all are 0."""
    found = {}
    for router_name in moe.ROUTERS:
        rows = [dict(figures(seeded(router_name, seed), seed, sayings)) for seed in range(n_seeds)]
        for name in rows[0]:
            difference = np.array([row[name] for row in rows])
            mean, error = difference.mean(), difference.std(ddof=1) / np.sqrt(n_seeds)
            exact = abs(difference).max() < 1e-12
            found[router_name, name] = 0.0 if exact else float(mean / error)
    return found


def main() -> None:
    """Print the largest distance of each figure, and of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    far = distances(parser.parse_args().seeds, sayings=True)
    for name in dict.fromkeys(name for _, name in far):
        router = max(moe.ROUTERS, key=lambda one: abs(far[one, name]))
        print(f"{name:24} {far[router, name]:+.2f} ({router})")
    router, name = max(far, key=lambda one: abs(far[one]))
    print(
        f"largest of {len(far)}: {abs(far[router, name]):.2f} standard errors, {name} of {router}"
    )


if __name__ == "__main__":
    main()
