"""Numbers of lesson 8, worked out apart from the lesson."""

from __future__ import annotations

import csv
from pathlib import Path

import moe
from moe.cost import MODELS, check_models
from tests.lessons.expected import Drawn, Worked

TABLE = Path(moe.__file__).with_name("cost") / "models.csv"


def mixtures() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if MODELS[row["name"].lower()].experts]


def shares(name: str) -> tuple[float, float]:
    """k/E and the active share."""
    model = MODELS[name.lower()]
    parts = model.params
    used = parts.attention + parts.dense + parts.shared + parts.router + parts.norms
    used += parts.active_experts
    tables = {"with_input": parts.embedding + parts.head, "head_only": parts.embedding}
    used += tables.get(model.active_convention, 0)
    return model.top_k / model.experts, used / model.total_params


def mixtures_are_better_at_equal_operations() -> None:
    losses = {}
    for seed in range(3):
        for experts, k, width, router in ((8, 2, 64, "topk"), (1, 1, 128, "switch")):
            trainer = moe.Trainer(
                moe.TrainSettings(
                    d_model=32, steps=300, batch=256, seed=seed, n_experts=experts, k=k,
                    d_expert=width, router=router, balance="aux" if experts > 1 else "none",
                )
            )  # fmt: skip
            list(trainer.run())
            losses[experts] = trainer.evaluate()
        assert 0.01 < losses[1] - losses[8] < 0.1


def published_shapes_say_what_the_lesson_says() -> None:
    for row in mixtures():
        of_experts, active = shares(row["name"])
        assert active > of_experts
    v3 = MODELS["deepseek-v3"]
    ways = [v3.active(way) / 1e9 for way in ("with_input", "head_only", "neither")]
    assert [round(way, 1) for way in ways] == [37.6, 36.6, 35.7]


def active_bits() -> float:
    attention = 61 * (
        7168 * 1536 + 1536 * 128 * 192 + 1536 + 7168 * 576 + 512 + 512 * 128 * 256
        + 128 * 128 * 7168
    )  # fmt: skip
    expert = 3 * 7168 * 2048
    routers = 58 * 256 * (7168 + 1)
    dense, norms, head = 3 * 3 * 7168 * 18432, 123 * 7168, 129280 * 7168
    return attention + dense + 58 * 9 * expert + routers + norms + head


V3_TOTAL = active_bits() + 58 * 248 * 3 * 7168 * 2048 + 129280 * 7168
MIXTRAL = 32 * (
    2 * 4096 * 4096 + 2 * 4096 * 1024 + 8 * 3 * 4096 * 14336 + 8 * 4096 + 2 * 4096
) + 4096 + 2 * 32000 * 4096  # fmt: skip
QUESTIONS = {
    "active": [
        Worked(
            100 * active_bits() / V3_TOTAL,
            {"k_of_e": 3.125, "shared_too": 100 * 9 / 257,
             "input_table": 100 * (active_bits() + 129280 * 7168) / V3_TOTAL, "all": 100},
        ),
    ],
    "mixtral": [
        Worked(
            MIXTRAL / 1e9,
            {"eight_models": 56, "two_models": 14, "one_model": 7,
             "active": (MIXTRAL - 32 * 6 * 3 * 4096 * 14336) / 1e9},
        ),
    ],
    "share": [
        Worked(
            100 * 200 / 900,
            {"k_of_e": 12.5, "rest_stored_only": 100 * 100 / 900, "rest_used_only": 25,
             "one_expert": 100 * 150 / 900},
            {"experts": 16, "size": 50, "k": 2, "rest": 100},
        ),
    ],
    "bytes": [
        Worked(
            200, {"active_only": 20, "bits": 1600, "one_byte": 100},
            {"total": 100, "active": 10, "bits": 16},
        ),
    ],
}  # fmt: skip


def drawn() -> Drawn:
    rows = mixtures()
    named = ("DeepSeek-V3", "Mixtral-8x7B", "Llama-4-Scout", "gpt-oss-120b", "Qwen1.5-MoE-A2.7B")
    marks = {row["name"]: row["published_check"] for row in rows}
    both = {name: shares(name) for name in marks}
    times = {name: active / of_experts for name, (of_experts, active) in both.items()}
    least, most = min(times, key=times.__getitem__), max(times, key=times.__getitem__)
    dagger = {name: name + "†" * (check == "second-hand") for name, check in marks.items()}
    verdicts = [one.verdict for one in check_models() if one.what.rpartition(":")[0] in marks]
    return Drawn(
        {"models": len(rows), "equal": 2},
        {
            "models": [
                {
                    "model": name, "k_of_e": both[name][0], "active": both[name][1],
                    "read": {"verified": "read at their source",
                             "second-hand": "quoted by others †"}[marks[name]],
                    "label": dagger[name] if name in named else "",
                }
                for name in marks
            ],
            "equal": [{"k_of_e": 0.015, "active": 0.015}, {"k_of_e": 0.4, "active": 0.4}],
        },
        tuple(f"{name} {both[name][1]:.1%} for a k/E of {both[name][0]:.1%}" for name in named),
        (f"for {len(rows)} published", f"{dagger[least]} has {times[least]:.2f} times",
         f"{dagger[most]} {times[most]:.2f} times",
         f"{len(verdicts)} published figures for them {verdicts.count('agrees')} agree"),
    )  # fmt: skip


FIGURES = {"shares": drawn}
CLAIMS = [mixtures_are_better_at_equal_operations, published_shapes_say_what_the_lesson_says]
