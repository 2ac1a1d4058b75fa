"""Charts drawn quickly are the charts that Altair draws."""

from __future__ import annotations

import subprocess
import sys

DRAW = """
import sys
from moe.app.five_million import chart as money
from moe.app.real_models import chart as models
from moe.app.routers import chart as routers
from moe.app.savings import chart as savings
from moe.app.shared.drawing import draw_quickly
from moe.pictures.palette import PAPER_INK as ink

if sys.argv[1] == "quickly":
    draw_quickly()
for drawn in (
    money._estimate(1.0, 1e8, ink), money._compared(ink), models._speeds(40, 100, ink),
    routers._first_characters(8, ink), savings._shares(1, 4096, ink), savings._measured(ink),
):
    print(drawn.text)
"""


def test_quick_charts_are_the_usual_ones() -> None:
    quick, usual = (
        subprocess.run(
            [sys.executable, "-c", DRAW, how], capture_output=True, text=True, check=True
        ).stdout
        for how in ("quickly", "usual")
    )
    assert quick == usual
    assert quick.count("\n") == 6
