"""Charts of the page Little memory: who is there, by room and by rule, and how fast it writes."""

from __future__ import annotations

import altair as alt

from ...expert_cache import POLICIES
from ...pictures.figure import Chart, Drawing, Figure, Rows, draw, drawn_once, spoken
from ...pictures.marks import end_labels, goal, key, keyed, legible, line_key, looks, name_axis
from ...pictures.palette import DASHES, FAIR, MAUVE, PAPER_INK, PURPLE, SLATE, TEAL, VERMILION
from .story import ALL_FIT, EVERY, NAMES, SIZES, LittleMemory, chance, kept, speeds

THERE, AHEAD = "there from before", "read ahead, in time"
PARTS = {THERE: TEAL, AHEAD: PURPLE}
LINES = {"belady": SLATE, "pinned": TEAL, "lru": MAUVE, "pinned_other": VERMILION}


def there(slots: int, task: str = EVERY, ink: str = PAPER_INK) -> Figure:
    """Draw for each policy how often a token's expert is there, beside what chance gives."""
    bars: Rows = []
    labels: Rows = []
    for policy in POLICIES:
        one = kept(policy, slots, task)
        name = NAMES[policy]
        bars += [
            {"name": name, "part": THERE, "from": 0.0, "to": one.hit_rate},
            {"name": name, "part": AHEAD, "from": one.hit_rate, "to": one.ready_rate},
        ]
        early = f" + {one.ready_rate - one.hit_rate:.0%}" if one.early else ""
        labels.append({"name": name, "to": one.ready_rate, "label": f"{one.hit_rate:.0%}{early}"})
    told = "; ".join(f"{row['name']} {row['label']}" for row in labels)
    return Figure(
        "How often a token's expert is there; dashed: by chance",
        _there(ink),
        f"Bars for {len(labels)} rules of what stays, with room for {slots}. A dashed line is "
        f"chance, {chance(slots):.0%}. {told}.",
        {"bars": bars, "labels": labels, "chance": [{"chance": chance(slots)}]},
    )


@drawn_once
def _there(ink: str) -> Chart:
    y = alt.Y("name:N", sort=None, axis=None)
    scale = alt.Scale(domain=[0, 1.2], nice=False)
    axis = alt.Axis(title=None, format="%", values=[0, 0.25, 0.5, 0.75, 1], grid=False)
    bars = draw("bars").mark_bar(height=12, yOffset=9, cornerRadiusEnd=2)
    bars = bars.encode(
        y=y,
        x=alt.X("from:Q", scale=scale, axis=axis),
        x2="to:Q",
        color=keyed(alt.Color, "part:N", PARTS, key()),
        tooltip=["name:N", "part:N", alt.Tooltip("to:Q", format=".1%", title="up to")],
    )
    base = draw("labels").encode(y=y)
    numbers = end_labels(base, ink, dy=9).encode(x=alt.X("to:Q", scale=scale, axis=axis))
    names = base.mark_text(align="left", dy=-8, color=ink, fontSize=12)
    names = names.encode(x=alt.value(0), text="name:N")
    rule = goal("chance", FAIR, x=alt.X("chance:Q", scale=scale, axis=axis))
    layers = [bars, rule, numbers, *legible(ink, names)]
    return alt.LayerChart(layer=layers).properties(height=alt.Step(38))


def by_room(task: str = EVERY, ink: str = PAPER_INK) -> Figure:
    """Draw how often an expert is there over the room for them, a line for each of four rules."""
    rows: Rows = [
        {"name": NAMES[policy], "slots": slots, "rate": kept(policy, slots, task).hit_rate}
        for policy in LINES
        for slots in SIZES
    ]
    level = [{"slots": slots, "rate": chance(slots)} for slots in SIZES]
    middle = SIZES[len(SIZES) // 2 - 1]
    told = spoken(
        [
            {"name": row["name"], "label": f"{row['rate']:.0%}"}
            for row in rows
            if row["slots"] == middle
        ],
        "name",
    )
    return Figure(
        "The more room, the more often",
        Drawing(_by_room()),
        f"Lines over room for {SIZES[0]} to {SIZES[-1]} experts; a dashed one is chance. At "
        f"{middle}: {told}.",
        {"rooms": rows, "levels": level},
    )


def _by_room() -> alt.LayerChart:
    x = alt.X(
        "slots:Q", scale=alt.Scale(domain=[0, SIZES[-1]], nice=False),
        axis=alt.Axis(title="experts of a layer that find room", values=list(SIZES), grid=False),
    )  # fmt: skip
    y = alt.Y(
        "rate:Q", scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(title=None, format="%", tickCount=4),
    )  # fmt: skip
    names = {NAMES[policy]: colour for policy, colour in LINES.items()}
    legend = line_key(direction="vertical", labelLimit=260)
    lines = draw("rooms").mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=26))
    lines = lines.encode(
        x=x, y=y,
        color=keyed(alt.Color, "name:N", names, legend),
        strokeDash=keyed(alt.StrokeDash, "name:N", looks(names, DASHES), legend),
        tooltip=["name:N", "slots:Q", alt.Tooltip("rate:Q", format=".1%")],
    )  # fmt: skip
    level = draw("levels").mark_line(strokeDash=[6, 4], strokeWidth=1.5, color=FAIR)
    return alt.LayerChart(layer=[level.encode(x=x, y=y), lines]).properties(height=300)


def how_fast(settings: LittleMemory, ink: str = PAPER_INK) -> Figure:
    """Draw the tokens a second of each policy, and of a memory that holds all experts."""
    found = speeds(settings)
    rows: Rows = [
        {"name": NAMES[policy], "speed": one.tokens_per_s, "label": f"{one.tokens_per_s:.3g}"}
        for policy, one in found.items()
    ]
    all_fit = found["lru"].all_fit_tokens_per_s
    return Figure(
        "Tokens a second, at most",
        Drawing(_how_fast(ink)),
        f"Bars on {settings.machine} with {settings.way}. {spoken(rows, 'name')}. "
        f"{ALL_FIT.capitalize()}: {all_fit:.3g}.",
        {"speeds": rows},
    )


def _how_fast(ink: str) -> alt.LayerChart:
    base = draw("speeds").encode(
        y=alt.Y("name:N", sort=None, axis=name_axis(labelLimit=220)),
        x=alt.X("speed:Q", axis=None, scale=alt.Scale(range=[0, alt.expr("width - 50")])),
    )
    bars = base.mark_bar(color=TEAL, cornerRadiusEnd=2)
    return (bars + end_labels(base, ink)).properties(height=alt.Step(26))
