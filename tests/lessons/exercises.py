"""What the exercises at the ends of the lessons come to, in their order.

Each gets the names of its lesson's code after it ran. An exercise that needs a command or a page
alone is None: `test_exercises.py` looks these up in its text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import moe
from moe import metrics
from moe.data import windows
from moe.lessons import lesson
from moe.routers.base import Router
from moe.traces.myths import topic_specialists
from tests.lessons.expected import ran

Names = dict[str, Any]
Exercise = Callable[[Names], None]


def again(name: str, seed: int) -> Names:
    """Run a lesson's code with another seed; its asserts may fail."""
    one = lesson(name)
    parts = [replace(part, text=part.text.replace("seed=0", f"seed={seed}")) for part in one.parts]
    assert parts != list(one.parts)
    return ran(replace(one, parts=tuple(parts))).names


def with_another_seed(name: str, *seeds: int) -> Exercise:
    """All asserts of a lesson hold with other seeds, too."""

    def holds(names: Names) -> None:
        for seed in seeds:
            again(name, seed)

    return holds


# In the order of the course ---------------------------------------------------------------------


def five_most_likely(names: Names) -> None:
    six = np.frombuffer(b"ing th", np.uint8)
    chance = names["softmax"](names["trainer"].predict(six[None])[0])
    assert chr(chance.argmax()) == "e" and np.sort(chance)[-5:].sum() > 0.5


def all_experts_are_of_use_with_seed_1(names: Names) -> None:
    other = again("expert", 1)
    assert max(names["alone"]) > names["without"] and max(other["alone"]) < other["without"]


def eight_slices(names: Names) -> None:
    cuts = [slice(8 * e, 8 * (e + 1)) for e in range(8)]
    gate, up = np.split(names["wide"].params["w_gate_up_D2F"], 2, axis=1)
    down, x = names["wide"].params["w_down_FD"], names["x"]
    total = sum(names["swiglu"](x, gate[:, cut], up[:, cut], down[cut]) for cut in cuts)
    assert np.allclose(total, names["wide"].forward(x)[0], atol=1e-5)


def five_more_changes_nothing(names: Names) -> None:
    logits_NE = np.log([[1.0, 2.0, 4.0, 1.0]])
    router = moe.make_router("topk", k=2)
    one, other = router.choose(logits_NE), router.choose(logits_NE + 5)
    assert np.array_equal(one.expert_A, other.expert_A)
    assert np.allclose(one.weight_A, other.weight_A) and np.allclose(one.scores_NE, other.scores_NE)


def a_single_expert_weighs_1_and_teaches_nothing(names: Names) -> None:
    router = moe.make_router("topk", k=1)
    routing = router.choose(np.log([[1.0, 2.0, 4.0, 1.0]]))
    assert routing.weight_A.tolist() == [1.0]
    assert not router.backward(routing, np.array([0.7])).any()


def random_places_touch_more(names: Names) -> None:
    trainer = names["trainer"]
    texts = [windows(text, 6) for _, text in trainer.task.held_out_texts(8, 128)]
    logits_NE = trainer.embed(np.concatenate(texts)) @ trainer.layer.params["gate_DE"]
    pair_NK = trainer.layer.router.choose(logits_NE).expert_A.reshape(-1, 2)
    mixed_NK = np.random.default_rng(0).permutation(pair_NK)
    counts = [len(set(mixed_NK[at : at + 16].ravel())) for at in range(0, len(mixed_NK) - 15, 16)]
    assert np.mean(counts) > names["touched"](trainer, 16) + 0.2


def a_shared_expert_does_not_help(names: Names) -> None:
    """Its answer stands below it, and has run with the lesson."""
    assert names["busiest"](names["shared"][-1]) > 0.2


def both_learning_is_closer_to_learning_experts(names: Names) -> None:
    both = names["price"]("none", 0)
    experts, gate = names["learning_experts"], names["learning_gate"]
    assert abs(both - experts) < abs(both - gate)


def equal_gradients_move_no_logit(names: Names) -> None:
    assert not names["router"].backward(names["routing"], np.array([0.5, 0.5])).any()


def a_hundredth_moves_few_choices(names: Names) -> None:
    rng = np.random.default_rng(0)
    logits_NE = rng.normal(size=(20_000, 8))
    first_NK, moved_NK = (
        np.sort(names["router"].choose(one).expert_A.reshape(-1, 2))
        for one in (logits_NE, logits_NE + rng.uniform(-0.01, 0.01, logits_NE.shape))
    )
    assert 0 < (first_NK != moved_NK).any(axis=1).mean() < 0.03


def a_proportional_bias_overshoots_too(names: Names) -> None:
    other = names["train"]("bias(form=proportional)", 0.1).summary().max_vio
    assert other > 2 * names["slow"].summary().max_vio


def trained_with_the_limit(names: Names) -> None:
    """Who learnt with other experts is not harmed by them: less than by dropping."""
    trainer = moe.Trainer(
        moe.TrainSettings(n_experts=8, steps=60, batch=256, capacity_factor=1.25, drop="reroute")
    )
    list(trainer.run())
    names["trainer"] = trainer
    whole = names["loss"](1.0, "none")
    assert names["loss"](1.25, "reroute") - whole < names["loss"](1.25, "order") - whole
    assert names["loss"](1.25, "reroute") - whole < names["elsewhere"] / 2


def nothing_is_dropped_from_max_vio_and_1_on(names: Names) -> None:
    trainer = moe.Trainer(moe.TrainSettings(n_experts=8, steps=60, batch=256, seed=0))
    list(trainer.run())
    routing = trainer.layer.route(trainer.embed(names["inputs"]))
    enough = metrics.max_vio(routing.load) + 1
    for factor, all_kept in ((enough, True), (0.97 * enough, False)):
        assert moe.Capacity(factor, "order").apply(routing).kept_A.all() == all_kept


def active_in_all_three_ways(names: Names) -> None:
    model = names["MODELS"]["gpt-oss-120b"]
    ways = [model.active(way) for way in ("with_input", "head_only", "neither")]
    table = 201_088 * 2880
    assert np.diff(ways).tolist() == [-table, -table]
    assert [round(way / 1e9, 2) for way in ways] == [5.71, 5.13, 4.55]


def as_much_stored(names: Names) -> None:
    """After 150 steps the wide dense layer is ahead of the mixture, after 300 behind it."""
    mixture = {"n_experts": 8, "k": 2, "d_expert": 64, "balance": "aux"}
    dense = {"n_experts": 1, "k": 1, "d_expert": 512, "router": "switch"}
    for seed in range(3):
        for steps, dense_is_ahead in ((150, True), (300, False)):
            losses = []
            for shape in (mixture, dense):
                trainer = moe.Trainer(
                    moe.TrainSettings(d_model=32, steps=steps, batch=256, seed=seed, **shape)
                )
                list(trainer.run())
                losses.append(trainer.evaluate())
            assert (losses[1] < losses[0]) == dense_is_ahead, (seed, steps, losses)


def enough_room_for_the_early(names: Names) -> None:
    """`order` keeps them all: more room comes with more tokens."""
    rng = np.random.default_rng(0)
    router, capacity = moe.make_router("topk", k=1), moe.Capacity(1.0, "order")
    for _ in range(50):
        logits_NE = rng.normal(size=(10, 4))
        few = capacity.apply(router.choose(logits_NE[:8])).kept_A
        assert (capacity.apply(router.choose(logits_NE)).kept_A[:8] >= few).all()


def sinkhorn_changes_its_mind(names: Names) -> None:
    router: Router = moe.make_router("sinkhorn", k=1)
    score_NE = np.array([[1.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    other_NE = np.vstack([score_NE[:3], [[9.0, 0.0]]])
    one, other = (router.choose(scores).expert_A[:3] for scores in (score_NE, other_NE))
    assert not np.array_equal(one, other)


def two_mistakes_are_both_named(names: Names) -> None:
    router, own = names["router"], names["OwnGate"]

    def gate(logits_NE: np.ndarray, bias_E: np.ndarray | None = None) -> tuple[Any, Any]:
        bias_E = np.zeros(16) if bias_E is None else bias_E
        expert_NK, _ = own(router, "mask_zero")(logits_NE, bias_E=bias_E)
        biased_NE = 1 / (1 + np.exp(-logits_NE)) + bias_E
        weight_NK = np.take_along_axis(biased_NE, expert_NK, axis=1)
        return expert_NK, router.scale * weight_NK / weight_NK.sum(axis=1, keepdims=True)

    assert set(moe.check_gate(gate, like=router).bugs) == {"bias_in_weights", "mask_zero"}


def a_question_finds_group_score(names: Names) -> None:
    assert names["found"]("group_score") == ("group_score",)


def topics_explain_more_where_few_experts_work(names: Names) -> None:
    other, first = (dict(topic_specialists(names["SAMPLES"][i].load()).figures) for i in (2, 0))
    assert other["domain_above_chance"] > 1.2 * first["domain_above_chance"]


def the_surest_character(names: Names) -> None:
    id_V, _, share_V = metrics.vocabulary_specialisation(names["routing"], names["ids"])
    assert bytes(id_V[share_V == share_V.max()].tolist()) == b"P" and share_V.max() == 1


EXERCISES: dict[str, tuple[Exercise | None, ...]] = {
    "letters": (five_most_likely, with_another_seed("letters", 1)),
    "expert": (all_experts_are_of_use_with_seed_1, eight_slices),
    "router": (
        five_more_changes_nothing, a_single_expert_weighs_1_and_teaches_nothing, None,
    ),
    "layer": (random_places_touch_more, None),
    "gradient": (
        both_learning_is_closer_to_learning_experts, equal_gradients_move_no_logit,
        a_hundredth_moves_few_choices,
    ),
    "collapse": (with_another_seed("collapse", 1, 2), a_shared_expert_does_not_help),
    "cures": (a_proportional_bias_overshoots_too, None, None),
    "full": (trained_with_the_limit, nothing_is_dropped_from_max_vio_and_1_on, None),
    "saved": (active_in_all_three_ways, as_much_stored, None),
    "specialise": (topics_explain_more_where_few_experts_work, the_surest_character, None),
    "causal": (enough_room_for_the_early, sinkhorn_changes_its_mind),
    "check": (two_mistakes_are_both_named, a_question_finds_group_score),
    "bytes": (None, None),
}  # fmt: skip
LONG = ("collapse", 0), ("saved", 1)  # which take more than a few seconds
