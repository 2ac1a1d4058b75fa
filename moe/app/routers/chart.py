"""Charts of the page on routers: who changes its mind, the loads, and each router's weights."""

from __future__ import annotations

import altair as alt

from ...pictures.experts import expert_colour, expert_name, letter_ink
from ...pictures.figure import Chart, Figure, draw, drawn_once
from ...pictures.marks import expert_x, goal, key, keyed, looks, percent_axis, sheet, stacked
from ...pictures.palette import DASHES, FAIR, PAPER_INK, RUN_COLOURS
from ...pictures.staff import Staff
from .story import A_ONLY, B_ONLY, BOTH, Side, SideBySide

HALF = {A_ONLY: 0.42, B_ONLY: 0.36, BOTH: 0.1}  # half heights; the frame of B needs some room
# Choices of B are hollow, so that nobody needs the colours to tell them from A's.
FILLS = {A_ONLY: RUN_COLOURS["A"], B_ONLY: "transparent", BOTH: FAIR}
STROKES = {A_ONLY: RUN_COLOURS["A"], B_ONLY: RUN_COLOURS["B"], BOTH: FAIR}


FIRST = 6  # characters that are drawn large
A_ROW, LETTERS, B_ROW = 2.6, 1.5, 0.4  # where the experts of A, the characters and B's experts are


def _square_key() -> alt.Legend:
    return key(symbolType="square", symbolSize=130)


def _spots(staff: Staff, *fields: str) -> alt.Chart:
    """Draw what one hovers over: a frame around each character, with words that it shows."""
    return staff.frames("spots").mark_rect(opacity=0, aria=False).encode(tooltip=list(fields))


def first_characters(both: SideBySide, hidden: bool = False, ink: str = PAPER_INK) -> Figure:
    """Draw the first characters large, with lines to their experts in A above and in B below.

    With `hidden`, B's choices are left out, as somebody is to guess them.
    """
    n_experts, tokens = both.a.routing.n_experts, both.tokens[:FIRST]
    sides = {"A": (both.a, A_ROW, 1), "B": (both.b, B_ROW, -1)}  # -1: downwards
    at = [(n + 0.5) * n_experts / len(tokens) for n in range(len(tokens))]
    choices = [
        {"run": name, "x": at[n], "y": LETTERS + 0.28 * way, "x2": e + 0.5, "y2": row - 0.2 * way,
         "weight": weight}
        for name, (side, row, way) in sides.items() if not (hidden and name == "B")
        for n, e, weight, kept in side.choices() if kept and n < len(tokens)
    ]  # fmt: skip
    boxes = [
        {"x": e + 0.5, "y": row, "expert": expert_name(e), "fill": fill, "ink": letter_ink(fill)}
        for _, row, _ in sides.values()
        for e, fill in enumerate(_fills(n_experts))
    ]
    letters = [
        {"x": x, "y": LETTERS, "character": token} for x, token in zip(at, tokens, strict=True)
    ]
    names = [
        {"x": 0, "y": row + 0.32 * way, "label": f"{name}: {side.router.title}"}
        for name, (side, row, way) in sides.items()
    ]
    a_words, b_words = both.a.experts_words(), both.b.experts_words()
    told = [
        f"{token}: {a_words[n]} in A" + ("" if hidden else f", {b_words[n]} in B")
        for n, token in enumerate(tokens)
    ]
    return Figure(
        f"The first {len(tokens)} characters: A's experts above, B's below",
        _first_characters(n_experts, ink),
        f"Lines from each character to its experts, thicker for larger weights. {'; '.join(told)}.",
        {"choices": choices, "boxes": boxes, "letters": letters, "names": names},
        name="The first characters and their experts",
    )


def _fills(n_experts: int) -> list[str]:
    return [expert_colour(e, n_experts) or FAIR for e in range(n_experts)]


@drawn_once
def _first_characters(n_experts: int, ink: str) -> Chart:
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, n_experts], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 3], nice=False))
    run = keyed(alt.Color, "run:N", RUN_COLOURS)
    width = alt.StrokeWidth("weight:Q", scale=alt.Scale(domain=[0, 1], range=[1.5, 6]), legend=None)
    dash = keyed(alt.StrokeDash, "run:N", looks(RUN_COLOURS, DASHES))
    tip = [alt.Tooltip("weight:Q", format=".2f")]
    lines = draw("choices").mark_rule().encode(
        x=x, y=y, x2="x2:Q", y2="y2:Q", color=run, strokeWidth=width, strokeDash=dash, tooltip=tip,
    )  # fmt: skip
    heads = draw("choices").mark_point(
        shape="triangle-up", filled=True, size=90, opacity=1, aria=False
    )
    heads = heads.encode(
        x=alt.X("x2:Q", axis=None), y=alt.Y("y2:Q", axis=None), color=run,
        angle=keyed(alt.Angle, "run:N", {"A": 0, "B": 180}),
    )  # fmt: skip
    boxes = draw("boxes").mark_point(shape="square", size=750, filled=True, opacity=1, aria=False)
    look = {"x": x, "y": y}
    return alt.LayerChart(layer=[
        lines,
        heads,
        boxes.encode(**look, color=alt.Color("fill:N", scale=None)),
        draw("boxes").mark_text(
            fontSize=15, fontWeight="bold", align="center", aria=False).encode(
            **look, text="expert:N", color=alt.Color("ink:N", scale=None)),
        draw("letters").mark_text(
            fontSize=34, font="monospace", color=ink, align="center", aria=False).encode(
            **look, text="character:N"),
        draw("names").mark_text(fontSize=14, align="left", color=ink, aria=False).encode(
            **look, text="label:N"),
    ]).properties(height=380)  # fmt: skip


def differences(both: SideBySide, ink: str = PAPER_INK) -> Figure:
    """Draw characters by experts: chosen by A only, by B only, or by both."""
    staff = Staff(len(both.tokens), both.a.routing.n_experts, padding=0.18)
    rows = [
        {
            "column": staff.column(n),
            "low": staff.row(n, e) - HALF[whose],
            "high": staff.row(n, e) + HALF[whose],
            "whose": whose,
        }
        for n, e, whose in both.differences()
    ]
    characters = staff.characters(both.tokens)
    spots = [
        {**place, "A": mine, "B": others}
        for place, mine, others in zip(
            characters, both.a.experts_words(), both.b.experts_words(), strict=True
        )
    ]
    counts = both.counts
    return Figure(
        "The whole sentence: who changes its mind",
        _differences(staff, ink),
        f"{len(both.tokens)} characters in {staff.n_lines} lines, below each the "
        f"{staff.n_experts} experts: {counts[A_ONLY]} choices are only A's (filled), "
        f"{counts[B_ONLY]} only B's (hollow), {counts[BOTH]} both's (thin). "
        f"{int(both.changed_N.sum())} characters differ.",
        {"differences": rows, "characters": characters, "spots": spots},
    )


@drawn_once
def _differences(staff: Staff, ink: str) -> Chart:
    # Without labels for screen readers: one for each mark would say nothing, slowly.
    marks = draw("differences").mark_rect(strokeWidth=1.5, aria=False)
    marks = marks.encode(
        x=staff.x(),
        y=staff.y("low"),
        y2="high:Q",
        fill=keyed(alt.Fill, "whose:N", FILLS, _square_key()),
        stroke=keyed(alt.Stroke, "whose:N", STROKES, _square_key()),
    )
    spots = _spots(staff, "position:Q", "character:N", "A:N", "B:N")
    return alt.LayerChart(layer=[marks, staff.texts(ink), spots]).properties(height=staff.height)


def loads(both: SideBySide, ink: str = PAPER_INK) -> Figure:
    """Draw the share of the work of each expert in both; lines above bars are what was asked."""
    rows, spoken = [], []
    for name, side in (("A", both.a), ("B", both.b)):
        share_E, asked_E = side.share_E.tolist(), side.asked_E.tolist()
        rows += [
            {"run": name, "expert": expert_name(e), "share": share, "asked": asked}
            for e, (share, asked) in enumerate(zip(share_E, asked_E, strict=True))
        ]
        shares = ", ".join(f"{expert_name(e)} {share:.0%}" for e, share in enumerate(share_E))
        lost = f", {side.dropped} choices dropped" if side.dropped else ""
        spoken.append(f"{name} ({side.router.title}{lost}): {shares}")
    fair_row = {"fair": 1 / both.a.routing.n_experts}
    dropped = bool(both.a.dropped or both.b.dropped)
    return Figure(
        f"Share of the work that each expert gets{' (lines: asked for)' if dropped else ''}",
        _loads(dropped, ink),
        f"Pairs of bars for {both.a.routing.n_experts} experts against a dashed line at the fair "
        f"share of {fair_row['fair']:.1%}. {'. '.join(spoken)}.",
        {"loads": rows, "fair": [fair_row]},
    )


@drawn_once
def _loads(dropped: bool, ink: str) -> Chart:
    base = draw("loads").encode(
        x=expert_x(), xOffset=alt.XOffset("run:N", scale=alt.Scale(domain=list(RUN_COLOURS)))
    )
    bars = base.mark_bar(strokeWidth=1.5, cornerRadiusEnd=2).encode(
        y=alt.Y("share:Q", axis=percent_axis()),
        fill=keyed(alt.Fill, "run:N", RUN_COLOURS | {"B": "transparent"}, _square_key()),
        stroke=keyed(alt.Stroke, "run:N", RUN_COLOURS, _square_key()),
        tooltip=[
            "run:N",
            "expert:O",
            alt.Tooltip("share:Q", format=".1%", title="share of the work"),
            alt.Tooltip("asked:Q", format=".1%", title="asked for"),
        ],
    )
    asked = [base.mark_tick(color=ink, thickness=2).encode(y="asked:Q")] if dropped else []
    fair = goal("fair", ink, y="fair:Q")
    return alt.LayerChart(layer=[bars, *asked, fair]).properties(height=280)


def weights(name: str, tokens: list[str], side: Side, ink: str = PAPER_INK) -> Figure:
    """Draw one router's choices, taller for larger weights; crosses are dropped choices."""
    routing = side.routing
    staff = Staff(len(tokens), routing.n_experts)
    top = max(float(routing.weight_A.max(initial=0.0)), 1e-12)
    kept, lost = [], []
    for n, e, weight, got_in in side.choices():
        row = staff.row(n, e)
        if got_in:
            half = 0.46 * weight / top
            kept.append({"column": staff.column(n), "low": row - half, "high": row + half})
        else:
            lost.append({"column": staff.column(n), "row": row})
    characters = staff.characters(tokens)
    spots = [
        {**place, "experts": experts}
        for place, experts in zip(characters, side.experts_words(), strict=True)
    ]
    dropped = f" {len(lost)} choices were dropped (crosses)." if lost else ""
    return Figure(
        f"{name}: {side.router.title}",
        _weights(name, staff, bool(lost), ink),
        f"{len(tokens)} characters in {staff.n_lines} lines, below each the experts that "
        f"{side.router.title} gives it: {len(kept)} choices, taller for larger weights, "
        f"the largest {top:.2f}.{dropped}",
        {"kept": kept, "lost": lost, "characters": characters, "spots": spots},
    )


@drawn_once
def _weights(name: str, staff: Staff, lost: bool, ink: str) -> Chart:
    marks = draw("kept").mark_rect(color=RUN_COLOURS[name], aria=False)
    layers = [marks.encode(x=staff.x(), y=staff.y("low"), y2="high:Q"), staff.texts(ink)]
    if lost:
        crosses = draw("lost").mark_point(
            shape="cross", angle=45, size=28, filled=True, color=ink, aria=False
        )
        layers.append(crosses.encode(x=staff.x(), y=staff.y("row")))
    layers.append(_spots(staff, "position:Q", "character:N", "experts:N"))
    return alt.LayerChart(layer=layers).properties(height=staff.height)


def poster(both: SideBySide) -> Figure:
    """Draw differences and loads on one sheet."""
    figures = [differences(both), loads(both)]
    chart = stacked(figures, 760, "fill", "stroke", "x", "y")
    return sheet(f"A: {both.a.router.title} · B: {both.b.router.title}", figures, chart)
