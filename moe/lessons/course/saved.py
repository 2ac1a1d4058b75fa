"""Questions and figure of lesson 8: which share of a model is used, and what must be stored."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np

from ...cost import MODELS, ModelConfig, check_models
from ...pictures.figure import Drawing, Figure, Rows, draw
from ...pictures.marks import end_labels, key, keyed
from ...pictures.palette import BLUE, FAIR, GOAL, PAPER_INK, VERMILION
from ..picture import Picture
from ..question import Question, Slip, Values

V3, MIXTRAL = MODELS["deepseek-v3"], MODELS["mixtral-8x7b"]
READ = {"verified": "read at their source", "second-hand": "quoted by others †"}
LABELLED = ("DeepSeek-V3", "Mixtral-8x7B", "Llama-4-Scout", "gpt-oss-120b", "Qwen1.5-MoE-A2.7B")
LOW, HIGH = 0.015, 0.4


def mixtures() -> list[ModelConfig]:
    """All models of the table that have experts."""
    return [model for model in MODELS.values() if model.experts]


def active_share(model: ModelConfig) -> float:
    """Active over all parameters, in the convention of the published figure."""
    return model.active_params / model.total_params


def times(model: ModelConfig) -> float:
    """The active share, counted in k/E."""
    return active_share(model) * model.experts / model.top_k


def _share(rng: np.random.Generator) -> Values:
    return {
        "experts": int(rng.choice([16, 32, 64, 128])),
        "size": int(rng.integers(10, 90)),
        "k": int(rng.integers(2, 9)),
        "rest": int(rng.integers(100, 900)),
    }


def _parts(v: Values) -> tuple[float, float, float]:
    """Millions of weights: of the experts that run, of all experts, of the rest."""
    return v["k"] * v["size"], v["experts"] * v["size"], v["rest"]


def _percent(v: Values) -> float:
    run, stored, rest = _parts(v)
    return 100 * (run + rest) / (stored + rest)


def _bytes(rng: np.random.Generator) -> Values:
    total = int(rng.integers(20, 700))
    return {
        "total": total,
        "active": max(1, round(total * float(rng.uniform(0.04, 0.3)))),
        "bits": int(rng.choice([4, 16])),
    }


QUESTIONS = {
    "active": Question(
        form=lambda v: 100 * active_share(V3),
        tolerance=0.06,
        unit="%",
        why="Less than half of it is attention and other parts that every token uses.",
        slips=(
            Slip("k_of_e", lambda v: 100 * V3.top_k / V3.experts,
                 "That is 8 of 256. It would be right if the model consisted of experts alone."),
            Slip("shared_too", lambda v: 100 * (V3.top_k + 1) / (V3.experts + 1),
                 "You remembered the shared expert. Attention, dense layers and the output "
                 "table are missing."),
            Slip("input_table", lambda v: 100 * V3.active("with_input") / V3.total_params,
                 "You counted the table at the input. A token only looks up one row of it, and "
                 "the published figure fits without it."),
            Slip("all", lambda v: 100, "All are stored. Asked is what one token uses."),
        ),
    ),
    "mixtral": Question(
        form=lambda v: MIXTRAL.total_params / 1e9,
        tolerance=0.5,
        unit="billion",
        why="Eight experts in each layer, but attention and the tables only once.",
        slips=(
            Slip("eight_models", lambda v: 56,
                 "It is not eight models of 7 billion. An expert is a part of a layer, and all "
                 "eight share one attention."),
            Slip("active", lambda v: MIXTRAL.active_params / 1e9,
                 "That is what a token uses. All eight experts are stored."),
            Slip("two_models", lambda v: 14, "Those would be two models of 7 billion."),
            Slip("one_model", lambda v: 7, "All eight are stored."),
        ),
    ),
    "share": Question(
        draw=_share,
        form=_percent,
        tolerance=0.3,
        unit="%",
        why="The rest counts above and below the line.",
        slips=(
            Slip("k_of_e", lambda v: 100 * v["k"] / v["experts"],
                 "That is the share of the experts. Every token uses the other {rest} million."),
            Slip("rest_stored_only", lambda v: 100 * _parts(v)[0] / sum(_parts(v)[1:]),
                 "You counted the rest as stored, and not as used."),
            Slip("rest_used_only", lambda v: 100 * (_parts(v)[0] + _parts(v)[2]) / _parts(v)[1],
                 "You counted the rest as used, and not as stored."),
            Slip("one_expert", lambda v: 100 * (v["size"] + v["rest"]) / sum(_parts(v)[1:]),
                 "{k} experts run for a token, not one."),
        ),
    ),
    "bytes": Question(
        draw=_bytes,
        form=lambda v: v["total"] * v["bits"] / 8,
        tolerance=0.4,
        unit="GB",
        why="All weights have to be there, since the next token may need others.",
        slips=(
            Slip("active_only", lambda v: v["active"] * v["bits"] / 8,
                 "That is what one token reads. The next one needs other experts, so all of them "
                 "have to be there."),
            Slip("bits", lambda v: v["total"] * v["bits"], "Those are bits. A byte has eight."),
            Slip("one_byte", lambda v: v["total"],
                 "So it would be with one byte for each weight. Here it is {bits} bits."),
        ),
    ),
}  # fmt: skip


def shares() -> Picture:
    """Draw each model's active share against k/E."""
    models = mixtures()
    rows: Rows = [
        {"model": model.name, "k_of_e": model.top_k / model.experts,
         "active": active_share(model), "read": READ[model.published_check],
         "label": _label(model)}
        for model in models
    ]  # fmt: skip
    line: Rows = [{"k_of_e": at, "active": at} for at in (LOW, HIGH)]
    scale = alt.Scale(type="log", domain=[LOW, HIGH], nice=False)
    ticks: dict[str, Any] = {"values": [0.02, 0.05, 0.1, 0.2, 0.4], "format": ".0%"}
    x = alt.X("k_of_e:Q", scale=scale, axis=alt.Axis(title="k/E", **ticks))
    y = alt.Y("active:Q", scale=scale, axis=alt.Axis(title="active share", **ticks))
    base = draw("models").encode(x=x, y=y)
    marks = base.mark_point(size=70, strokeWidth=2).encode(
        color=keyed(alt.Color, "read:N", dict(zip(READ.values(), (BLUE, VERMILION), strict=True)),
                    key()),
        shape=keyed(alt.Shape, "read:N",
                    dict(zip(READ.values(), ("circle", "square"), strict=True)), key()),
        tooltip=["model:N", alt.Tooltip("k_of_e:Q", format=".1%", title="k/E"),
                 alt.Tooltip("active:Q", format=".1%", title="active")],
    )  # fmt: skip
    equal = draw("equal").mark_line(strokeDash=GOAL, strokeWidth=1.5, color=FAIR).encode(x=x, y=y)
    words = end_labels(base, PAPER_INK, align="right", dx=-8, dy=-6)
    least, most = min(models, key=times), max(models, key=times)
    names = {model.name for model in models}
    checks = [one for one in check_models() if one.what.partition(":")[0] in names]
    told = "; ".join(
        f"{name} {active_share(MODELS[name.lower()]):.1%} for a k/E of "
        f"{MODELS[name.lower()].top_k / MODELS[name.lower()].experts:.1%}"
        for name in LABELLED
    )
    figure = Figure(
        "More of a model is active than k of E says",
        Drawing(alt.LayerChart(layer=[equal, marks, words]).properties(height=300)),
        f"{len(models)} marks, all above a dashed line at which both are equal: {told}.",
        {"models": rows, "equal": line},
    )
    return Picture(
        figure,
        {
            "models": len(models), "least": f"{times(least):.2f}", "most": f"{times(most):.2f}",
            "least_name": _named(least), "most_name": _named(most), "figures": len(checks),
            "agree": sum(one.verdict == "agrees" for one in checks),
        },
    )  # fmt: skip


def _named(model: ModelConfig) -> str:
    return model.name + ("†" if model.published_check == "second-hand" else "")


def _label(model: ModelConfig) -> str:
    return _named(model) if model.name in LABELLED else ""


FIGURES = {"shares": shares}
