"""Numbers of the lesson on specialists, worked out apart from the lesson."""

from __future__ import annotations

from functools import cache
from math import comb, log

import numpy as np
from scipy.stats import entropy

import moe
from moe.traces import Trace
from moe.traces.record import held_out_documents, record_trainer
from moe.traces.samples import SAMPLES
from tests.lessons.expected import Drawn, Worked

END = 60


def told(expert_NK: np.ndarray, label_N: np.ndarray) -> float:
    """Share of the entropy of the choices that labels explain, from a table of counts."""
    labels = np.unique(label_N, return_inverse=True)[1]
    table = np.zeros((labels.max() + 1, int(expert_NK.max()) + 1))
    np.add.at(table, (np.repeat(labels, expert_NK.shape[1]), expert_NK.ravel()), 1)
    before = entropy(table.sum(axis=0))
    after = table.sum(axis=1) @ [entropy(row) for row in table] / table.sum()
    return float((before - after) / before)


def shares(trace: Trace) -> tuple[float, float, float]:
    """What the character and the kind of text explain, less luck; and luck of the latter."""
    experts, ids, topics = trace.expert_LNK[0], trace.token_ids_N, trace.domain_N
    assert ids is not None and topics is not None
    rng = np.random.default_rng(0)
    # Texts of 96 characters, each in stretches of 64 and 32.
    stretch = 2 * trace.sequence_N + (np.arange(len(ids)) % 96 >= 64)
    kind = topics[np.unique(stretch, return_index=True)[1]]
    luck = np.mean([told(experts, rng.permutation(kind)[stretch]) for _ in range(19)])
    token = np.mean([told(experts, rng.permutation(ids)) for _ in range(19)])
    return told(experts, ids) - token, told(experts, topics) - luck, float(luck)


@cache
def run(seed: int) -> tuple[tuple[float, float, float], tuple[float, float, float], float]:
    """Shares fresh and after training, and how often neighbours share an expert when fresh."""
    settings = moe.TrainSettings(balance="bias", balance_rate=0.01, steps=END, batch=512, seed=seed)
    trainer = moe.Trainer(settings)
    texts = held_out_documents(trainer, 4, 96)
    record = record_trainer(trainer, texts)
    fresh, pairs = shares(record), record.expert_LNK[0]
    same = (pairs[1:, :, None] == pairs[:-1, None, :]).any(axis=(1, 2))
    inside = np.arange(1, len(pairs)) % 96 != 0
    for _ in range(END):
        trainer.step()
    return fresh, shares(record_trainer(trainer, texts)), float(same[inside].mean())


def mean(when: int, which: int) -> float:
    return float(np.mean([run(seed)[when][which] for seed in range(3)]))  # type: ignore[index]


def each_run_says_it() -> None:
    """Characters explain more at any time, both grow, and neighbours repeat before training."""
    for seed in range(3):
        (token, topic, luck), (token_end, topic_end, luck_end), again = run(seed)
        assert token > 5 * topic > 0 and token_end > 2 * topic_end and topic_end > 2 * luck_end
        assert 2 * token < token_end < 3 * token and topic_end > 5 * topic and 0.05 < token < 0.15
        assert topic_end / topic > token_end / token and luck < 0.01
        assert again > 0.27 > 1 - comb(14, 2) / comb(16, 2)


def the_record_says_it() -> None:
    """Of seven shuffles each: stretches explain more than single characters, topics yet more."""
    trace = SAMPLES[0].load()
    experts, topics = trace.expert_LNK[0], trace.domain_N
    assert topics is not None
    stretch = 2 * trace.sequence_N + (np.arange(trace.n_tokens) % 96 >= 64)
    kind = topics[np.unique(stretch, return_index=True)[1]]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        single = [told(experts, rng.permutation(topics)) for _ in range(7)]
        whole = [told(experts, rng.permutation(kind)[stretch]) for _ in range(7)]
        assert 3 < np.mean(whole) / np.mean(single) < 6
        assert max(whole) < told(experts, topics) / 2


def h(chance: float) -> float:
    return -chance * log(chance) - (1 - chance) * log(1 - chance)


QUESTIONS = {
    "topic": [
        Worked(
            100 * shares(SAMPLES[0].load())[1],
            {"all": 100, "half": 50, "one_of_six": 50 / 3, "nothing": 0},
            within=0.05,
        ),
    ],
    "information": [
        Worked(
            100 * (h(0.5) - h(0.9)) / h(0.5),
            {"what_is_left": 100 * h(0.9) / h(0.5), "difference": 80,
             "not_divided": 100 * (h(0.5) - h(0.9)), "best_guess": 90},
            {"first": 90, "second": 10},
        ),
    ],
    "fresh": [
        Worked(
            100 * mean(0, 0), {"nothing": 0, "as_trained": 100 * mean(1, 0), "all": 100},
            within=0.02,
        ),
    ],
    "repetition": [
        Worked(
            100 * 13 / 28,
            {"one_given_expert": 25, "one_choice": 12.5, "both": 6.25, "mean_number": 50},
            {"experts": 8, "k": 2},
        ),
    ],
}  # fmt: skip


def growth() -> Drawn:
    names = ("the character", "the kind of text", "shuffled kinds of text")
    ends = [mean(1, which) for which in range(3)]
    return Drawn(
        {"explained": 15, "ends": 2},
        {
            "explained": [
                {"run": name, "step": step, "value": mean(when, which)}
                for which, name in enumerate(names)
                for when, step in enumerate((0, END))
            ],
            "ends": [
                {"step": END, "value": value, "label": f"{value:.0%}"} for value in ends[:2]
            ],
        },
        tuple(f"{name} {mean(0, i):.1%} at the start and {ends[i]:.1%} after 60 steps"
              for i, name in enumerate(names)),
        (f"{mean(0, 0):.0%} before the first step and {ends[0]:.0%}",
         f"explains {mean(0, 1):.0%}, and then {ends[1]:.0%}"),
    )  # fmt: skip


FIGURES = {"growth": growth}
CLAIMS = [each_run_says_it, the_record_says_it]
