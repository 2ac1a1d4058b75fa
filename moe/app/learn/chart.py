"""A lesson's figure on the page: in its theme, and in a phone's width."""

from __future__ import annotations

import json
from typing import Any

from ...pictures.figure import Figure
from ...pictures.palette import PAPER_INK


def on_page(figure: Figure, ink: str) -> dict[str, Any]:
    """Return the specification of a figure that was drawn for paper, without its data.

    Letters get the theme's ink. Names of a key stand below one another, where a phone has room
    for long ones, and the chart is as high as it was drawn, without its key.
    """
    drawn = json.dumps(figure.themed(ink)).replace(PAPER_INK, ink)
    spec: dict[str, Any] = json.loads(drawn)
    spec["config"]["legend"] |= {"columns": 1, "labelLimit": 300}
    return spec | {"autosize": {"type": "fit-x", "contains": "padding"}}
