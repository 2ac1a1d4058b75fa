"""Charts of the page on thinking: shares and length over the updates, and what was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt

from ...lm.tasks import TASKS
from ...pictures.figure import Chart, Figure, Rows, draw, drawn_once
from ...pictures.marks import key, keyed, line_key, looks, percent_axis
from ...pictures.palette import BLUE, GREY, PAPER_INK, PURPLE, TEAL, VERMILION
from ...studies.thinking import Look, parted, rights
from .story import START_NAMES

RIGHT, THINKS = "right answers", "writes something first"
LINES = {RIGHT: TEAL, THINKS: PURPLE}
DASHES = ([1, 0], [7, 4])
KINDS = {
    "the problem": GREY, "written first": BLUE, "right answer": TEAL, "wrong answer": VERMILION,
}  # fmt: skip
PROBLEM, BEFORE, CORRECT, WRONG = KINDS
MARKS = {True: "✓", False: "✗"}
N_NEW = TASKS["mod5"].n_new
STUCK, ACCURACY = "groups that teach nothing", "right answers"
START_COLOURS = dict(zip(START_NAMES.values(), (TEAL, VERMILION, PURPLE), strict=True))
X = "updates by rewards"


def shares(looks: Sequence[Look], last: int) -> Figure:
    """Draw the shares of right answers, and of answers with something in front, over the updates.

    Parameters
    ----------
    looks
        From the first on, as many as are shown.
    last
        Update that the axis ends with.
    """
    rows: Rows = [
        {"what": what, "update": look.iteration, "value": value}
        for look in looks
        for what, value in ((RIGHT, look.accuracy), (THINKS, look.thinks))
    ]
    end = looks[-1]
    return Figure(
        "Right answers, and answers that think first",
        _shares(last),
        f"Two lines over {len(looks)} looks. After {end.iteration} updates by rewards "
        f"{end.accuracy:.0%} of held-out problems are answered rightly, and {end.thinks:.0%} of "
        f"answers have something written in front, from {looks[0].accuracy:.0%} and "
        f"{looks[0].thinks:.0%} at the start.",
        {"shares": rows},
    )


@drawn_once
def _shares(last: int) -> Chart:
    lines = draw("shares").mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=36))
    return lines.encode(
        x=_x(last),
        y=alt.Y("value:Q", scale=alt.Scale(domain=[0, 1]), axis=percent_axis()),
        color=keyed(alt.Color, "what:N", LINES, line_key()),
        strokeDash=keyed(alt.StrokeDash, "what:N", looks(LINES, DASHES), line_key()),
        tooltip=[
            "what:N", alt.Tooltip("update:Q", title=X),
            alt.Tooltip("value:Q", format=".1%", title="share"),
        ],
    ).properties(height=230)  # fmt: skip


def length(looks: Sequence[Look], last: int) -> Figure:
    """Draw the mean length of answers over the updates, in signs, which nothing rewards."""
    rows = [{"update": look.iteration, "signs": look.length} for look in looks]
    return Figure(
        "Length of an answer, in signs",
        _length(last),
        f"A line over {len(looks)} looks: the mean length is {looks[-1].length:.1f} signs after "
        f"{looks[-1].iteration} updates by rewards, from {looks[0].length:.1f} at the start; "
        f"{N_NEW} are the most.",
        {"length": rows},
    )


@drawn_once
def _length(last: int) -> Chart:
    line = draw("length").mark_line(strokeWidth=2.5, color=BLUE, point=alt.OverlayMarkDef(
        size=36, color=BLUE
    ))  # fmt: skip
    return line.encode(
        x=_x(last),
        y=alt.Y(
            "signs:Q", scale=alt.Scale(domain=[0, N_NEW]), axis=alt.Axis(title=None, tickCount=3)
        ),
        tooltip=[
            alt.Tooltip("update:Q", title=X),
            alt.Tooltip("signs:Q", format=".2f", title="signs"),
        ],
    ).properties(height=230)


def _x(last: int) -> alt.X:
    axis = alt.Axis(title=X, grid=False, tickCount=4)
    return alt.X("update:Q", scale=alt.Scale(domain=[0, last], nice=False), axis=axis)


def answers(prompts: Sequence[str], look: Look, ink: str = PAPER_INK) -> Figure:
    """Draw what the policy wrote on the same problems, sign by sign."""
    right = rights(look.written)
    rows: Rows = []
    for at, (prompt, written) in enumerate(zip(prompts, look.written, strict=True)):
        before, answer = parted(written)
        kinds = [(PROBLEM, prompt), (BEFORE, before), (CORRECT if right[at] else WRONG, answer)]
        signs = [(kind, sign) for kind, text in kinds for sign in text]
        rows += [
            {"problem": at + 1, "place": place, "sign": sign, "kind": kind}
            for place, (kind, sign) in enumerate(signs)
        ]
    verdicts = [
        {"problem": at + 1, "place": len(prompts[0]) + N_NEW - 1, "mark": MARKS[one]}
        for at, one in enumerate(right)
    ]
    told = "; ".join(
        f"{prompt} {' then '.join(filter(None, parted(written)))}, {'right' if ok else 'wrong'}"
        for prompt, written, ok in zip(prompts, look.written, right, strict=True)
    )
    return Figure(
        "The same eight problems, each time",
        _answers(len(prompts), len(prompts[0]) + N_NEW, ink),
        f"What was written after {look.iteration} updates by rewards, {sum(right)} of "
        f"{len(right)} right. {told}.",
        {"signs": rows, "verdicts": verdicts},
    )


@drawn_once
def _answers(n_problems: int, n_places: int, ink: str) -> Chart:
    x_scale = alt.Scale(domain=list(range(n_places)), padding=0.08)
    y_scale = alt.Scale(domain=list(range(1, n_problems + 1)), padding=0.12)
    x = alt.X("place:O", scale=x_scale, axis=None)
    y = alt.Y("problem:O", scale=y_scale, axis=None)
    tiles = draw("signs").mark_rect(cornerRadius=3, opacity=0.4)
    tiles = tiles.encode(x=x, y=y, fill=keyed(alt.Fill, "kind:N", KINDS, key(columns=2)))
    signs = draw("signs").mark_text(fontSize=13, font="monospace", align="center", color=ink)
    marks = draw("verdicts").mark_text(fontSize=15, fontWeight="bold", align="center", color=ink)
    return alt.LayerChart(
        layer=[
            tiles, signs.encode(x=x, y=y, text="sign:N"), marks.encode(x=x, y=y, text="mark:N"),
        ]
    ).properties(height=30 * n_problems + 56)  # fmt: skip


def starts(runs: Mapping[str, Sequence[Look]], what: str) -> Figure:
    """Draw how runs from good and from failed starts go on: right answers, or groups without use.

    Parameters
    ----------
    runs
        Looks by the start's key.
    what
        `ACCURACY` or `STUCK`.
    """
    name = {ACCURACY: "accuracy", STUCK: "zero_variance"}[what]
    rows: Rows = [
        {"start": START_NAMES[start], "update": look.iteration, "value": getattr(look, name)}
        for start, looks_ in runs.items()
        for look in looks_
    ]
    last = max(look.iteration for looks_ in runs.values() for look in looks_)
    told = "; ".join(
        f"{START_NAMES[start]}: from {getattr(looks_[0], name):.0%} to "
        f"{getattr(looks_[-1], name):.0%}"
        for start, looks_ in runs.items()
    )
    return Figure(
        f"{what[0].upper()}{what[1:]}, by start", _starts(last),
        f"A line for each start over {last} updates by rewards. {told}.", {"starts": rows}, what,
    )  # fmt: skip


@drawn_once
def _starts(last: int) -> Chart:
    return draw("starts").mark_line(strokeWidth=2.5).encode(
        x=_x(last),
        y=alt.Y("value:Q", scale=alt.Scale(domain=[0, 1]), axis=percent_axis()),
        color=keyed(alt.Color, "start:N", START_COLOURS, line_key(columns=1, labelLimit=240)),
        strokeDash=keyed(
            alt.StrokeDash, "start:N", looks(START_COLOURS, ([1, 0], [7, 4], [2, 3])),
            line_key(columns=1, labelLimit=240),
        ),
        tooltip=[
            "start:N", alt.Tooltip("update:Q", title=X),
            alt.Tooltip("value:Q", format=".1%", title="share"),
        ],
    ).properties(height=280)  # fmt: skip
