"""Charts of the first page: who does the work, where each character goes, and why."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from ...pictures.figure import Chart, Figure, draw, drawn_once
from ...pictures.marks import (
    by_load,
    end_labels,
    expert_x,
    goal,
    keyed,
    labelled_bars,
    name_axis,
    percent_axis,
    with_room,
)
from ...pictures.palette import CHOSEN, OTHER, PAPER_INK
from ...pictures.staff import Staff
from .story import SentenceRouting, TokenStory

BY_PLACE = alt.EncodingSortField("place", op="min")  # not by when a name was first in the data
LABEL = 0.1  # part of the axis that a label above a bar takes
SELECTION, FIELD = "character", "position"  # what a click on the picture reports


def load_bars(routing: SentenceRouting, top: float = 0.0, ink: str = PAPER_INK) -> Figure:
    """Draw the share of the work that each expert gets, against the fair share.

    Parameters
    ----------
    top
        Share that the axis shows at least, so that several charts have the same scale.
    ink
        Colour of texts and lines.
    """
    share_E = routing.share_E.tolist()
    axis = 1.25 * max(top, routing.hottest_share)
    crossed = routing.fair_share - LABEL * axis  # from here on a label would meet the dashed line
    bar_rows = [
        {
            "expert": e,
            "share": share,
            "at": max(share, routing.fair_share) if share > crossed else share,
            "ratio": share / routing.fair_share,
            "label": f"{share:.0%}" if share else "idle",
            "assignments": int(n),
        }
        for e, (share, n) in enumerate(zip(share_E, routing.load_E, strict=True))
    ]
    fair_row = {"fair": routing.fair_share, "label": f"dashed: fair {routing.fair_share:.1%}"}
    spoken = ", ".join(f"expert {e} {share:.0%}" for e, share in enumerate(share_E))
    return Figure(
        "Share of the work that each expert gets",
        _load_bars(axis, ink),
        f"Bars of {len(share_E)} experts against a dashed line at the fair share of "
        f"{routing.fair_share:.1%}. {routing.words()} {spoken}.",
        {"bars": bar_rows, "fair": [fair_row]},
    )


@drawn_once
def _load_bars(top: float, ink: str) -> Chart:
    scale = alt.Scale(domain=[0, top])
    x = expert_x()
    bars = draw("bars").mark_bar(cornerRadiusEnd=3)
    bars = bars.encode(
        x=x,
        y=alt.Y("share:Q", scale=scale, axis=percent_axis()),
        color=by_load(),
        tooltip=[
            "expert:O",
            alt.Tooltip("share:Q", format=".1%", title="share of the work"),
            alt.Tooltip("assignments:Q", title="characters"),
        ],
    )
    labels = draw("bars").mark_text(dy=-9, fontSize=13, fontWeight="bold", color=ink)
    labels = labels.encode(x=x, y=alt.Y("at:Q", scale=scale), text="label:N")
    rule = goal("fair", ink, y=alt.Y("fair:Q", scale=scale))
    note = draw("fair").mark_text(align="right", baseline="top", dx=-3, fontSize=12, color=ink)
    note = note.encode(text="label:N", x=alt.value("width"), y=alt.value(0))
    return alt.LayerChart(layer=[bars, rule, labels, note]).properties(height=250)


def sentence_picture(routing: SentenceRouting, selected: int, ink: str = PAPER_INK) -> Figure:
    """Draw the experts that each character goes to, by weight; a click names a character.

    Parameters
    ----------
    selected
        Position to mark.
    """
    n_tokens, n_experts = len(routing.tokens), routing.load_E.size
    staff = Staff(n_tokens, n_experts)
    ratio_E = (routing.share_E / routing.fair_share).tolist()
    characters = staff.characters(routing.tokens)
    spots, choices = [dict(place) for place in characters], []
    for i, character in enumerate(spots):
        chosen = list(
            zip(routing.expert_NK[i].tolist(), routing.weight_NK[i].tolist(), strict=True)
        )
        character["experts"] = ", ".join(f"{e} ({w:.0%})" for e, w in chosen)
        choices += [
            {
                "column": character["column"],
                "low": staff.row(i, e) - 0.46 * weight,
                "high": staff.row(i, e) + 0.46 * weight,
                "ratio": ratio_E[e],
            }
            for e, weight in chosen
        ]
    here = spots[selected]
    return Figure(
        "Where each character goes",
        _sentence_picture(staff, ink),
        f"{n_tokens} characters in {staff.n_lines} lines, below each its two experts of "
        f"{n_experts}; taller marks are larger weights. Marked: character {here['position']}, "
        f"{here['character']}, to experts {here['experts']}.",
        {"choices": choices, "characters": characters, "spots": spots, "marked": [here]},
    )


@drawn_once
def _sentence_picture(staff: Staff, ink: str) -> Chart:
    marks = draw("choices").mark_rect()
    marks = marks.encode(x=staff.x(), y=staff.y("low"), y2="high:Q", color=by_load())
    click = alt.selection_point(name=SELECTION, fields=[FIELD], on="click", empty=False)
    spots = staff.frames("spots").mark_rect(opacity=0, cursor="pointer")
    spots = spots.encode(
        tooltip=["position:Q", "character:N", alt.Tooltip("experts:N", title="experts (weight)")]
    )
    mark = staff.frames("marked").mark_rect(filled=False, stroke=ink, strokeWidth=2, cornerRadius=3)
    return alt.LayerChart(
        layer=[marks, staff.texts(ink), mark, spots.add_params(click)]
    ).properties(height=staff.height)


def _expert_bars(
    title: str,
    value_E: Sequence[float],
    chosen: Sequence[int],
    spec: str,
    ink: str,
    note: str,
    ticks_E: Sequence[float] | None = None,
) -> Figure:
    """Draw a horizontal bar for each expert; the chosen ones are coloured and numbered."""
    order = {e: f" · {place + 1}." for place, e in enumerate(chosen)}
    data = [
        {
            "expert": e,
            "value": value,
            "label": f"{value:{spec}}{order.get(e, '')}",
            "end": max(value, 0.0),
            "chosen": "yes" if e in order else "no",
            "tick": value if ticks_E is None else ticks_E[e],
        }
        for e, value in enumerate(value_E)
    ]
    spoken = ", ".join(f"expert {row['expert']} {row['value']:{spec}}" for row in data)
    return Figure(
        title, _expert_chart(ticks_E is not None, ink), f"{note} {spoken}.", {"bars": data}
    )


@drawn_once
def _expert_chart(ticks: bool, ink: str) -> Chart:
    scale = with_room(1.42)
    base = draw("bars").encode(y=alt.Y("expert:O", axis=name_axis(title="expert")))
    bars = base.mark_bar(cornerRadiusEnd=2).encode(
        x=alt.X("value:Q", scale=scale, axis=None),
        color=keyed(alt.Color, "chosen:N", {"yes": CHOSEN, "no": OTHER}),
    )
    layers = [bars, end_labels(base, ink).encode(x=alt.X("end:Q", scale=scale, axis=None))]
    if ticks:
        tick = base.mark_tick(color=ink, thickness=2)
        layers.append(tick.encode(x=alt.X("tick:Q", scale=scale, axis=None)))
    return alt.LayerChart(layer=layers).properties(height=alt.Step(19))


def logits(story: TokenStory, ink: str = PAPER_INK) -> Figure:
    """Draw step 1: the gate's result for each expert."""
    title = "1 · The router rates every expert"
    return _expert_bars(title, story.logits_E.tolist(), (), "+.2f", ink, "Logits.")


def scores(story: TokenStory, ink: str = PAPER_INK) -> Figure:
    """Draw step 2: shares that sum to one."""
    title = "2 · Ratings become shares"
    return _expert_bars(title, story.scores_E.tolist(), (), ".1%", ink, "Scores.")


def selection(story: TokenStory, ink: str = PAPER_INK) -> Figure:
    """Draw step 3: the k best, by score plus balancing bonus; ticks mark the bare scores."""
    chosen = story.expert_K.tolist()
    return _expert_bars(
        f"3 · The best {len(chosen)} are chosen",
        story.selection_E.tolist(),
        chosen,
        ".1%",
        ink,
        f"Chosen: experts {', '.join(str(e) for e in chosen)}. Scores with the balancing bonus:",
        story.scores_E.tolist() if story.bias_E.any() else None,
    )


def _parts(title: str, story: TokenStory, part_K: Sequence[float], ink: str, note: str) -> Figure:
    """Draw bars of the chosen experts' parts, which sum to one."""
    data = [
        {"place": i, "expert": f"expert {e}", "part": part, "label": f"{part:.1%}"}
        for i, (e, part) in enumerate(zip(story.expert_K.tolist(), part_K, strict=True))
    ]
    spoken = ", ".join(f"{row['expert']} {row['label']}" for row in data)
    return Figure(title, _part_chart(ink), f"{note} {spoken}.", {"bars": data})


@drawn_once
def _part_chart(ink: str) -> Chart:
    base = draw("bars").encode(
        y=alt.Y("expert:N", sort=BY_PLACE, axis=name_axis()),
        x=alt.X("part:Q", scale=alt.Scale(domain=[0, 1.3]), axis=None),
    )
    return labelled_bars(base, ink, 26, CHOSEN)


def weights(story: TokenStory, ink: str = PAPER_INK) -> Figure:
    """Draw step 4: the chosen scores over their sum."""
    title, note = "4 · Shares of the chosen become weights", "Weights, which sum to 100 %:"
    return _parts(title, story, story.weight_K.tolist(), ink, note)


def contributions(story: TokenStory, ink: str = PAPER_INK) -> Figure:
    """Draw step 5: the length of each weighted answer, as a share of their sum."""
    note = "Parts of the answer, by the length of each weighted result:"
    return _parts("5 · The chosen experts answer", story, story.share_K.tolist(), ink, note)


def guesses(story: TokenStory, ink: str = PAPER_INK) -> Figure:
    """Draw step 6: the model's most likely next characters."""
    data = [
        {"place": i, "token": token, "probability": p, "label": f"{p:.0%}"}
        for i, (token, p) in enumerate(story.guesses)
    ]
    spoken = ", ".join(f"{row['token']} {row['label']}" for row in data)
    return Figure(
        "6 · The model guesses what comes next",
        _guess_chart(ink),
        f"Most likely next characters: {spoken}.",
        {"bars": data},
    )


@drawn_once
def _guess_chart(ink: str) -> Chart:
    base = draw("bars").encode(
        y=alt.Y(
            "token:N",
            sort=BY_PLACE,
            axis=name_axis(labelFont="monospace", labelFontSize=14),
        ),
        x=alt.X("probability:Q", scale=with_room(1.25), axis=None),
    )
    return labelled_bars(base, ink, 22, OTHER)
