"""The table of all figures: a row for each chart function, made from a record.

A row is a figure and, beside it, what stands in its data (worked out anew from the record), which
mark shows which field on which channel with which colour for which series, and what screen readers
are told.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from docs.generator import lm_chart, method_charts, speed_chart, strength_chart
from moe import metrics
from moe.app.balance import chart as balance
from moe.app.cure import chart as cure
from moe.app.cure.story import chance
from moe.app.distil import chart as distil
from moe.app.expert_cache import chart as little
from moe.app.expert_cache import story as lab_little
from moe.app.five_million import chart as money
from moe.app.five_million import chips as lab_limits
from moe.app.five_million import claim as lab_claim
from moe.app.five_million import sizes
from moe.app.five_million import story as lab_money
from moe.app.gate import chart as gate
from moe.app.gate import game
from moe.app.language_model import chart as language
from moe.app.moving_data import chart as moving
from moe.app.moving_data import story as lab_moving
from moe.app.moving_data import yesterday as lab_yesterday
from moe.app.play import chart as play
from moe.app.play.plan import Plan
from moe.app.real_models import chart as models
from moe.app.real_models import story as lab_models
from moe.app.routers import chart as routers
from moe.app.savings import chart as savings
from moe.app.scaling import chart as scaling
from moe.app.shared import class_chart
from moe.app.shared.guesses import Tally
from moe.app.start import chart as start
from moe.app.think import chart as think
from moe.app.your_model import chart as your_model
from moe.app.your_model import closer
from moe.cluster import homes
from moe.expert_cache.published import PATH as KEPT
from moe.lm.tasks import decode
from moe.numbers import count, digits, dollars, gigabytes
from moe.pictures.experts import EXPERT_COLOURS, letter_ink
from moe.pictures.figure import Figure, Rows
from moe.pictures.palette import PAPER_INK
from moe.scaling.budget import compare
from moe.scaling.runs import fitted, runs
from moe.studies import savings as lab_savings
from moe.studies import thinking
from moe.studies.language_model import Step
from moe.sweeps import chart as sweep
from moe.traffic.tables import load_table
from moe.training import LiveRun
from tests.pictures import records

Drawn = list[tuple[str, str, dict[str, Any]]]
# Colours as the pages explain them.
BUSY = {0: "#1F7DC3", 1: "#868E99", 2: "#B27655", 4: "#DE6210"}
RUNS = {"A": "#B0509A", "B": "#12906C"}
RUN_DASHES = {"A": (1, 0), "B": (7, 4)}
LAYERS = {"MoE": "#0072B2", "Dense, equal total": "#D55E00", "Dense, equal active": "#009E73"}
LINK = {"network": "#B0509A", "NVLink": "#12906C"}
FITS = {"fits": "#009E73", "does not fit": "#868E99"}
FIT_SHAPES = {"fits": "circle", "does not fit": "square"}
DOLLARS = (
    "|||(datum.value >= 1e9 ? '$' + datum.value / 1e9 + 'B' : datum.value >= 1e6 ? '$' + "
    "datum.value / 1e6 + 'M' : '$' + datum.value / 1e3 + 'K')"
)
TIMES = "|||datum.label + '×'"


@dataclass(frozen=True)
class Shown:
    """A figure, and what has to be in it."""

    figure: Figure
    data: dict[str, Rows]
    drawn: Drawn
    told: tuple[str, ...] = ()
    said: tuple[tuple[str, str], ...] = ()  # fields that the browser calculates


TABLE: dict[str, list[Callable[[], Shown]]] = {}


def of(chart: Callable[..., Any]) -> Callable[[Callable[[], Shown]], Callable[[], Shown]]:
    """Enter a row for a chart function."""

    def enter(make: Callable[[], Shown]) -> Callable[[], Shown]:
        TABLE.setdefault(f"{chart.__module__}.{chart.__name__}", []).append(make)
        return make

    return enter


def poster(figure: Figure, parts: list[Shown]) -> Shown:
    """A sheet of figures: their data and marks, one after the other."""
    data = {name: rows for part in parts for name, rows in part.data.items()}
    drawn = [mark for part in parts for mark in part.drawn]
    return Shown(figure, data, drawn, tuple(part.figure.alt for part in parts))


# Balance ---------------------------------------------------------------------------------------


@of(balance.over_steps)
def one_measure(name: str = "max_vio", form: str = "") -> Shown:
    runs = records.two_runs()
    table = f"over_steps_{name}"
    rows = [
        {"run": letter, "step": float(record.step), "value": float(getattr(record, name))}
        for letter, run in zip("AB", runs, strict=True)
        for record in run.records  # fewer than a hundred, so that each is a point
    ]
    ends = [getattr(run.records[-1], name) for run in runs]
    spec = {"max_vio": ".2f", "loss": ".2f", "dropped": ".0%", "dead": ".0f"}[name]
    return Shown(
        balance.over_steps(*runs, name),
        {table: rows},
        [("line", table, {
            "x": "step|step", "y": f"value{form}", "color": ("run", RUNS),
            "strokeDash": ("run", RUN_DASHES),
        })],
        tuple(f"{letter} ({run.name()}) ends at {end:{spec}}"
              for letter, run, end in zip("AB", runs, ends, strict=True)),
    )  # fmt: skip


@of(balance.over_steps)
def a_share_over_steps() -> Shown:
    return one_measure("dropped", "||.0%")


@of(balance.over_steps)
def idle_experts_over_steps() -> Shown:
    return one_measure("dead")


@of(balance.final_load)
def loads_at_the_end(at: int = 1) -> Shown:
    letter, run = "AB"[at], records.two_runs()[at]
    load_E = sum(record.proposed.astype(float) for record in run.records[-20:])
    share_E = load_E / load_E.sum()
    return Shown(
        balance.final_load(letter, run),
        {
            f"load_{letter}": [
                {"expert": name, "share": share, "ratio": 8 * share}
                for name, share in zip("ABCDEFGH", share_E)
            ],
            f"fair_{letter}": [{"fair": 1 / 8}],
        },
        [
            ("bar", f"load_{letter}", {
                "x": "expert|expert", "y": "share||%", "color": ("ratio", BUSY)}),
            ("rule", f"fair_{letter}", {"y": "fair"}),
        ],
        (f"run {letter}: the busiest has {share_E.max():.1%}, the fair share is 12.5%",),
    )  # fmt: skip


@of(balance.poster)
def both_runs_on_a_sheet() -> Shown:
    parts = [loads_at_the_end(0), loads_at_the_end(1), one_measure("max_vio"), one_measure("loss")]
    return poster(balance.poster(*records.two_runs()), parts)


# The benchmark ---------------------------------------------------------------------------------


@of(speed_chart.used)
def shares_of_the_machine() -> Shown:
    shares = {
        "Forward": [{"shape": "s", "name": "moe", "share": 0.5},
                    {"shape": "s", "name": "x", "share": 0.25},
                    {"shape": "s", "name": "y", "share": 0.75}],
        "Both": [{"shape": "t", "name": "moe", "share": 0.4},
                 {"shape": "t", "name": "x", "share": 0.1}],
    }  # fmt: skip
    colours = {"moe": "#D55E00", "x": "#56606B", "y": "#0072B2"}
    shapes = {"moe": "circle", "x": "cross", "y": "square"}
    channels = {"x": "share||%", "y": "shape", "color": ("name", colours),
                "shape": ("name", shapes)}  # fmt: skip
    return Shown(
        speed_chart.used(shares), shares, [("point", name, channels) for name in shares],
        ("Forward: s moe 50%, y 75%. Both: t moe 40%, x 10%.",),
    )  # fmt: skip


# Cure ------------------------------------------------------------------------------------------

LINE_COLOURS = ["#0072B2", "#12906C", "#D55E00", "#B0509A", "#868E99"]
LINE_LOOKS = {
    "stroke": ("line", dict(enumerate(LINE_COLOURS))),
    "strokeDash": ("line", dict(enumerate([(7, 4), (1, 0), (1, 0), (2, 3), (6, 4)]))),
    "strokeWidth": ("line", dict(enumerate([2, 4, 2, 2, 1.5]))),
}
LINE_FILL = {"fill": ("line", dict(enumerate(LINE_COLOURS)))}


def before_names(field: str, first: int, last: int) -> dict[str, Any]:
    """The channel of steps, which leaves room for the names at the ends."""
    return {"x": (field, {first: 0, last: {"expr": "width - 140"}})}


def names_drawn(first: int, last: int) -> Drawn:
    at = before_names("step", first, last) | {"y": "place||+.0%"}
    return [("square", "ends", LINE_FILL | at), ("text", "ends", at | {"text": "label"})]


def end_names(named: list[tuple[int, str, float]], step: float, top: float) -> Rows:
    """Names of lines at their ends, the lowest first, at least 18 of 270 pixels apart."""
    placed: dict[int, float] = {}
    lowest = 0.0
    for line, _, end in sorted(named, key=lambda one: max(one[2], 0.02 * top)):
        placed[line] = max(end, 0.02 * top, lowest)
        lowest = placed[line] + top * 18 / 270
    return [
        {"line": line, "step": step, "label": f"{name} {end:+.0%}", "place": placed[line]}
        for line, name, end in named
    ]


@of(cure.step_response)
def lines_of_controllers() -> Shown:
    responses = records.responses()[:3]
    rows = []
    for line, one in enumerate(responses):
        cuts = np.unique(np.linspace(1, 41, 60).astype(int))  # stretches end there
        for low, high in zip([0, *cuts[:-1]], cuts, strict=True):
            part = one.load_SE[low:high].max(axis=1) * 8 / one.load_SE[low:high].sum(axis=1) - 1
            at = 1.0 if low == 0 else 41.0 if high == 41 else (low + 1 + high) / 2
            rows.append({
                "line": line, "step": at, "mean": part.mean(), "low": part.min(),
                "high": part.max(),
            })  # fmt: skip
    names = ("a tenth", "your push", "ten times")
    top = max(row["high"] for row in rows)
    ends = [
        (line, name, one.max_vio_S[-8:].mean())
        for line, (name, one) in enumerate(zip(names, responses, strict=True))
    ]
    x = before_names("step|steps|,d", 1, 41)
    return Shown(
        cure.step_response(responses),
        {
            "response": rows,
            "ends": end_names([*ends, (4, "even below", 0.1)], 41, top),
            "goal": [{"goal": 0.1, "from": 1, "to": 41}],
            "room": [{"room": top}],
        },
        [
            ("rule", "goal", before_names("from", 1, 41) | {"x2": "to", "y": "goal||+.0%"}),
            ("area", "response", x | LINE_FILL | {"y": "low||+.0%", "y2": "high"}),
            ("line", "response", x | LINE_LOOKS | {"y": "mean||+.0%"}),
            ("point", "room", {"y": "room||+.0%"}),
            *names_drawn(1, 41),
        ],
        tuple(f"{name} ({one.method.title}) ends at {end:+.1%}"
              for (_, name, end), one in zip(ends, responses, strict=True)),
    )  # fmt: skip


@of(cure.end_loads)
def loads_of_two_steps() -> Shown:
    response = records.responses()[2]
    before_E, last_E = response.load_SE[-2:] * 8 / response.load_SE[-2:].sum(axis=1, keepdims=True)
    rows = [{"expert": "ABCDEFGH"[e], "load": last_E[e], "before": before_E[e]} for e in range(8)]
    return Shown(
        cure.end_loads(response, "ten times"),
        {"loads": rows, "fair": [{"fair": 1}]},
        [
            ("bar", "loads", {"x": "expert", "y": f"load{TIMES}", "color": ("load", BUSY)}),
            ("rule", "fair", {"y": f"fair{TIMES}"}),
            ("tick", "loads", {"x": "expert", "y": f"before{TIMES}"}),
        ],
        (f"in the last step, from {last_E.min():.2f} to {last_E.max():.2f} fair shares",
         f"in the step before from {before_E.min():.2f} to {before_E.max():.2f}"),
    )  # fmt: skip


@of(cure.live)
def lines_of_live_runs() -> Shown:
    runs, settings = records.live()
    level = chance(next(iter(settings.values())))
    lines = dict(zip((0, 3), runs.values(), strict=True))  # two are still missing
    rows = [
        {"line": line, "step": float(one.step), "value": one.max_vio}
        for line, run in lines.items()
        for one in run.records
    ]
    ends = [
        (line, name, float(np.mean([one.max_vio for one in lines[line].records[-20:]])))
        for line, name in ((0, "a tenth"), (3, "no push"))
    ]
    steps = next(iter(settings.values())).steps
    return Shown(
        cure.live(runs, settings, ("a tenth", "your push", "ten times", "no push")),
        {
            "live": rows,
            "ends": end_names(
                [*ends, (4, "chance alone", level)], steps, max(row["value"] for row in rows)
            ),
            "chance": [{"chance": level, "from": 0, "to": steps}],
        },
        [
            ("rule", "chance", before_names("from", 0, steps) | {"x2": "to", "y": "chance||+.0%"}),
            (
                "line",
                "live",
                LINE_LOOKS
                | {"y": "value||+.0%"}
                | before_names("step|step of training|,d", 0, steps),
            ),
            *names_drawn(0, steps),
        ],
        tuple(f"{name} ends at {end:+.0%}" for _, name, end in ends),
    )


# Methods ---------------------------------------------------------------------------------------


@of(method_charts.assignment)
def tokens_by_experts() -> Shown:
    routing = records.routing()
    asked_E = np.bincount(routing.expert_A, minlength=6)
    load_E = np.bincount(routing.expert_A[routing.kept_A], minlength=6)
    half_A = 0.45 * np.maximum(routing.weight_A / routing.weight_A.max(), 0.06)
    rows = [
        {
            "token": token, "from": token + 0.08, "to": token + 0.92,
            "low": expert + 0.5 - half, "high": expert + 0.5 + half, "ratio": asked_E[expert] / 4,
            "expert": str(expert), "weight": weight, "fate": "kept" if kept else "dropped",
        }
        for token, expert, weight, half, kept in zip(
            routing.token_A, routing.expert_A, routing.weight_A, half_A, routing.kept_A, strict=True
        )
    ]  # fmt: skip
    loads = [
        {
            "expert": str(e), "middle": e + 0.5, "low": e + 0.18, "high": e + 0.82,
            "load": load_E[e], "ratio": asked_E[e] / 4,
            "label": f"{load_E[e]}" + (f" of {asked_E[e]}" if load_E[e] < asked_E[e] else ""),
        }
        for e in range(6)
    ]  # fmt: skip
    names = "||['0','1','2','3','4','5'][floor(datum.value)]"
    busy = {"color": ("ratio", BUSY)}
    lost = [(routing.expert_A[a], routing.token_A[a]) for a in (3, 10)]
    assert (load_E < asked_E).any()
    return Shown(
        method_charts.assignment("title", routing, np.repeat([0, 1, 2], 4)),
        {"marks": rows, "loads": loads, "fair": [{"fair": 4.0}], "kinds": [{"at": 4}, {"at": 8}]},
        [
            ("rule", "kinds", {"x": "at"}),
            ("rect", "marks", busy | {
                "x": "from|token, in order of kind|d", "x2": "to", "y": f"low|expert{names}",
                "y2": "high", "stroke": ("ratio", BUSY),
                "fillOpacity": ("fate", {"kept": 1.0, "dropped": 0.0})}),
            ("rect", "loads", busy | {
                "x": "load|load", "x2": "=0", "y": f"low|{names}", "y2": "high"}),
            ("rule", "fair", {"x": "fair"}),
            ("text", "loads", {"x": "=150", "y": "middle", "text": "label"}),
        ],
        tuple(f"of expert {expert} tokens {token}" for expert, token in lost),
    )  # fmt: skip


@of(method_charts.cure)
def with_and_without() -> Shown:
    runs = dict(zip(("without", "with"), records.zero_computation(), strict=True))
    n = 8 - len(runs["with"].settings.make_router().specials)
    channels = {
        "x": "step|step", "color": ("run", {"without": "#B0509A", "with": "#12906C"}),
        "strokeDash": ("run", {"without": (7, 4), "with": (1, 0)}),
    }  # fmt: skip
    panels = {
        "panel_0": lambda record: record.max_vio,
        "panel_1": lambda record: record.load[:n].sum() / 64,
    }
    return Shown(
        method_charts.cure("title", *runs.values()),
        {
            panel: [
                {"run": name, "step": float(record.step), "value": float(value(record))}
                for name, run in runs.items()
                for record in run.records
            ]
            for panel, value in panels.items()
        },
        [("line", "panel_0", channels | {"y": "value|MaxVio"}),
         ("line", "panel_1", channels | {"y": "value|Experts that compute per token"})],
        ("25 training steps without and with the balancer",),
    )  # fmt: skip


# Real models -----------------------------------------------------------------------------------


@of(models.load_map)
def map_of_a_real_model() -> Shown:
    table = load_table("v2-lite")
    layers = [f"layer {at}" for at in range(1, 27)]
    rows = []
    for r, load_E in enumerate(table.loads["law"]):
        for expert, load in enumerate(load_E):
            ratio = load / (table.tokens["law"] * 6 / 64)
            half = 0.06 + 0.4 * min(ratio / 4, 1)
            rows.append({
                "row": layers[r], "column": expert, "expert": expert, "ratio": ratio,
                "low": r + 0.5 - half, "high": r + 0.5 + half,
            })  # fmt: skip
    names = ",".join(f"'{layer}'" for layer in layers)
    top = max(rows, key=lambda row: row["ratio"])
    return Shown(
        models.load_map("Law"),
        {"map": rows},
        [("rect", "map", {
            "x": "column|64 experts", "y": f"low|||[{names}][floor(datum.value)]", "y2": "high",
            "color": ("ratio|fair shares", BUSY)})],
        (f"The busiest is expert {top['expert']} of {top['row']}: ",
         f": {digits(top['ratio'])} fair shares."),
    )  # fmt: skip


@of(models.one_expert)
def the_expert_that_nearly_all_choose() -> Shown:
    table = load_table("olmoe")
    names = {
        "arxiv": "arXiv", "tulu": "chats (Tulu)", "github": "code (GitHub)",
        "wikipedia": "Wikipedia", "c4": "web pages (C4)", "book": "books",
    }  # fmt: skip
    labels = ("98%", "23%", "15%", "7.8%", "7.3%", "0.6%")
    rows = [
        {"text": said, "share": table.loads[text][0][0] / table.tokens[text], "label": label}
        for (text, said), label in zip(names.items(), labels, strict=True)
    ]
    return Shown(
        models.one_expert(),
        {"texts": rows, "fair": [{"fair": 8 / 64}]},
        [
            ("bar", "texts", {"y": "text", "x": "share||%"}),
            ("rule", "fair", {"x": "fair||%"}),
            *[("text", "texts", {"y": "text", "x": "share||%", "text": "label"})] * 2,
        ],
        ("12.5%", *(f"{row['text']}: {row['label']}" for row in rows)),
    )  # fmt: skip


@of(models.how_uneven)
def the_busiest_experts_of_three_models() -> Shown:
    names = {
        "intent": "requests", "law": "law", "summary": "summaries", "translation": "translation",
        "arxiv": "arXiv", "book": "books", "c4": "web pages (C4)", "github": "code (GitHub)",
        "wikipedia": "Wikipedia", "tulu": "chats (Tulu)",
    }  # fmt: skip
    bars, dots, most = [], [], []
    for table in map(load_table, ("v2-lite", "olmoe", "mixtral")):
        times = {
            text: sum(max(load_E) * len(load_E) / sum(load_E) for load_E in layers) / len(layers)
            for text, layers in table.loads.items()
        }
        mean = sum(times.values()) / len(times)
        span = f"{min(times.values()):.1f} to {max(times.values()):.1f}"
        bars.append({"model": table.model, "times": mean,
                     "label": f"{table.model}: {mean:.1f} ({span})"})  # fmt: skip
        dots += [{"model": table.model, "text": names[t], "times": n} for t, n in times.items()]
        most.append({"model": table.model, "most": table.n_experts / table.k})
    title = "|rings: each text; tick: the most that is possible"
    place = {"y": "model", "x": "times" + title}
    return Shown(
        models.how_uneven(),
        {"models": bars, "texts": dots, "most": most, "even": [{"even": 1.0}]},
        [
            ("bar", "models", place),
            ("rule", "even", {"x": "even" + title}),
            ("tick", "most", {"y": "model", "x": "most" + title}),
            ("point", "texts", place),
            *[("text", "models", {"y": "model", "x": "=0", "text": "label"})] * 2,
        ],
        tuple(row["label"] for row in bars),
    )  # fmt: skip


@of(models.total_and_active)
def models_stored_and_used() -> Shown:
    answers = records.answers()
    rows = [
        {
            "model": one.model.name, "total": one.model.total_params / 1e9,
            "active": one.active / 1e9,
            "published_total": one.model.published_total / 1e9 or None,
            "published_active": one.model.published_active / 1e9 or None,
            "kind": "fits" if one.needed_gb <= 0.9 * 24 else "does not fit",
            "side": lab_models.NAMED.get(one.model.name),
        }
        for one in answers.rows
    ]  # fmt: skip
    total, active = "|stored (total)", "|used by one token (active)"
    place = {"x": "total" + total, "y": "active" + active}
    most = max(rows, key=lambda row: row["total"] / row["active"])
    return Shown(
        models.total_and_active(answers),
        {"models": rows, "dense": [{"at": 1.0}, {"at": 1000.0}]},
        [
            ("line", "dense", {"x": "at" + total, "y": "at" + active, "dash": (6, 4)}),
            ("point", "models", place | {"color": ("kind", FITS), "shape": ("kind", FIT_SHAPES)}),
            ("point", "models", {
                "x": "published_total" + total, "y": "published_active" + active,
                "where": "datum.published_active != null && datum.published_total != null"}),
            *(("text", "models", place | {"text": "model", "where": f"datum.side == '{side}'"})
              for side in ("left", "right", "below")),
        ],
        (f"{most['model']} lies furthest below it",),
    )  # fmt: skip


@of(models.speeds)
def speeds_of_models() -> Shown:
    answers = records.answers()
    fits = [one for one in answers.rows if one.needed_gb <= 0.9 * 24]
    fits.sort(key=lambda one: one.decoding.tokens_per_s, reverse=True)
    others = [one for one in answers.rows if one.needed_gb > 0.9 * 24]
    top = answers.top
    slow = [one for one in fits if one.decoding.tokens_per_s <= top]
    assert top in (10, 100, 1000, 10_000) and len(slow) >= len(fits) / 2
    rows = [
        {
            "place": place,
            "model": one.model.name + ("" if one.model.moe_layers else ", dense"),
            "kind": "mixture of experts" if one.model.moe_layers else "dense",
            "fits": one in fits,
            "bar": min(one.decoding.tokens_per_s, top) if one in fits else 0,
            "label": ("" if one in slow else "▸ ") + f"{digits(one.decoding.tokens_per_s)} tokens/s"
            if one in fits else f"needs {gigabytes(one.needed_gb)}",
        }
        for place, one in [*enumerate(fits, 1), *enumerate(others, len(fits) + 2)]
    ]  # fmt: skip
    heads = [
        {
            "place": 0,
            "head": f"Fits in {gigabytes(0.9 * 24)} of memory: {len(fits)}"
            + ("" if len(slow) == len(fits) else " (▸: its bar is cut)"),
        },
        {"place": len(fits) + 1, "head": f"Does not fit: {len(others)}"},
    ]
    room = {0: 158, top: {"expr": "max(width - 104, 198)"}}
    bar = {"y": "place", "x": ("bar", room)}
    faint = {"color": "?datum.fits: #0E1621, else #4D5866"}
    kinds = {"mixture of experts": "#0072B2", "dense": "#D55E00"}
    return Shown(
        models.speeds(answers),
        {"speeds": rows, "heads": heads},
        [
            ("bar", "speeds", bar | {"color": ("kind", kinds)}),
            ("text", "speeds", bar | faint | {"x": "=0", "text": "model"}),
            ("text", "speeds", bar | faint | {"text": "label"}),
            ("text", "heads", {"x": "=0", "y": "place", "text": "head"}),
        ],
        (f"{len(fits)} of {len(rows)} models fit",
         *(f"{row['model']}: {row['label']}" for row in rows)),
    )  # fmt: skip


@of(models.by_batch)
def bounds_by_batch() -> Shown:
    answers = records.answers()
    steps = answers.by_batch("DeepSeek-V3")
    colours = {"memory: reading weights": "#0072B2", "arithmetic": "#D55E00"}
    rows = []
    for batch, bound in steps:
        fits = "fits" if bound.fits else "does not fit"
        for limit, speed in zip(colours, (bound.by_bandwidth, bound.by_compute), strict=True):
            rows.append({"batch": batch, "limit": limit, "speed": speed, "fits": fits})
    x = {"x": "batch|conversations at once|,d"}
    by = "limit|limit by"
    dashes = {"memory: reading weights": (1, 0), "arithmetic": (7, 4)}
    at = dict(steps)[4]
    return Shown(
        models.by_batch(answers, "DeepSeek-V3"),
        {"by_batch": rows, "chosen": [{"batch": 4}]},
        [
            ("rule", "chosen", x),
            ("line", "by_batch", x | {
                "y": "speed|tokens/s|~s", "color": (by, colours), "strokeDash": (by, dashes)}),
        ],
        (f"At the chosen 4: memory: reading weights {digits(at.by_bandwidth)}; "
         f"arithmetic {digits(at.by_compute)}",),
    )  # fmt: skip


# The $5M question ------------------------------------------------------------------------------

NAME_TEXT = {"x": "=0", "y": "name", "text": "name"}


@of(money.parts)
def parts_of_the_published_cost() -> Shown:
    hours = {"2,664,000": 5.328, "119,000": 0.238, "5,000": 0.01}  # V3 report, table 1
    labels = ["$5.328M = 2,664,000 hours × $2", "$238K = 119,000 hours × $2",
              "$10K = 5,000 hours × $2"]  # fmt: skip
    rows = [
        {"name": part.name, "dollars": 1e6 * millions, "label": label}
        for part, millions, label in zip(
            lab_money.published_parts(), hours.values(), labels, strict=True
        )
    ]
    return Shown(
        money.parts(lab_money.published_parts()),
        {"parts": rows},
        [
            ("bar", "parts", {"x": "dollars", "y": "name"}),
            ("text", "parts", NAME_TEXT),
            ("text", "parts", {"x": "dollars", "y": "name", "text": "label"}),
        ],
        tuple(labels),
    )


@of(money.squares)
def squares_to_scale(whole: bool = True) -> Shown:
    found = sizes.squares()
    shown = found if whole else found[:2]
    table = "squares" if whole else "closer"
    rows = [
        {"name": one.label, "side": math.sqrt(one.dollars), "corner": 0, "kind": one.key}
        for one in shown[::-1]
    ]
    assert [one["side"] for one in rows] == sorted((one["side"] for one in rows), reverse=True)
    kinds = {"run": "#0072B2", "trials": "#D55E00", "servers": "#868E99", "guess": "#A2558A"}
    area = {"x": "side", "y": "side", "x2": "corner", "y2": "corner", "color": ("kind", kinds)}
    return Shown(
        money.squares(found, whole),
        {table: rows},
        [
            ("rect", table, area), ("rect", table, area),
            ("text", table, {"x": "=0", "y": "side", "text": "name"}),
        ],
        tuple(one.label for one in shown),
    )  # fmt: skip


@of(money.squares)
def squares_of_the_runs() -> Shown:
    return squares_to_scale(whole=False)


@of(money.estimate)
def what_it_would_cost() -> Shown:
    cost = records.cost()
    rent = cost.result().dollars
    by_hand = {"low": 25, "mid": 38.9, "high": 43}
    hours = {end: cost.train_flops / (0.01 * mfu * 989e12 * 3600) + 124e3
             for end, mfu in by_hand.items()}  # fmt: skip
    row = {
        "low": 1.5 * hours["high"], "mid": 2 * hours["mid"], "high": 4 * hours["low"],
        "published": 5.576e6, "label": "published hours: $5.58M",
    }  # fmt: skip
    there = {"x": "published" + DOLLARS, "where": "datum.published != null"}
    return Shown(
        money.estimate(cost, rent, lab_money.reach(cost)),
        {"estimate": [row]},
        [
            ("bar", "estimate", {"x": "low" + DOLLARS, "x2": "high", "y": "=36"}),
            ("tick", "estimate", {"x": "mid" + DOLLARS, "y": "=36"}),
            ("point", "estimate", there | {"y": "=36"}),
            ("text", "estimate", there | {"y": "=10", "text": "label"}),
        ],
        (f"{dollars(row['low'])} to {dollars(row['high'])}, {dollars(row['mid'])} in the middle",),
    )


@of(money.swings)
def one_assumption_at_a_time() -> Shown:
    cost = records.cost()
    found = lab_money.swings(cost)
    middle = cost.result().dollars.mid
    rows = [
        {
            "name": f"{one.name}: {one.setting}", "low": one.low, "high": one.high,
            "middle": middle, "label": f"{dollars(one.low)} to {dollars(one.high)}",
        }
        for one in found
    ]  # fmt: skip
    widths = [abs(row["high"] - row["low"]) for row in rows]
    assert widths == sorted(widths, reverse=True)  # the strongest first
    assert all(row["low"] <= middle * 1.000001 for row in rows)
    return Shown(
        money.swings(found, middle),
        {"swings": rows},
        [
            ("bar", "swings", {"x": "low", "x2": "high", "y": "name"}),
            ("tick", "swings", {"x": "middle", "y": "name"}),
            ("text", "swings", NAME_TEXT),
            ("text", "swings", {"x": "high", "y": "name", "text": "label"}),
        ],
        tuple(f"{row['name']}: {row['label']}" for row in rows),
    )  # fmt: skip


@of(money.compared)
def computed_beside_published() -> Shown:
    found = lab_claim.compared(records.cost())
    rows = [
        {
            "name": f"{one.model} ({one.gpu})" + (
                "" if one.gpu_hours.low <= one.published_hours <= one.gpu_hours.high
                else ": outside"),
            "low": 2 * one.gpu_hours.low, "high": 2 * one.gpu_hours.high,
            "published": 2 * one.published_hours,
            "label": dollars(2 * one.published_hours, 3),
            "edge": 2 * max(one.published_hours, one.gpu_hours.high),
        }
        for one in found
    ]  # fmt: skip
    return Shown(
        money.compared(found),
        {"compared": rows},
        [
            ("bar", "compared", {"x": "low" + DOLLARS, "x2": "high", "y": "name"}),
            ("point", "compared", {"x": "published" + DOLLARS, "y": "name"}),
            ("text", "compared", NAME_TEXT),
            ("text", "compared", {"x": "edge" + DOLLARS, "y": "name", "text": "label"}),
        ],
        tuple(f"published hours {row['label']}" for row in rows),
    )


@of(money.ways)
def ways_of_counting() -> Shown:
    found = lab_claim.ways(records.cost())
    rows = [
        {
            "name": f"{one.name} ({one.how}): "
            + " to ".join(map(dollars, (one.dollars.low, one.dollars.high))),
            "low": one.dollars.low, "mid": one.dollars.mid, "high": one.dollars.high,
            "claim_low": 50e6, "claim_high": 100e6,
        }
        for one in found
    ]  # fmt: skip
    return Shown(
        money.ways(found),
        {"ways": rows},
        [
            ("bar", "ways", {"x": "claim_low", "x2": "claim_high", "y": "name"}),
            ("bar", "ways", {"x": "low", "x2": "high", "y": "name"}),
            ("tick", "ways", {"x": "mid", "y": "name"}),
            ("text", "ways", NAME_TEXT),
        ],
        tuple(row["name"] for row in rows),
    )  # fmt: skip


@of(money.limits)
def limits_of_two_chips() -> Shown:
    chips = [lab_limits.CHOICES[name] for name in lab_limits.USUAL]
    sides = {chip.name: lab_limits.limits(chip) for chip in chips}
    rows = []
    for at, part in enumerate(lab_limits.PARTS):
        for chip, found in sides.items():
            slowest = max(found, key=lambda one: one.microseconds).name == part
            pace = ", sets the pace" if slowest else ""
            us = found[at].microseconds
            rows.append({"part": part, "gpu": chip, "name": f"{part}: {chip}", "microseconds": us,
                         "label": f"{us:.0f} µs{pace}"})  # fmt: skip
    return Shown(
        money.limits(sides),
        {"limits": rows},
        [
            ("bar", "limits", {
                "x": "microseconds", "y": "name",
                "color": ("gpu", dict(zip(sides, ("#0072B2", "#D55E00"), strict=True)))}),
            ("text", "limits", NAME_TEXT),
            ("text", "limits", {"x": "microseconds", "y": "name", "text": "label"}),
        ],
        tuple(f"{row['name']} {row['label']}" for row in rows),
    )  # fmt: skip


@of(money.poster)
def both_money_charts_on_a_sheet() -> Shown:
    return poster(money.poster(), [squares_of_the_runs(), squares_to_scale()])


# Moving data -----------------------------------------------------------------------------------


def megabytes(moved: lab_moving.Moved) -> np.ndarray:
    """From node to node, counted one GPU at a time."""
    both_GG = moved.sent.dispatch_bytes_GG + moved.sent.combine_bytes_GG
    mb_MM = np.zeros((2, 2))
    for a, b in np.ndindex(both_GG.shape):
        mb_MM[a // 8, b // 8] += both_GG[a, b] / 1e6
    return mb_MM


@of(moving.cluster_picture)
def the_cluster() -> Shown:
    moved = lab_moving.move(records.moved())
    mb_MM = megabytes(moved)
    ratio_G = moved.sent.load_G / moved.sent.load_G.mean()
    links, numbers = [], []
    for node in range(2):
        nvlink, network = mb_MM[node, node], mb_MM[node].sum() - mb_MM[node, node]
        at = {"node": f"node {node}", "x": node + 0.14}
        links += [at | {"link": "NVLink", "top": 1.1, "bottom": 8.9, "mb": nvlink},
                  at | {"link": "network", "top": 9.0, "bottom": 10, "mb": network}]  # fmt: skip
        numbers += [{"x": node + 0.5, "y": 0.5, "label": f"{nvlink:,.0f}"},
                    {"x": node + 0.6, "y": 9.5, "label": f"{network:,.0f}"}]  # fmt: skip
    gpus = []
    for g, ratio in enumerate(ratio_G):
        half = 0.05 + 0.07 * min(ratio, 4)
        gpus.append({
            "node": f"node {g // 8}", "gpu": f"GPU {g % 8}", "ratio": ratio,
            "left": g // 8 + 0.6 - half, "right": g // 8 + 0.6 + half,
            "top": g % 8 + 1.14, "bottom": g % 8 + 1.86,
        })  # fmt: skip
    hot = int(ratio_G.argmax())
    label = {"x": hot // 8 + 0.6, "y": hot % 8 + 1.5, "label": f"{ratio_G.max():.1f}×"}
    names = ",".join(f"'{name}'" for name in
                     ["NVLink, MB", *(f"GPU {i}" for i in range(8)), "network, MB"])  # fmt: skip
    x, y = "|node||floor(datum.value)", f"|||[{names}][floor(datum.value)]"
    figure = moving.cluster_picture(moved)
    widest = max(row["mb"] for row in figure.data["links"])
    return Shown(
        figure,
        {"links": links, "gpus": gpus, "numbers": numbers, "hot": [label],
         "switch": [{"left": 0.0, "right": 2.0, "y": 10}]},
        [
            ("rule", "links", {
                "x": "x" + x, "y": "top" + y, "y2": "bottom", "color": ("link", LINK),
                "strokeWidth": ("mb", {0: 0, widest: 11})}),
            ("rect", "gpus", {
                "x": "left" + x, "x2": "right", "y": "top" + y, "y2": "bottom",
                "color": ("ratio", BUSY)}),
            ("text", "numbers", {"x": "x" + x, "y": "y" + y, "text": "label"}),
            ("text", "hot", {"x": "x" + x, "y": "y" + y, "text": "label"}),
            ("rule", "switch", {"x": "left" + x, "x2": "right", "y": "y" + y}),
        ],
        (f"GPU {hot % 8} of node {hot // 8} has most to do: {ratio_G.max():.2f} fair shares",),
    )  # fmt: skip


@of(moving.node_to_node)
def from_node_to_node() -> Shown:
    moved = lab_moving.move(records.moved())
    mb_MM = megabytes(moved)
    rows = [
        {"from": f"node {i}", "to": str(j), "mb": mb_MM[i, j], "label": f"{mb_MM[i, j]:,.0f}",
         "link": "NVLink" if i == j else "network"}
        for i, j in np.ndindex(2, 2)
    ]  # fmt: skip
    place = {"x": "to|to node", "y": "from"}
    figure = moving.node_to_node(moved)
    half = max(row["mb"] for row in figure.data["pairs"]) / 2
    test = f"?datum.mb > {half}: #000000, else #FFFFFF"
    outside = (mb_MM[0, 1] + mb_MM[1, 0]) / mb_MM.sum()
    return Shown(
        figure,
        {"pairs": rows},
        [("rect", "pairs", place | {"color": "mb"}),
         ("text", "pairs", place | {"text": "label", "color": test})],
        (f"{outside:.0%} of all bytes cross the network",),
    )  # fmt: skip


@of(moving.yesterday)
def placed_for_another_task() -> Shown:
    matrix = lab_yesterday.matrix()
    loads_of = load_table("v2-lite").loads
    rows = []
    for name, phy2log_LR in zip(matrix.placed_for, matrix.phy2log_PLR, strict=True):
        for task in ("intent", "law", "summary", "translation"):
            ratios = []
            for load_E, slots in zip(loads_of[task], phy2log_LR.tolist(), strict=True):
                share = [load_E[e] / slots.count(e) for e in slots]
                chips = np.reshape(share, (8, -1)).sum(axis=1)
                ratios.append(chips.max() / chips.mean())
            value = float(np.mean(ratios))
            rows.append({"placed": name, "carries": task, "uneven": value, "label": f"{value:.2f}"})
    top = max(row["uneven"] for row in rows)
    place = {"x": "carries|now carries", "y": "placed"}
    figure = moving.yesterday(matrix)
    half = (1 + max(row["uneven"] for row in figure.data["placements"])) / 2
    assert math.isclose(half, (1 + top) / 2)
    test = f"?datum.uneven > {half}: #000000, else #FFFFFF"
    return Shown(
        figure,
        {"placements": rows},
        [("rect", "placements", place | {"color": "uneven"}),
         ("text", "placements", place | {"text": "label", "color": test})],
        (f"placed for intent: {rows[0]['label']}, {rows[1]['label']}", "6 placements by 4 tasks"),
    )  # fmt: skip


@of(moving.ways_bars)
def ways_of_sending() -> Shown:
    made = lab_moving.ways(records.moved())
    rows = [
        {
            "way": one.title, "ms": (one.moved.dispatch.us + one.moved.combine.us) / 1e3,
            "label": f"{one.moved.ms:.2f} ms, {one.moved.sent.copies_per_token:.2f} copies",
        }
        for one in made
    ]  # fmt: skip
    return Shown(
        moving.ways_bars(made),
        {"ways": rows},
        [("bar", "ways", {"x": "ms", "y": "way"}),
         ("text", "ways", {"x": "=0", "y": "way", "text": "said"})],
        tuple(f"{row['way']}: {row['label']}" for row in rows),
        (("said", "datum.way + ': ' + datum.label"),),
    )  # fmt: skip


@of(moving.links_bars)
def links_of_two_gpus() -> Shown:
    both = lab_moving.links(records.moved())
    rows = []
    for gpu, one in zip(("H800", "H100"), both, strict=True):
        for link, phases in (
            ("network", (one.dispatch.network_us, one.combine.network_us)),
            ("NVLink", (one.dispatch.nvlink_us, one.combine.nvlink_us)),
        ):
            ms = sum(phases) / 1e3
            rows.append({"of": f"{gpu}, {link}", "link": link, "ms": ms, "label": f"{ms:.2f} ms"})
    return Shown(
        moving.links_bars(both),
        {"links": rows},
        [("bar", "links", {"x": "ms", "y": "of", "color": ("link", LINK)}),
         ("text", "links", {"x": "=0", "y": "of", "text": "said"})],
        tuple(f"{row['of']} {row['label']}" for row in rows),
        (("said", "datum.of + ': ' + datum.label"),),
    )  # fmt: skip


@of(moving.placements)
def work_before_and_after() -> Shown:
    before, after = lab_moving.before_after(records.moved())
    names = "in order", "EPLB, a spare copy per GPU"
    rows = [
        {"placed": name, "gpu": g, "ratio": ratio}
        for name, one in zip(names, (before, after), strict=True)
        for g, ratio in enumerate(one.sent.load_G / one.sent.load_G.mean())
    ]
    colours, shapes = (
        dict(zip(names, values, strict=True))
        for values in (("#DE6210", "#1F7DC3"), ("circle", "square"))
    )
    return Shown(
        moving.placements(before, after),
        {"placements": rows, "fair": [{"fair": 1.0}]},
        [
            ("rule", "fair", {"y": "fair"}),
            ("point", "placements", {
                "x": "gpu|GPU", "y": "ratio|fair shares", "color": ("placed", colours),
                "shape": ("placed", shapes)}),
        ],
        tuple(f"{name} {one.load_G.min():.2f} to {one.load_G.max():.2f}"
              for name, one in zip(names, (before, after), strict=True)),
    )  # fmt: skip


@of(moving.price_of_limit)
def time_within_each_limit() -> Shown:
    settings = records.moved()
    limits = lab_moving.by_limit(settings)
    met = lab_moving.wishes_met(settings)
    rows = [
        {"limit": str(m), "ms": one.moved.ms, "chosen": m == settings.reach,
         "label": f"{one.moved.ms:.2f} ms · {met[m]:.0%} met"}
        for m, one in enumerate(limits, 1)
    ]  # fmt: skip
    place = {"x": "ms|milliseconds, there and back", "y": "limit|servers"}
    return Shown(
        moving.price_of_limit(limits, settings.reach),
        {"limits": rows},
        [
            ("bar", "limits", place | {"color": ("chosen", {True: "#12906C", False: "#868E99"})}),
            ("text", "limits", place | {"text": "label"}),
        ],
        tuple(row["label"] for row in rows),
    )


@of(play.shares)
def shares_of_one_step() -> Shown:
    plan = Plan()
    record = LiveRun.replay(plan.recipe, 7).step()
    rows = [
        {"expert": "ABCDEFGH"[e], "share": share, "ratio": 8 * share, "label": f"{share:.0%}"}
        for e, share in enumerate(record.share_E.tolist())
    ]
    return Shown(
        play.shares(plan, record),
        {"shares": rows, "fair": [{"fair": 0.125}]},
        [
            ("bar", "shares", {"x": "expert", "y": "share||%", "color": ("ratio", BUSY)}),
            ("rule", "fair", {"y": "fair"}),
        ],
        ("step 7 of the run 8-0", f"A: {record.share_E[0]:.0%}"),
    )


# Be the gate -------------------------------------------------------------------------------------


@of(gate.choices)
def who_took_each_character() -> Shown:
    dealt = game.deal(game.ready_game(), 7)
    results = game.players(dealt, "ABCD" * 6)
    cells = [
        {"who": one.who, "place": n, "character": dealt.tokens[n],
         "expert": "×" if e < 0 else "ABCD"[e],
         "colour": "#868E99" if e < 0 else EXPERT_COLOURS[e],
         "ink": PAPER_INK if e < 0 else letter_ink(EXPERT_COLOURS[e]),
         "filled": float(e >= 0)}
        for one in results
        for n, e in enumerate(one.expert_N.tolist())
    ]  # fmt: skip
    place = {"x": "place", "y": "who"}
    return Shown(
        gate.choices(dealt, results),
        {"cells": cells,
         "letters": [{"place": n, "character": c} for n, c in enumerate(dealt.tokens)]},
        [
            ("rect", "cells", place | {"fill": "colour", "stroke": "colour",
                                       "fillOpacity": "filled"}),
            ("text", "cells", place | {"text": "expert", "color": "ink"}),
            ("text", "letters", {"x": "place", "y": "=-4", "text": "character"}),
        ],
        ("You: " + "ABCD" * 6,),
    )  # fmt: skip


# Routers and Start: sentences --------------------------------------------------------------------


def row_of(token: int, expert: int) -> int:
    """Row of one of eight experts below a character, in lines of 40."""
    return token // 40 * 10 + 2 + expert


def places(**more: list[str]) -> Rows:
    """Every character of the sentence, its place, and what else is known of it."""
    return [
        {
            "position": i + 1, "column": i % 40, "token": character.replace(" ", "␣"),
            "text": i // 40 * 10 + 0.7, "top": i // 40 * 10 + 0.1,
            "bottom": i // 40 * 10 + 9.6, "character": character.replace(" ", "␣"),
            **{name: values[i] for name, values in more.items()},
        }
        for i, character in enumerate(records.SENTENCE)
    ]  # fmt: skip


CHARACTERS = ("text", "characters", {"x": "column", "y": "text|expert", "text": "token"})


def staff(kind: str, data: str, low: str, high: str, **channels: Any) -> tuple[str, str, dict]:
    names = {"x": "column", "y": f"{low}|expert|", "y2": high} | channels
    names["y"] = names["y"].rstrip("|")
    return kind, data, names


LABELS = "['A','B','C','D','E','F','G','H'][datum.value % 10 - 2]"


def numbered(drawn: Drawn) -> Drawn:
    """The same, with rows numbered by expert in every line."""
    return [
        (kind, data, channels | {"y": channels["y"].replace("|expert", f"|expert||{LABELS}")})
        for kind, data, channels in drawn
    ]


def told_of(side: Any) -> list[str]:
    """Each character's experts with their weights, best first."""
    words: list[list[str]] = [[] for _ in records.SENTENCE]
    for n, e, weight, kept in zip(
        side.routing.token_A, side.routing.expert_A, side.routing.weight_A, side.routing.kept_A,
        strict=True,
    ):  # fmt: skip
        words[n].append(f"{'ABCDEFGH'[e]} ({weight:.2f}{'' if kept else ', dropped'})")
    return [", ".join(one) or "none" for one in words]


@of(routers.differences)
def who_changes_its_mind() -> Shown:
    both = records.sides()
    got = {
        name: {(n, e) for n, e, kept in zip(side.routing.token_A, side.routing.expert_A,
                                            side.routing.kept_A, strict=True) if kept}
        for name, side in (("A", both.a), ("B", both.b))
    }  # fmt: skip
    rows = []
    for n, e in sorted(got["A"] | got["B"]):
        mine, others = (n, e) in got["A"], (n, e) in got["B"]
        whose = "both" if mine and others else "only A" if mine else "only B"
        half = {"only A": 0.42, "only B": 0.36, "both": 0.1}[whose]
        rows.append({"column": n % 40, "low": row_of(n, e) - half, "high": row_of(n, e) + half,
                     "whose": whose})  # fmt: skip
    fills = {"only A": "#B0509A", "only B": "transparent", "both": "#868E99"}
    strokes = fills | {"only B": "#12906C"}
    count = {name: sum(row["whose"] == name for row in rows) for name in fills}
    return Shown(
        routers.differences(both),
        {"differences": rows, "characters": places(),
         "spots": places(A=told_of(both.a), B=told_of(both.b))},
        numbered([
            staff("rect", "differences", "low", "high", fill=("whose", fills),
                  stroke=("whose", strokes)),
            CHARACTERS,
            staff("rect", "spots", "top", "bottom"),
        ]),
        (f"{count['only A']} choices are only A's (filled), {count['only B']} only B's (hollow), "
         f"{count['both']} both's (thin)",),
    )  # fmt: skip


def large_letters(hidden: bool) -> Shown:
    both = records.sides()
    at = [(n + 0.5) * 8 / 6 for n in range(6)]
    choices, told = [], []
    for name, side, row, way in (("A", both.a, 2.6, 1), ("B", both.b, 0.4, -1)):
        r = side.routing
        chosen = zip(r.token_A, r.expert_A, r.weight_A, r.kept_A, strict=True)
        choices += [
            {"run": name, "x": at[n], "y": 1.5 + 0.28 * way, "x2": e + 0.5, "y2": row - 0.2 * way,
             "weight": weight}
            for n, e, weight, kept in chosen if kept and n < 6 and not (hidden and name == "B")
        ]  # fmt: skip
        if not (hidden and name == "B"):
            told.append(f"{told_of(side)[0]} in {name}")
    boxes = [
        {"x": e + 0.5, "y": row, "expert": "ABCDEFGH"[e], "fill": EXPERT_COLOURS[e],
         "ink": letter_ink(EXPERT_COLOURS[e])}
        for row in (2.6, 0.4) for e in range(8)
    ]  # fmt: skip
    place = {"x": "x", "y": "y"}
    return Shown(
        routers.first_characters(both, hidden),
        {
            "choices": choices, "boxes": boxes,
            "letters": [{"x": x, "y": 1.5, "character": c} for x, c in zip(at, both.tokens)],
            "names": [{"x": 0, "y": 2.92, "label": f"A: {both.a.router.title}"},
                      {"x": 0, "y": 0.08, "label": f"B: {both.b.router.title}"}],
        },
        [
            ("rule", "choices", place | {
                "x2": "x2", "y2": "y2", "color": ("run", RUNS), "strokeDash": ("run", RUN_DASHES),
                "strokeWidth": ("weight", {0: 1.5, 1: 6})}),
            ("point", "choices", {"x": "x2", "y": "y2", "color": ("run", RUNS),
                                  "angle": ("run", {"A": 0, "B": 180})}),
            ("point", "boxes", place | {"color": "fill"}),
            ("text", "boxes", place | {"text": "expert", "color": "ink"}),
            ("text", "letters", place | {"text": "character"}),
            ("text", "names", place | {"text": "label"}),
        ],
        (f"{both.tokens[0]}: {', '.join(told)}",),
    )  # fmt: skip


@of(routers.first_characters)
def the_first_characters() -> Shown:
    return large_letters(hidden=False)


@of(routers.first_characters)
def the_first_characters_before_a_guess() -> Shown:
    return large_letters(hidden=True)


@of(routers.loads)
def loads_of_two_routers() -> Shown:
    both = records.sides()
    rows = []
    for name, side in (("A", both.a), ("B", both.b)):
        routing = side.routing
        asked_E = np.bincount(routing.expert_A, minlength=8)
        load_E = np.bincount(routing.expert_A[routing.kept_A], minlength=8)
        rows += [{"run": name, "expert": "ABCDEFGH"[e], "share": load_E[e] / len(routing.expert_A),
                  "asked": asked_E[e] / len(routing.expert_A)} for e in range(8)]  # fmt: skip
    assert any(row["asked"] > row["share"] for row in rows)
    place = {"x": "expert|expert", "xOffset": "run"}
    return Shown(
        routers.loads(both),
        {"loads": rows, "fair": [{"fair": 1 / 8}]},
        [
            ("bar", "loads", place | {
                "y": "share||%", "fill": ("run", {"A": "#B0509A", "B": "transparent"}),
                "stroke": ("run", RUNS)}),
            ("tick", "loads", place | {"y": "asked"}),
            ("rule", "fair", {"y": "fair"}),
        ],
        ("a dashed line at the fair share of 12.5%", ", ".join(
            f"{row['expert']} {row['share']:.0%}" for row in rows if row["run"] == "B")),
    )  # fmt: skip


@of(routers.weights)
def choices_of_one_router() -> Shown:
    both = records.sides()
    routing = both.b.routing
    top = routing.weight_A.max()
    kept, lost = [], []
    for n, e, weight, got_in in zip(
        routing.token_A, routing.expert_A, routing.weight_A, routing.kept_A, strict=True
    ):
        half = 0.46 * weight / top
        at = {"column": n % 40}
        if got_in:
            kept.append(at | {"low": row_of(n, e) - half, "high": row_of(n, e) + half})
        else:
            lost.append(at | {"row": row_of(n, e)})
    assert kept and lost
    return Shown(
        routers.weights("B", both.tokens, both.b),
        {"kept": kept, "lost": lost, "characters": places(),
         "spots": places(experts=told_of(both.b))},
        numbered([
            staff("rect", "kept", "low", "high"),
            CHARACTERS,
            ("point", "lost", {"x": "column", "y": "row|expert"}),
            staff("rect", "spots", "top", "bottom"),
        ]),
        (f"{len(kept)} choices, taller for larger weights", f"{len(lost)} choices were dropped"),
    )  # fmt: skip


@of(routers.poster)
def routers_on_a_sheet() -> Shown:
    parts = [who_changes_its_mind(), loads_of_two_routers()]
    return poster(routers.poster(records.sides()), parts)


@of(start.load_bars)
def shares_of_the_work() -> Shown:
    routing = records.sentence()
    load_E = np.bincount(routing.expert_NK.reshape(-1), minlength=8)
    share_E = load_E / load_E.sum()
    label = 0.12 * 1.25 * share_E.max()  # what a label takes of the axis
    rows = []
    for e, share in enumerate(share_E):
        inside = 1 / 8 - label < share < 1 / 8  # above the bar it would meet the line
        assert not inside or share >= label
        rows.append(
            {"expert": "ABCDEFGH"[e], "share": share, "colour": EXPERT_COLOURS[e],
             "label_at": share + (-label / 2 if inside else label / 2),
             "label": f"{share:.0%}" if share else "idle",
             "ink": letter_ink(EXPERT_COLOURS[e]) if inside else PAPER_INK,
             "assignments": load_E[e]}
        )  # fmt: skip
    place = {"x": "expert|expert"}
    axis = "datum.value == 0.125 ? 'fair 12.5%' : format(datum.value, '.3~%')"
    return Shown(
        start.load_bars(routing),
        {"bars": rows, "fair": [{"fair": 1 / 8}]},
        [
            ("bar", "bars", place | {"y": f"share|||{axis}", "color": "colour"}),
            ("rule", "fair", {"y": "fair"}),
            ("text", "bars", place | {"y": "label_at", "text": "label", "color": "ink"}),
        ],
        tuple(f"{'ABCDEFGH'[e]} {share:.0%}" for e, share in enumerate(share_E)),
    )  # fmt: skip


# Savings ------------------------------------------------------------------------------------------


def counted_costs(quantity: str, values: tuple[int, int, int], labels: tuple[str, ...]) -> Shown:
    """One quantity of the MoE layer and both dense ones, with room for twice as much."""
    costs = lab_savings.count(lab_savings.SavingsSettings(64, 32, 8, 2, 1, 16))
    short = ["the mixture", "stores as much", "uses as much"]
    rows = [
        {"layer": name, "kind": kind, "value": value, "label": label}
        for name, kind, value, label in zip(short, LAYERS, values, labels, strict=True)
    ]
    return Shown(
        savings.counted(costs, quantity, 2 * values[1]),
        {"costs": rows, "room": [{"room": 2 * values[1]}]},
        [("bar", "costs", {"x": "value", "y": "layer", "color": ("kind", LAYERS)}),
         ("text", "costs", {"x": "value", "y": "layer", "text": "label"}),
         ("point", "room", {"x": "room"})],
        tuple(f"{row['kind']} {row['label']}" for row in rows),
    )  # fmt: skip


@of(class_chart.guessed)
def guesses_of_a_class() -> Shown:
    counts = {"About 2": 7, "About 9": 12, "none": 0}
    labels = "About 2: 7", "About 9: 12 · right", "none: 0"
    rows = [
        {"answer": answer, "guesses": n, "right": answer == "About 9", "label": label}
        for (answer, n), label in zip(counts.items(), labels, strict=True)
    ]
    place = {"x": "guesses", "y": "answer"}
    return Shown(
        class_chart.guessed(Tally("How many?", "It was 8.", "About 9", counts)),
        {"guesses": rows},
        [("bar", "guesses", place | {"color": ("right", {True: "#009E73", False: "#868E99"})}),
         ("text", "guesses", {"x": "=0", "y": "answer", "text": "label"})],
        labels,
    )  # fmt: skip


# Weights of an expert and of the gate: eight experts and a shared one; a token uses three.
EXPERT, GATE = 3 * 64 * 32, 64 * 8


@of(savings.counted)
def weights_stored() -> Shown:
    values = 9 * EXPERT + GATE, 9 * EXPERT, 3 * EXPERT
    return counted_costs("params", values, ("55,800", "55,300", "18,400"))


@of(savings.counted)
def operations_of_a_token() -> Shown:
    work = 2 * (3 * EXPERT + GATE), 18 * EXPERT, 6 * EXPERT
    return counted_costs("flops_per_token", work, ("37,900", "111,000", "36,900"))


@of(savings.measured)
def measured_speeds() -> Shown:
    moe, looks = [1e-3, 2e-3], {}
    rows = []
    for n in (1, 16):
        for versus, dense, colour in (
            ("against one that stores as much", [4e-3, 3e-3], "#D55E00"),
            ("against one that uses as much", [5e-4, 6e-4], "#009E73"),
        ):
            runs = [own / of_moe for own, of_moe in zip(dense, moe, strict=True)]
            rows.append({
                "versus": versus, "n_tokens": str(n), "times": sum(dense) / sum(moe),
                "least": min(runs), "most": max(runs), "milliseconds": n * 500 * sum(dense),
            })  # fmt: skip
            looks[versus] = colour
    x = {"x": "n_tokens|tokens in a batch", "xOffset": "versus", "color": ("versus", looks)}
    words = (
        "datum.value == 1 ? 'equal' : datum.value > 1 ? datum.value + '× faster' : "
        "1 / datum.value + '× slower'"
    )
    shapes = dict(zip(looks, ("square", "triangle-up"), strict=True))
    return Shown(
        savings.measured(records.measured()),
        {"speeds": rows, "even": [{"even": 1}]},
        [
            ("rule", "even", {"y": f"even|||{words}"}),
            ("rule", "speeds", x | {"y": f"least|||{words}", "y2": "most"}),
            ("point", "speeds", x | {"y": f"times|||{words}", "shape": ("versus", shapes)}),
        ],
        ("1 tokens against one that stores as much 1.5 to 4",
         "16 tokens against one that uses as much 0.3 to 0.5"),
    )  # fmt: skip


@of(savings.bytes_by_batch)
def weights_read_by_a_batch() -> Shown:
    settings = lab_savings.SavingsSettings(64, 32, 8, 2)
    expert, gate = 4 * 3 * 64 * 32 / 1e6, 4 * 64 * 8 / 1e6
    rows = []
    for n in (2**i for i in range(13)):
        read = expert * 8 * (1 - (6 / 8) ** n) + gate
        rows.append({"n_tokens": n, "share": read / (8 * expert), "megabytes": read})
    levels = [
        {"level": level, "from": 1, "to": 4096, "label": label}
        for level, label in ((1.0, "ordinary, stores as much"), (0.25, "ordinary, uses as much"))
    ]
    x = "tokens in a batch|,d"
    return Shown(
        savings.bytes_by_batch(lab_savings.bytes_by_batch(settings)),
        {"shares": rows, "levels": levels},
        [
            ("rule", "levels", {"x": f"from|{x}", "x2": "to", "y": "level||%"}),
            ("line", "shares", {"x": f"n_tokens|{x}", "y": "share||%"}),
            ("text", "levels", {"x": f"to|{x}", "y": "level||%", "text": "label"}),
        ],
        ("reads 26% for one token and 101% for 4,096", "one that uses as much 25%"),
    )  # fmt: skip


# Sweeps -------------------------------------------------------------------------------------------


@of(sweep.sweep_figure)
def groups_in_rows() -> Shown:
    names = ["router topk", "router hash", "router sinkhorn"]
    rows = [
        {"mean": mean, "low": mean - reach, "high": mean + reach, "best": best, "group": name}
        for name, mean, reach, best in zip(
            names, (2.0, 1.0, 2.0), (0.1, 0.2, 0.3), (False, True, False), strict=True
        )
    ]
    colour = {"color": "?datum.best: #12906C, else #868E99", "y": "group"}
    return Shown(
        sweep.sweep_figure(records.sweep()),
        {"sweep": rows},
        [
            ("rule", "sweep", colour | {"x": "low|loss", "x2": "high"}),
            ("point", "sweep", colour | {"x": "mean|loss"}),
            ("text", "sweep", {
                "x": "mean|loss", "y": "group", "text": "=best", "where": "datum.best"}),
        ],
        ("router topk: 2 ± 0.1; router hash: 1 ± 0.2; router sinkhorn: 2 ± 0.3",),
    )  # fmt: skip


@of(sweep.sweep_figure)
def groups_as_curves() -> Shown:
    rows = [
        {"mean": 2.0 - at % 2, "low": 2.0 - at % 2 - 0.1 * (at + 1),
         "high": 2.0 - at % 2 + 0.1 * (at + 1), "best": at == 1, "at": (0.01, 0.1, 1.0)[at % 3],
         "group": "router topk" if at < 3 else "router hash"}
        for at in range(6)
    ]  # fmt: skip
    base = {
        "x": "at|lr|~g",
        "color": ("group", {"router topk": "#0072B2", "router hash": "#D55E00"}),
    }
    dashes = {"router topk": (1, 0), "router hash": (7, 4)}
    return Shown(
        sweep.sweep_figure(records.sweep("lr")),
        {"sweep": rows},
        [
            ("rule", "sweep", base | {"y": "low|loss", "y2": "high"}),
            ("line", "sweep", base | {"y": "mean|loss", "strokeDash": ("group", dashes)}),
            ("point", "sweep", base | {"y": "mean|loss"}),
        ],
        ("lr 0.1, router topk: 1 ± 0.2",),
    )


# Strengths of balancers ---------------------------------------------------------------------------


@of(strength_chart.evenness_and_loss)
def a_curve_for_each_balancer() -> Shown:
    points = records.strengths()
    rows = [
        {"balancer": name, "strength": rate, "max_vio": max_vio, "loss": loss, "chosen": chosen}
        for name, rate, max_vio, loss, chosen in (
            ("aux", 0.01, 2.0, 1.7, False),
            ("aux", 0.3, 0.25, 1.6, True),
            ("bias", 0.003, 0.2, 1.5, True),
        )
    ]
    at = {"x": "max_vio|MaxVio (even to the left)|~g", "y": "loss|held-out loss"}
    colour = {"color": ("balancer", {"aux": "#0072B2", "bias": "#D55E00"})}
    shapes = {"shape": ("balancer", {"aux": "circle", "bias": "square"})}
    return Shown(
        strength_chart.evenness_and_loss(points, points[1:]),
        {"points": rows, "limit": [{"even": 0.3}]},
        [
            ("rule", "limit", {"x": "even|MaxVio (even to the left)"}),
            ("line", "points", at | colour | {"order": "strength"}),
            ("point", "points", at | colour | shapes),
            ("point", "points", at | {"where": "datum.chosen"}),
        ],
        ("aux, bias at growing", "aux at 0.3: MaxVio 0.25, loss 1.600; bias at 0.003: MaxVio 0.20"),
    )  # fmt: skip


# Language models of several kinds -----------------------------------------------------------------


@of(lm_chart.of_time)
def bits_over_time() -> Shown:
    rows = [
        {"model": model, "steps": steps, "seconds": seconds, "bits": bits, "low": low, "high": high}
        for model, steps, seconds, bits, low, high in (
            ("MoE", 100, 3.0, 2.6, 2.5, 2.7),
            ("Dense, equal active", 200, 4.0, 2.5, 2.4, 2.6),
            ("MoE", 200, 6.0, 2.2, 2.1, 2.3),
        )
    ]
    x = {"x": "seconds|seconds of one core|~g"}
    y = {"y": "bits|bits per byte of new text"}
    names = ("MoE", "Dense, equal active", "Dense, equal total")
    colour = {"color": ("model", dict(zip(names, ("#0072B2", "#D55E00", "#12906C"))))}
    shape = {"shape": ("model", dict(zip(names, ("circle", "square", "triangle-up"))))}
    low = {"y": "low|bits per byte of new text", "y2": "high"}
    return Shown(
        lm_chart.of_time(
            records.language_models(), {"none": 30.0, "active": 20.0, "total": 80.0}
        ),
        {"runs": rows},
        [
            ("line", "runs", x | y | colour),
            ("rule", "runs", x | low | colour),
            ("point", "runs", x | y | colour | shape),
        ],
        ("2 kinds of model", "MoE 2.20 bits after 200 steps and 6 seconds; Dense, equal active"),
    )  # fmt: skip


# Your model ---------------------------------------------------------------------------------------


def ratios(at: int) -> np.ndarray:
    """Loads of a layer of the trace in fair shares, counted from its choices."""
    load_E = np.bincount(records.several_layers().trace.expert_LNK[at].reshape(-1), minlength=8)
    return np.asarray(load_E / load_E.mean())


@of(your_model.load_bars)
def how_busy_each_expert_is() -> Shown:
    rows = [{"expert": e, "ratio": ratio} for e, ratio in enumerate(ratios(0))]
    return Shown(
        your_model.load_bars("layer 1", records.several_layers().loads(0)),
        {"load": rows, "fair": [{"fair": 1.0}]},
        [
            ("bar", "load", {
                "x": "expert|expert", "y": "ratio|fair shares", "color": ("ratio", BUSY)}),
            ("rule", "fair", {"y": "fair"}),
        ],
        (f"Expert {ratios(0).argmax()} is the busiest, with {ratios(0).max():.2f} times",),
    )  # fmt: skip


@of(your_model.cells)
def layers_by_experts(of_what: str = "experts, busiest first") -> Shown:
    rows = []
    for r in range(3):
        for c, ratio in enumerate(sorted(ratios(r), reverse=True)):
            half = 0.06 + 0.4 * min(ratio / 4, 1)
            rows.append({
                "row": str(r + 1), "column": c, "expert": f"place {c + 1}", "ratio": ratio,
                "low": r + 0.5 - half, "high": r + 0.5 + half,
            })  # fmt: skip
    return Shown(
        your_model.cells("layers", "title", records.several_layers().all_loads(), of_what),
        {"layers": rows},
        [("rect", "layers", {
            "x": f"column|{of_what}", "y": "low|||['1','2','3'][floor(datum.value)]", "y2": "high",
            "color": ("ratio|fair shares", BUSY)})],
        (f"The most uneven is layer {max(range(3), key=lambda r: ratios(r).max()) + 1}",),
    )  # fmt: skip


@of(your_model.over_layers)
def lines_over_layers() -> Shown:
    model = records.several_layers()
    lines = closer.repetition(model)
    kept = [
        [metrics.repetition(model.trace.routing(i), 0, model.trace.sequence_N) for i in range(3)],
        [one.repeat_any for one in model.report.layers],
    ]
    by_chance = [
        [one.chance_repeat_first for one in model.report.layers],
        [one.chance_repeat_any for one in model.report.layers],
    ]
    titles = "Same first choice", "Any choice in common"

    def rows(values: list[list[float]]) -> Rows:
        return [
            {"line": title, "layer": layer + 1, "value": value}
            for title, value_L in zip(titles, values, strict=True)
            for layer, value in enumerate(value_L)
        ]

    colours, shapes = (
        dict(zip(titles, values, strict=True))
        for values in (("#1F7DC3", "#DE6210"), ("circle", "square"))
    )
    base = {"x": "layer|layer", "y": "value||%", "color": ("line", colours)}
    return Shown(
        your_model.over_layers("repetition", "title", lines),
        {"repetition": rows(kept), "repetition_chance": rows(by_chance)},
        [
            ("line", "repetition", base),
            ("point", "repetition", base | {"shape": ("line", shapes)}),
            ("line", "repetition_chance", base | {"dash": (6, 4)}),
            ("tick", "repetition_chance", base),
        ],
        tuple(f"{title}: {np.mean(value_L):.1%} on average"
              for title, value_L in zip(titles, kept, strict=True)),
    )  # fmt: skip


@of(your_model.over_layers)
def bars_of_one_layer() -> Shown:
    model = records.one_layer()
    layer = model.report.layers[0]
    values = {
        "Same first choice": (layer.repeat_first, layer.chance_repeat_first),
        "Any choice in common": (layer.repeat_any, layer.chance_repeat_any),
    }
    rows = [
        {"line": title, "value": value, "chance": by_chance, "label": f"{value:.1%}"}
        for title, (value, by_chance) in values.items()
    ]
    return Shown(
        your_model.over_layers("repetition", "title", closer.repetition(model)),
        {"repetition": rows},
        [
            ("bar", "repetition", {"x": "value", "y": "line"}),
            ("text", "repetition", {"x": "value", "y": "line", "text": "label"}),
            ("tick", "repetition", {"x": "chance", "y": "line"}),
        ],
        tuple(f"{row['line']}: {row['label']}, by chance {row['chance']:.1%}" for row in rows),
    )


@of(your_model.pairs)
def experts_that_work_together() -> Shown:
    model = records.several_layers()
    chosen = [set(experts) for experts in model.trace.expert_LNK[0].tolist()]
    rows = []
    for first in range(8):
        own = [experts for experts in chosen if first in experts]
        rows += [
            {"first": str(first), "expert": e,
             "share": sum(e in experts for experts in own) / max(len(own), 1)}
            for e in range(8) if e != first
        ]  # fmt: skip
    best = max(rows, key=lambda row: row["share"])
    return Shown(
        your_model.pairs("title", closer.pairs(model, 0, False)),
        {"pairs": rows},
        [("rect", "pairs", {
            "x": "expert|also go to expert", "y": "first|tokens of expert",
            "color": "share||.0%"})],
        (f"{best['share']:.0%} of the tokens of expert {best['first']} also go to expert "
         f"{best['expert']}",),
    )  # fmt: skip


@of(your_model.devices)
def loads_of_devices() -> Shown:
    model = records.several_layers()
    drawn = closer.devices(model, 0, homes.WRITTEN, 2, "0 1 1 1 1 1 1 1")
    stretch = max(1, min(homes.STRETCH, 200))
    second = np.arange(400) // stretch % 2 == 1
    load_E = np.bincount(model.trace.expert_LNK[0][second].reshape(-1), minlength=8)
    load_D = np.array([load_E[0], load_E[1:].sum()])
    rows = [
        {"device": f"device {d}", "ratio": ratio, "label": f"{ratio:.2f}"}
        for d, ratio in enumerate(load_D / load_D.mean())
    ]
    text = ("text", "devices", {"x": "ratio|fair shares", "y": "device", "text": "label"})
    return Shown(
        your_model.devices(drawn),
        {"devices": rows, "fair": [{"fair": 1.0}]},
        [
            ("bar", "devices", {
                "x": "ratio|fair shares", "y": "device", "color": ("ratio", BUSY)}),
            ("rule", "fair", {"x": "fair"}),
            text, text,
        ],
        ("number 1, has",),
    )  # fmt: skip


@of(your_model.poster)
def your_model_on_a_sheet() -> Shown:
    model = records.several_layers()
    figure = your_model.poster("layer 1", [model.loads(0), model.all_loads()])
    return poster(figure, [how_busy_each_expert_is(), layers_by_experts()])


# Think -------------------------------------------------------------------------------------------

THINK_LINES = {"right answers": "#12906C", "writes something first": "#B0509A"}
UPDATES = "update|updates by rewards"


@of(think.shares)
def shares_over_updates() -> Shown:
    looks = records.thinking_looks()
    return Shown(
        think.shares(looks, 5),
        {"shares": [
            {"what": "right answers", "update": 0, "value": 0.25},
            {"what": "writes something first", "update": 0, "value": 0.2},
            {"what": "right answers", "update": 1, "value": 0.99},
            {"what": "writes something first", "update": 1, "value": 0.95},
        ]},
        [("line", "shares", {
            "x": UPDATES, "y": "value||%", "color": ("what", THINK_LINES),
            "strokeDash": ("what", dict(zip(THINK_LINES, ((1, 0), (7, 4)), strict=True))),
        })],
        ("After 1 updates by rewards 99%", "95% of answers", "from 25% and 20% at the start"),
    )  # fmt: skip


@of(think.length)
def length_over_updates() -> Shown:
    return Shown(
        think.length(records.thinking_looks(), 5),
        {"length": [{"update": 0, "signs": 3.0}, {"update": 1, "signs": 8.0}]},
        [("line", "length", {"x": UPDATES, "y": "signs"})],
        ("8.0 signs after 1 updates by rewards, from 3.0 at the start; 11 are the most",),
    )


@of(think.answers)
def answers_sign_by_sign() -> Shown:
    asked = thinking.problems()
    prompts = [decode(prompt_P) for prompt_P in asked.prompt_BP]
    answers = [decode(answer_A) for answer_A in asked.answer_BA]
    rows, marks_ = [], []
    for at, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        wrong = at == 0  # where there is no answer at all
        text = [("the problem", sign) for sign in prompt]
        text += [("written first", "0"), ("written first", "1")] if wrong else []
        text += [] if wrong else [("right answer", answer[1])]
        rows += [
            {"problem": at + 1, "place": place, "sign": sign, "kind": kind}
            for place, (kind, sign) in enumerate(text)
        ]
        marks_.append({"problem": at + 1, "place": 7 + 11 - 1, "mark": "✗" if wrong else "✓"})
    kinds = dict(zip(
        ("the problem", "written first", "right answer", "wrong answer"),
        ("#868E99", "#0072B2", "#12906C", "#D55E00"), strict=True,
    ))  # fmt: skip
    place = {"x": "place", "y": "problem"}
    return Shown(
        think.answers(prompts, records.thinking_looks()[0]),
        {"signs": rows, "verdicts": marks_},
        [
            ("rect", "signs", place | {"fill": ("kind", kinds)}),
            ("text", "signs", place | {"text": "sign"}),
            ("text", "verdicts", place | {"text": "mark"}),
        ],
        ("7 of 8 right", f"{prompts[0]} 01, wrong", f"{prompts[1]} {answers[1][1]}, right"),
    )


@of(think.starts)
def starts_over_updates() -> Shown:
    runs = {"good": records.thinking_looks(), "weak": records.thinking_looks()[:1]}
    names = ("a good start", "too few demonstrations", "the same few demonstrations")
    colours = dict(zip(names, ("#12906C", "#D55E00", "#B0509A"), strict=True))
    dashes = dict(zip(names, ((1, 0), (7, 4), (2, 3)), strict=True))
    return Shown(
        think.starts(runs, think.STUCK),
        {"starts": [
            {"start": names[0], "update": 0, "value": 0.1},
            {"start": names[0], "update": 1, "value": 0.8},
            {"start": names[1], "update": 0, "value": 0.1},
        ]},
        [("line", "starts", {
            "x": UPDATES, "y": "value||%", "color": ("start", colours),
            "strokeDash": ("start", dashes),
        })],
        ("a good start: from 10% to 80%", "too few demonstrations: from 10% to 10%"),
    )  # fmt: skip


# Language model ----------------------------------------------------------------------------------

MODELS = {"MoE": "#0072B2", "Dense, equal active": "#009E73", "Dense, equal total": "#D55E00"}


@of(language.losses)
def bits_over_steps(at: int = 1) -> Shown:
    rows = [
        {"model": model, "step": step, "bits": bits + more}
        for more, model in enumerate(MODELS)
        for step, bits in ((10, 4.0), (20, 2.4))[: at + 1]
    ]
    return Shown(
        language.losses(records.learned(), at),
        {"losses": rows},
        [("line", "losses", {
            "x": "step|step", "y": "bits", "color": ("model", MODELS),
            "strokeDash": ("model", dict(zip(MODELS, ((1, 0), (7, 4), (2, 3)), strict=True))),
        })],
        ("MoE 2.40 bits", "Dense, equal total 4.40 bits") if at else ("MoE 4.00 bits",),
    )  # fmt: skip


@of(language.losses)
def bits_at_the_first_look() -> Shown:
    return bits_over_steps(0)


@of(language.passage)
def experts_of_letters() -> Shown:
    run = records.learned()[0]
    rows = [
        {"row": place // 32, "column": place % 32, "letter": letter,
         "expert": "JIHGFEDCBA"[place % 10], "colour": EXPERT_COLOURS[(9 - place % 10) % 8],
         "filled": 0.5 if place % 10 > 1 else 0.0}
        for place, letter in enumerate(run.passage)
    ]  # fmt: skip
    at = {"x": "column", "y": "row"}
    return Shown(
        language.passage(run.passage, run.looks[1], "last"),
        {"passage": rows},
        [
            (
                "rect",
                "passage",
                at | {"fill": "colour", "stroke": "colour", "fillOpacity": "filled"},
            ),
            ("text", "passage", at | {"text": "letter"}),
            ("text", "passage", at | {"text": "expert"}),
        ],
        ("in the last layer: 10 experts are used. The text: a passage of forty",),
    )


@of(language.loads)
def loads_of_a_layer() -> Shown:
    run = records.learned()[0]
    rows = [{"expert": "ABCDEFGHIJ"[e], "ratio": 2.5 if e == 0 else 1 / 1.2} for e in range(10)]
    return Shown(
        language.loads(run.looks[1], "first"),
        {"loads": rows, "fair": [{"fair": 1}]},
        [
            (
                "bar",
                "loads",
                {"x": "expert|expert", "y": f"ratio{TIMES}", "color": ("ratio", BUSY)},
            ),
            ("rule", "fair", {"y": f"fair{TIMES}"}),
        ],
        ("10 experts of the first layer after step 20: the busiest, A, has 2.50",),
    )


@of(language.live)
def bits_of_a_run_that_goes_on() -> Shown:
    steps = [Step(1, 7.9, 0.1), Step(2, 7.0, 0.2)]
    looks = records.learned()[0].looks[:1]
    return Shown(
        language.live(steps, looks, 100),
        {"live": [
            {"of": "its batch", "step": 1, "bits": 7.9},
            {"of": "its batch", "step": 2, "bits": 7.0},
            {"of": "new text", "step": 10, "bits": 4.0},
        ]},
        [("line", "live", {
            "x": "step|step", "y": "bits",
            "color": ("of", {"its batch": "#868E99", "new text": "#0072B2"}),
            "strokeWidth": ("of", {"its batch": 1, "new text": 3}),
        })],
        ("2 steps so far: a letter of the last batch takes 7.00 bits, new text takes 4.00",),
    )  # fmt: skip


# Little memory -----------------------------------------------------------------------------------

RULES = {
    "lru": "the latest used", "lfu": "the most used so far", "pinned": "this task's favourites",
    "pinned_other": "another task's favourites", "last_token": "the latest, reading ahead by token",
    "last_layer": "the latest, reading ahead by layer", "belady": "knowing the future",
}  # fmt: skip


def kept_of(policy: str, slots: int, task: str = "") -> tuple[float, float, float, float]:
    """Hits and early ones of all requests, reads and waits of a token, from the file itself."""
    lines = [line.split(",") for line in KEPT.read_text("utf-8").splitlines() if line[0] != "#"]
    counts = np.sum([
        list(map(int, line[3:])) for line in lines
        if line[:2] == [policy, str(slots)] and task in ("", line[2])
    ], axis=0)  # fmt: skip
    tokens, requests, hits, early, reads = counts.tolist()
    return hits / requests, early / requests, reads / tokens, (requests - hits - early) / tokens


@of(little.there)
def who_is_there() -> Shown:
    bars, labels = [], []
    for policy, name in RULES.items():
        hits, early, *_ = kept_of(policy, 8, "law")
        bars += [
            {"name": name, "part": "there from before", "from": 0.0, "to": hits},
            {"name": name, "part": "read ahead, in time", "from": hits, "to": hits + early},
        ]
        ahead = f" + {early:.0%}" if early else ""
        labels.append({"name": name, "to": hits + early, "label": f"{hits:.0%}{ahead}"})
    parts = {"there from before": "#12906C", "read ahead, in time": "#B0509A"}
    return Shown(
        little.there(8, "law"),
        {"bars": bars, "labels": labels, "chance": [{"chance": 0.125}]},
        [
            ("bar", "bars", {"y": "name", "x": "from||%", "x2": "to", "color": ("part", parts)}),
            ("rule", "chance", {"x": "chance||%"}),
            ("text", "labels", {"y": "name", "x": "to||%", "text": "label"}),
            *[("text", "labels", {"y": "name", "x": "=0", "text": "name"})] * 2,  # letters and rims
        ],
        ("room for 8", "chance, 12%", *(f"{row['name']} {row['label']}" for row in labels)),
    )  # fmt: skip


@of(little.by_room)
def rates_by_room() -> Shown:
    sizes = (4, 8, 12, 16, 24, 32, 48, 64)
    lines = {"belady": "#56606B", "pinned": "#12906C", "lru": "#A2558A", "pinned_other": "#D55E00"}
    rows = [
        {"name": RULES[policy], "slots": slots, "rate": kept_of(policy, slots)[0]}
        for policy in lines
        for slots in sizes
    ]
    names = {RULES[policy]: colour for policy, colour in lines.items()}
    dashes = dict(zip(names, ((1, 0), (7, 4), (2, 3), (9, 3, 2, 3)), strict=True))
    level = [{"slots": slots, "rate": slots / 64} for slots in sizes]
    place = {"x": "slots|experts of a layer that find room", "y": "rate||%"}
    return Shown(
        little.by_room(),
        {"rooms": rows, "levels": level},
        [
            ("line", "levels", place | {"dash": (6, 4)}),
            ("line", "rooms", place | {
                "color": ("name", names), "strokeDash": ("name", dashes),
            }),
        ],
        (f"the latest used: {kept_of('lru', 16)[0]:.0%}", "room for 4 to 64 experts"),
    )  # fmt: skip


@of(little.how_fast)
def tokens_a_second() -> Shown:
    settings = lab_little.LittleMemory(slots=32, machine="GeForce RTX 4090 Laptop (140 W)")
    # DeepSeek-V2-Lite: an expert has three matrices of 2,048 by 1,408; 26 layers have 64 of them.
    one = 3 * 2048 * 1408 * (0.5 + 2 / 32)
    all_fit = lab_little.speeds(settings)["lru"].all_fit_tokens_per_s
    rows = []
    for policy, name in RULES.items():
        *_, reads, waits = kept_of(policy, 32)
        seconds = max(1 / all_fit, (reads - waits) * one / 7.45e9) + waits * one / 7.45e9
        rows.append({"name": name, "speed": 1 / seconds, "label": f"{1 / seconds:.3g}"})
    bar = {"y": "name", "x": "speed"}
    return Shown(
        little.how_fast(settings),
        {"speeds": rows},
        [("bar", "speeds", bar), ("text", "speeds", bar | {"text": "label"})],
        (f"If all experts fitted: {all_fit:.3g}", f"{rows[0]['name']}: {rows[0]['label']}"),
    )  # fmt: skip


# Distil ------------------------------------------------------------------------------------------

STUDENT_COLOURS = {"with the teacher": "#12906C", "alone": "#D55E00"}


@of(distil.students)
def students_over_steps(first: bool = False) -> Shown:
    runs = records.distilled()
    rows = [
        {"student": name, "seed": run.seed, "step": look.step, "bits": look.bits}
        for run in runs
        for name, key in (("with the teacher", "taught"), ("alone", "alone"))
        for look in run.students[key][: 1 if first else 2]
    ]
    ends = ("with the teacher 4.00 bits", "alone 4.50") if first else (
        "with the teacher 2.20 bits", "alone 2.50 bits", "over 20 of 20 steps"
    )  # fmt: skip
    dashes = dict(zip(STUDENT_COLOURS, ((1, 0), (7, 4)), strict=True))
    return Shown(
        distil.students(runs, first),
        {
            "students": rows,
            "teacher": [{"bits": 2.0, "step": 0, "label": "the teacher: 2.00"}],
        },
        [
            ("rule", "teacher", {"y": "bits"}),
            ("text", "teacher", {"x": "step|step", "y": "bits", "text": "label"}),
            ("line", "students", {
                "x": "step|step", "y": "bits", "detail": "seed",
                "color": ("student", STUDENT_COLOURS), "strokeDash": ("student", dashes),
            }),
        ],
        (*ends, "their teacher, 2.00 bits"),
    )  # fmt: skip


@of(distil.students)
def students_at_their_first_look() -> Shown:
    return students_over_steps(first=True)


@of(distil.saved)
def bits_that_a_teacher_saves() -> Shown:
    # Gains of 0.2, 0.3, 0.4, 0.1 less at equal seconds, 0.3 less by text; t(0.975, 2) = 4.302653.
    half = 4.302653 * 0.1 / math.sqrt(3)
    means = [
        {"name": name, "mean": mean, "low": mean - half, "high": mean + half,
         "label": f"{mean:+.3f}"}
        for name, mean in (
            ("equal steps", 0.3), ("equal seconds", 0.2),
            ("by its text", 0.0),
        )
    ]  # fmt: skip
    seeds = [
        {"name": name, "seed": seed, "gain": first + 0.1 * seed}
        for name, first in (
            ("equal steps", 0.2),
            ("equal seconds", 0.1),
            ("by its text", -0.1),
        )
        for seed in range(3)
    ]
    return Shown(
        distil.saved(records.distilled()),
        {"means": means, "seeds": seeds, "nothing": [{"nothing": 0}]},
        [
            ("rule", "nothing", {"x": "nothing"}),
            ("rule", "means", {"y": "name", "x": "low", "x2": "high"}),
            ("point", "means", {"y": "name", "x": "mean"}),
            ("point", "seeds", {"y": "name", "x": "gain"}),
            *[("text", "means", {"y": "name", "x": "mean", "text": "label"})] * 2,
        ],
        (
            "equal steps: +0.300, 95% interval +0.052 to +0.548",
            "seconds: +0.200",
            "3 rows",
        ),
    )


# How many experts --------------------------------------------------------------------------------

MODELS_BESIDE = {
    "the mixture": ("#0072B2", "circle"), "equally good": ("#D55E00", "square"),
    "equally large": ("#A2558A", "diamond"),
    "equally fast": ("#009E73", "triangle-up"),
}  # fmt: skip


@of(scaling.law)
def the_law_and_its_runs() -> Shown:
    found, formula = compare(55e6, 16), fitted("S-Base").law
    ways = {"Dense": "no experts", "S-Base": "shared out evenly", "RL-R": "learned by reward",
            "Hash": "a fixed table"}  # fmt: skip
    dots = [
        {"active": r.active, "loss": r.losses["end"], "way": ways[r.router], "experts": r.experts,
         "used": count(r.active), "stored": count(r.total)}
        for r in runs()
    ]  # fmt: skip
    sizes = [1e7 * 30_000 ** (n / 39) for n in range(40)]

    def loss(size: float, experts: int) -> float:
        """The formula, written out."""
        first = 1 / (1 / formula.start - 1 / formula.most)
        counted = 1 / (1 / (experts - 1 + first) + 1 / formula.most)
        n, e = math.log10(size), math.log10(counted)
        return 10 ** (formula.a * n + formula.b * e + formula.c * n * e + formula.d)

    one, many = ([{"active": n, "loss": loss(n, e)} for n in sizes] for e in (1, 16))
    names = [
        {"active": 3e10, "loss": loss(3e10, 1) + 0.2, "label": "one expert"},
        {"active": 3e10, "loss": loss(3e10, 16) - 0.2, "label": "16 experts"},
    ]
    four = [
        {"model": name, "active": option.active, "used": count(option.active),
         "loss": loss(option.active, option.experts)}
        for name, option in zip(MODELS_BESIDE, found.options, strict=True)
    ]  # fmt: skip
    labels = "replace(format(datum.value, '~s'), 'G', 'B')"
    x, y = f"active|numbers used at a time||{labels}", "loss|loss: lower is better"
    place = {"x": x, "y": y}
    return Shown(
        scaling.law(found),
        {"runs": dots, "ordinary": one, "mixture": many, "names": names, "models": four},
        [("point", "runs", place),
         ("line", "ordinary", place | {"dash": (6, 4)}),
         ("line", "mixture", place),
         ("text", "names", place | {"text": "label"}),
         ("text", "names", place | {"text": "label"}),
         ("point", "models", place | {
             "color": ("model", {name: look[0] for name, look in MODELS_BESIDE.items()}),
             "shape": ("model", {name: look[1] for name, look in MODELS_BESIDE.items()}),
         })],
        (f"{len(dots)} trained models",
         f"the mixture: 55 million used at a time, loss {loss(55e6, 16):.2f}"),
    )  # fmt: skip


@of(scaling.beside)
def ordinary_models_beside() -> Shown:
    found = compare(55e6, 16)
    mixture, *others = found.options
    rows = [
        {"quantity": quantity, "model": name, "times": measure(one) / measure(mixture)}
        for quantity, measure in (
            ("choices left open", lambda one: math.exp(one.loss)),
            ("memory filled", lambda one: one.memory_bytes),
            ("read for each piece", lambda one: one.bytes_per_token),
            ("pieces a second", lambda one: one.tokens_per_s),
        )
        for name, one in zip([*MODELS_BESIDE][1:], others, strict=True)
    ]
    words = (
        "datum.value == 1 ? 'the mixture' : datum.value > 1 ? datum.value + '×' : "
        "'1/' + 1 / datum.value"
    )
    looks = {name: look for name, look in MODELS_BESIDE.items() if name != "the mixture"}
    return Shown(
        scaling.beside(found),
        {"times": rows, "even": [{"even": 1}]},
        [("rule", "even", {"x": f"even|times as much||{words}"}),
         ("point", "times", {
             "x": f"times|times as much||{words}", "y": "quantity",
             "color": ("model", {name: look[0] for name, look in looks.items()}),
             "shape": ("model", {name: look[1] for name, look in looks.items()}),
         })],
        ("equally good, choices left open: 1 times",
         "equally fast, pieces a second: 1 times"),
    )  # fmt: skip
