"""A map of loads: a row for each layer, a mark for each expert, taller and warmer with its load."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from .figure import Rows, draw
from .marks import LOADS, RATIO_TIP, band_axis, key

FULL = 4.0  # fair shares that fill a row, and end the colours
LEAST, MOST = 0.06, 0.46  # of a row's height, to either side of its middle
NAMED_ROWS = 24


def load_rows(rows: Sequence[str], experts: Sequence[int | str], ratio_RE: np.ndarray) -> Rows:
    """Place and height of every mark; four fair shares fill a row, and none is still seen.

    Parameters
    ----------
    rows, experts
        Their names, of R rows and E columns.
    ratio_RE
        Loads in fair shares.
    """
    height_RE = LEAST + (MOST - LEAST) * np.clip(ratio_RE / FULL, 0, 1)
    middle_R1 = np.arange(len(rows))[:, None] + 0.5
    low_RE, high_RE = (middle_R1 - height_RE).tolist(), (middle_R1 + height_RE).tolist()
    ratios = np.asarray(ratio_RE).tolist()
    return [
        {
            "row": row,
            "column": c,
            "expert": expert,
            "ratio": ratios[r][c],
            "low": low_RE[r][c],
            "high": high_RE[r][c],
        }
        for r, row in enumerate(rows)
        for c, expert in enumerate(experts)
    ]


def load_marks(
    name: str, rows: Sequence[str], n_experts: int, of: str, room: int = NAMED_ROWS
) -> alt.Chart:
    """Draw the marks, with the name of every row, or of as many as there is room for.

    Parameters
    ----------
    name
        Of the data, which `load_rows` made.
    of
        Title of the axis: what the columns are.
    room
        Rows for whose names there is room.
    """
    columns = alt.Scale(domain=list(range(n_experts)), paddingInner=0.12)
    places = alt.Scale(domain=[0, len(rows)], reverse=True, nice=False)
    legend = key(title="fair shares", values=[0, 1, 2, 4], gradientLength=160)
    return (
        draw(name)
        .mark_rect()
        .encode(
            x=alt.X("column:O", axis=alt.Axis(title=of, labels=False, ticks=False), scale=columns),
            y=alt.Y("low:Q", axis=band_axis(rows, -(-len(rows) // room)), scale=places),
            y2="high:Q",
            color=alt.Color("ratio:Q", scale=LOADS, legend=legend),
            tooltip=[alt.Tooltip("row:N", title=" "), "expert:N", RATIO_TIP],
        )
    )
