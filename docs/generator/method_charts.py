"""Charts of single methods: a routing token by token, and a balancer's short run."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt
import numpy as np

from moe import metrics
from moe.pictures.figure import Drawing, Figure, Rows, draw
from moe.pictures.marks import LOADS, band_axis, by_load, end_labels, goal, run_lines
from moe.pictures.palette import DASHES, FAIR, PAPER_INK, PURPLE, TEAL
from moe.routing import Routing
from moe.training.runs import Run

ROW, LOAD_WIDTH = 22, 150  # pixels for one expert, and for the loads beside the tokens
WITHOUT, WITH = "without", "with"
COLOURS = {WITHOUT: PURPLE, WITH: TEAL}


def assignment(
    title: str, routing: Routing, kind_N: np.ndarray | None = None, ink: str = PAPER_INK
) -> Figure:
    """Draw tokens by experts, taller for larger weights, and beside them the load of each expert.

    Parameters
    ----------
    kind_N
        Kind of each token, (N,), in order; a line separates kinds.
    """
    names = _expert_names(routing)
    proposed_E = routing.proposed_load
    fair = max(float(proposed_E.mean()), 1e-9)
    ratio_E = (proposed_E / fair).tolist()
    loads = _load_rows(routing, names, ratio_E)
    changes = [] if kind_N is None else (np.flatnonzero(np.diff(kind_N)) + 1).tolist()
    picture = _marks(routing.n_tokens, names) | _bars(names, float(proposed_E.max()), ink)
    spoken = ", ".join(f"{row['expert']}: {row['label']}" for row in loads)
    dropped = f" Dropped: {_dropped_words(routing)}." if routing.dropped else ""
    return Figure(
        title,
        Drawing(alt.vconcat(picture)),
        f"{routing.n_tokens} tokens make {routing.n_assignments} assignments to "
        f"{routing.n_experts} experts; MaxVio {metrics.max_vio(proposed_E):.2f}.{dropped} "
        f"Load of expert {spoken}.",
        {
            "marks": _mark_rows(routing, names, ratio_E),
            "loads": loads,
            "fair": [{"fair": fair}],
            "kinds": [{"at": at} for at in changes],
        },
    )


def _mark_rows(routing: Routing, names: list[str], ratio_E: list[float]) -> Rows:
    """Place, height and fate of every assignment; the lightest is still seen."""
    top = max(float(routing.weight_A.max(initial=0.0)), 1e-9)
    return [
        {
            "token": token,
            "from": token + 0.08,
            "to": token + 0.92,
            "low": expert + 0.5 - 0.45 * height,
            "high": expert + 0.5 + 0.45 * height,
            "ratio": ratio_E[expert],
            "expert": names[expert],
            "weight": weight,
            "fate": "kept" if kept else "dropped",
        }
        for token, expert, weight, height, kept in zip(
            routing.token_A.tolist(),
            routing.expert_A.tolist(),
            routing.weight_A.tolist(),
            np.maximum(routing.weight_A / top, 0.06).tolist(),
            routing.kept_A.tolist(),
            strict=True,
        )
    ]


def _load_rows(routing: Routing, names: list[str], ratio_E: list[float]) -> Rows:
    """Place, length and label of every expert's bar; its colour is what was asked of it."""
    load_E, proposed_E = routing.load, routing.proposed_load
    return [
        {
            "expert": names[e],
            "middle": e + 0.5,
            "low": e + 0.18,
            "high": e + 0.82,
            "load": int(load_E[e]),
            "ratio": ratio_E[e],
            "label": str(load_E[e]) + (f" of {proposed_E[e]}" if load_E[e] < proposed_E[e] else ""),
        }
        for e in range(routing.n_experts)
    ]


def _dropped_words(routing: Routing) -> str:
    """Return which tokens each expert turned away, in words."""
    lost_A = ~routing.kept_A
    token_A, expert_A = routing.token_A[lost_A], routing.expert_A[lost_A]
    return "; ".join(
        f"of expert {e} tokens {', '.join(map(str, sorted(token_A[expert_A == e].tolist())))}"
        for e in np.unique(expert_A)
    )


def _expert_names(routing: Routing) -> list[str]:
    first_special = routing.n_experts - routing.n_special
    return [f"{e} special" if e >= first_special else str(e) for e in range(routing.n_experts)]


def _expert_axis(names: list[str], labels: bool) -> alt.Y:
    """Experts from the top down, a band of height 1 each."""
    axis = band_axis(names, title="expert" if labels else None, labels=labels)
    return alt.Y("low:Q", axis=axis, scale=alt.Scale(domain=[len(names), 0], nice=False))


def _marks(n_tokens: int, names: list[str]) -> alt.LayerChart:
    axis = alt.Axis(title="token, in order of kind", grid=False, tickCount=8, format="d")
    x = alt.X("from:Q", axis=axis, scale=alt.Scale(domain=[0, n_tokens], nice=False))
    fates = alt.Scale(domain=["kept", "dropped"], range=[1.0, 0.0])
    rects = draw("marks").mark_rect(aria=False, strokeWidth=1)
    rects = rects.encode(
        x=x,
        x2="to:Q",
        y=_expert_axis(names, labels=True),
        y2="high:Q",
        color=by_load(),
        stroke=alt.Stroke("ratio:Q", scale=LOADS, legend=None),
        fillOpacity=alt.FillOpacity("fate:O", scale=fates, legend=None),
        tooltip=["token:Q", "expert:N", alt.Tooltip("weight:Q", format=".3f"), "fate:N"],
    )
    kinds = draw("kinds").mark_rule(color=FAIR, strokeWidth=1, opacity=0.6, aria=False)
    return alt.LayerChart(layer=[kinds.encode(x="at:Q"), rects]).properties(
        width=460, height=ROW * len(names)
    )


def _bars(names: list[str], top: float, ink: str) -> alt.LayerChart:
    scale = alt.Scale(domain=[0, 1.35 * max(top, 1.0)], nice=False)
    x = alt.X("load:Q", scale=scale, axis=alt.Axis(title="load", grid=False, tickCount=3))
    y = _expert_axis(names, labels=False)
    bars = draw("loads").mark_rect(aria=False)
    bars = bars.encode(x=x, x2=alt.datum(0), y=y, y2="high:Q", color=by_load())
    texts = end_labels(draw("loads"), ink, align="right", dx=0, fontSize=11, aria=False)
    texts = texts.encode(x=alt.value(LOAD_WIDTH), y=alt.Y("middle:Q", axis=None))
    rule = goal("fair", ink, x=alt.X("fair:Q", scale=scale))
    rule.mark.aria = False
    return alt.LayerChart(layer=[bars, rule, texts]).properties(
        width=LOAD_WIDTH, height=ROW * len(names)
    )


@dataclass(frozen=True)
class Panel:
    """A number over the steps of both runs."""

    title: str
    unit: str
    runs: dict[str, list[tuple[float, float]]]


def cure(title: str, without: Run, treated: Run) -> Figure:
    """Draw MaxVio over the steps without and with a balancer.

    If the number of experts that compute varies over the steps, it is shown as well: some
    methods steer that instead.
    """
    runs = {WITHOUT: without, WITH: treated}
    panels = [Panel("MaxVio", "", {name: run.series("max_vio", 50) for name, run in runs.items()})]
    computing = {name: _computing_per_token(run) for name, run in runs.items()}
    values = [value for series in computing.values() for _, value in series]
    if max(values) - min(values) > 0.05:
        panels.append(Panel("Experts that compute", " per token", computing))
    charts = [_lines(panel, f"panel_{i}") for i, panel in enumerate(panels)]
    width = 640 // len(charts) - 20 * (len(charts) - 1)
    row = alt.hconcat(*(chart.properties(width=width) for chart in charts))
    steps = without.settings.steps
    spoken = []
    for panel in panels:
        start = panel.runs[WITHOUT][0][1]
        ends = {name: _end(series) for name, series in panel.runs.items()}
        spoken.append(
            f"{panel.title}{panel.unit}: {start:.2f} at first, at the end {ends[WITHOUT]:.2f} "
            f"{WITHOUT} and {ends[WITH]:.2f} {WITH} it."
        )
    return Figure(
        title,
        Drawing(alt.vconcat(row)),
        f"{steps} training steps without and with the balancer. {' '.join(spoken)}",
        {f"panel_{i}": _rows(panel) for i, panel in enumerate(panels)},
    )


def _computing_per_token(run: Run) -> list[tuple[float, float]]:
    """Step and assignments per token to experts that compute."""
    settings = run.settings
    n_computing = settings.n_experts - len(settings.make_router().specials)
    counts = [record.load[:n_computing].sum() / settings.batch for record in run.records]
    stretches = np.array_split(np.stack([np.arange(len(counts)), counts], 1), min(50, len(counts)))
    return [(float(step), float(n)) for step, n in (part.mean(axis=0) for part in stretches)]


def _end(series: list[tuple[float, float]]) -> float:
    """Mean of the last tenth."""
    last = series[-max(len(series) // 10, 1) :]
    return float(np.mean([value for _, value in last]))


def _rows(panel: Panel) -> Rows:
    return [
        {"run": name, "step": step, "value": value}
        for name, series in panel.runs.items()
        for step, value in series
    ]


def _lines(panel: Panel, table: str) -> alt.Chart:
    y = alt.Y(
        "value:Q",
        scale=alt.Scale(zero=True),
        axis=alt.Axis(title=panel.title + panel.unit, tickCount=4),
    )
    return run_lines(table, y, panel.title, COLOURS, DASHES[1::-1], aria=False)
