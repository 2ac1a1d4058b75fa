"""Charts of the page on language models: bits per byte, experts of letters, and loads."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from ...pictures.experts import EXPERT_COLOURS, expert_name
from ...pictures.figure import Chart, Figure, Rows, draw, drawn_once
from ...pictures.marks import by_load, expert_x, goal, keyed, line_key, looks
from ...pictures.palette import BLUE, GREEN, GREY, PAPER_INK, VERMILION
from ...studies.language_model import KINDS, Learned, Look, Step
from .story import LAYERS, of_kind

COLOURS = dict(zip(KINDS.values(), (BLUE, GREEN, VERMILION), strict=True))
DASHES = ([1, 0], [7, 4], [2, 3])
HIGHEST = 5.0  # bits that the axis reaches; a model that knows nothing has 8
COLUMNS = 32  # letters of a row of the passage
BATCH, NEW = "its batch", "new text"


def losses(runs: Sequence[Learned], at: int) -> Figure:
    """Draw bits per byte of held-out text over the steps, the first run of each kind, up to a look.

    Parameters
    ----------
    at
        Position of the look that is the last one shown.
    """
    shown = [run for kind in KINDS for run in of_kind(runs, kind)[:1]]
    rows: Rows = [
        {"model": KINDS[run.kind], "step": look.step, "bits": look.bits}
        for run in shown
        for look in run.looks[: at + 1]
    ]
    ends = [run.looks[: at + 1][-1] for run in shown]
    told = "; ".join(
        f"{KINDS[run.kind]} {end.bits:.2f} bits" for run, end in zip(shown, ends, strict=True)
    )
    lowest = min(look.bits for run in shown for look in run.looks)
    return Figure(
        "Bits for a letter of new text",
        _losses(shown[0].end.step, float(np.floor(lowest * 4) / 4)),
        f"A line for each of {len(shown)} models, up to step {ends[0].step}: {told}.",
        {"losses": rows},
    )


@drawn_once
def _losses(steps: int, lowest: float) -> Chart:
    lines = draw("losses").mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=30), clip=True)
    return lines.encode(
        x=_x(steps),
        y=alt.Y("bits:Q", scale=_y(lowest), axis=alt.Axis(title=None, tickCount=5)),
        color=keyed(alt.Color, "model:N", COLOURS, line_key(columns=2)),
        strokeDash=keyed(alt.StrokeDash, "model:N", looks(COLOURS, DASHES), line_key(columns=2)),
        tooltip=["model:N", "step:Q", alt.Tooltip("bits:Q", format=".3f")],
    ).properties(height=300)


def _x(steps: int) -> alt.X:
    axis = alt.Axis(title="step", grid=False, tickCount=4)
    return alt.X("step:Q", scale=alt.Scale(domain=[0, steps], nice=False), axis=axis)


def _y(lowest: float) -> alt.Scale:
    return alt.Scale(domain=[lowest, HIGHEST], nice=False, clamp=True)


def passage(letters: Sequence[str], look: Look, layer: str, ink: str = PAPER_INK) -> Figure:
    """Draw letters of held-out text with the expert that each chose first in a layer.

    Parameters
    ----------
    layer
        A key of `LAYERS`.
    """
    chosen_T = look.expert_LT[LAYERS[layer]]
    rows = [
        {
            "row": place // COLUMNS, "column": place % COLUMNS, "letter": letter,
            "expert": expert_name(e), "colour": EXPERT_COLOURS[e % len(EXPERT_COLOURS)],
            "filled": 0.5 if e < len(EXPERT_COLOURS) else 0.0,
        }
        for place, (letter, e) in enumerate(zip(letters, chosen_T, strict=True))
    ]  # fmt: skip
    used = sorted(set(chosen_T))
    return Figure(
        "Which expert each letter chose",
        _passage(-(-len(letters) // COLUMNS), ink),
        f"{len(letters)} letters of new text after step {look.step}, each with its first expert in "
        f"the {layer} layer: {len(used)} experts are used. The text: {''.join(letters)}",
        {"passage": rows},
    )


@drawn_once
def _passage(n_rows: int, ink: str) -> Chart:
    x_scale = alt.Scale(domain=list(range(COLUMNS)), padding=0.1)
    y_scale = alt.Scale(domain=list(range(n_rows)), padding=0.1)
    x = alt.X("column:O", scale=x_scale, axis=None)
    y = alt.Y("row:O", scale=y_scale, axis=None)
    base = draw("passage").encode(x=x, y=y, tooltip=["letter:N", "expert:N"])
    tiles = base.mark_rect(cornerRadius=3, strokeWidth=1.5).encode(
        fill=alt.Fill("colour:N", scale=None), stroke=alt.Stroke("colour:N", scale=None),
        fillOpacity=alt.FillOpacity("filled:Q", scale=None),
    )  # fmt: skip
    letter = base.mark_text(fontSize=12, font="monospace", align="center", dy=-7, color=ink)
    name = base.mark_text(fontSize=10, fontWeight="bold", align="center", dy=9, color=ink)
    return alt.LayerChart(
        layer=[tiles, letter.encode(text="letter:N"), name.encode(text="expert:N")]
    ).properties(height=44 * n_rows)


def loads(look: Look, layer: str, ink: str = PAPER_INK) -> Figure:
    """Draw how often each expert of a layer was chosen for held-out text, in fair shares."""
    load_E = np.array(look.load_LE[LAYERS[layer]])
    ratio_E = load_E / load_E.mean()
    rows = [{"expert": expert_name(e), "ratio": float(r)} for e, r in enumerate(ratio_E)]
    busiest = int(ratio_E.argmax())
    return Figure(
        "Work of each expert, in fair shares",
        _loads(ink),
        f"{len(rows)} experts of the {layer} layer after step {look.step}: the busiest, "
        f"{expert_name(busiest)}, has {ratio_E[busiest]:.2f} fair shares, the idlest "
        f"{ratio_E.min():.2f}.",
        {"loads": rows, "fair": [{"fair": 1}]},
    )


@drawn_once
def _loads(ink: str) -> Chart:
    scale = alt.Scale(domain=[0, 3], nice=False, clamp=True)
    axis = alt.Axis(title=None, tickCount=3, labelExpr="datum.label + '×'")
    bars = draw("loads").mark_bar().encode(
        x=expert_x(), y=alt.Y("ratio:Q", scale=scale, axis=axis), color=by_load(),
        tooltip=["expert:O", alt.Tooltip("ratio:Q", format=".2f", title="fair shares")],
    )  # fmt: skip
    fair = goal("fair", ink, y=alt.Y("fair:Q", scale=scale, axis=axis))
    return alt.LayerChart(layer=[bars, fair]).properties(height=190)


def live(steps: Sequence[Step], looked: Sequence[Look], last: int) -> Figure:
    """Draw bits per byte of a run that goes on: of its batches, and of held-out text.

    Parameters
    ----------
    last
        Step that the axis ends with.
    """
    rows: Rows = [{"of": BATCH, "step": one.step, "bits": one.bits} for one in steps]
    rows += [{"of": NEW, "step": one.step, "bits": one.bits} for one in looked]
    told = f"new text takes {looked[-1].bits:.2f} bits" if looked else "new text was not read yet"
    return Figure(
        "Bits for a letter",
        _live(last),
        f"{len(steps)} steps so far: a letter of the last batch takes {steps[-1].bits:.2f} bits, "
        f"{told}.",
        {"live": rows},
    )


@drawn_once
def _live(last: int) -> Chart:
    colours = {BATCH: GREY, NEW: BLUE}
    return draw("live").mark_line(clip=True).encode(
        x=_x(last),
        y=alt.Y("bits:Q", scale=_y(1.5), axis=alt.Axis(title=None, tickCount=5)),
        color=keyed(alt.Color, "of:N", colours, line_key()),
        strokeWidth=keyed(alt.StrokeWidth, "of:N", {BATCH: 1, NEW: 3}, line_key()),
        tooltip=["of:N", "step:Q", alt.Tooltip("bits:Q", format=".3f")],
    ).properties(height=260)  # fmt: skip
