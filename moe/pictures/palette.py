"""Colours, shapes and dashes of all charts, so that one look has one meaning.

A colour never stands alone: shape, dash, width or words say the same, for readers who cannot tell
it from its neighbours.
"""

from __future__ import annotations

# Okabe and Ito's colours for all kinds of eyes. Their yellow is left out, too faint on white.
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, PINK, SKY = "#E69F00", "#CC79A7", "#56B4E9"  # for tints only: too light for thin marks
# Over 3:1 on white and on near-black, as pages have both.
PURPLE, TEAL, GREY = "#B0509A", "#12906C", "#868E99"
MAUVE, SLATE, OCHRE = "#A2558A", "#56606B", "#8A6D00"  # the fourth to sixth of many series

# Loads: blue below the fair share, grey at it, orange above; the same as in the run player.
IDLE, FAIR, TWICE, CROWDED = "#1F7DC3", GREY, "#B27655", "#DE6210"
RUN_COLOURS = {"A": PURPLE, "B": TEAL}  # as in the run player; B is dashed as well
CHOSEN, OTHER = TEAL, GREY

SERIES = (BLUE, VERMILION, TEAL, MAUVE, SLATE, OCHRE)
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
GOAL = [6, 4]  # dashes of what the marks are compared with
DASHES = ([1, 0], [7, 4], [2, 3], [9, 3, 2, 3], [4, 2], [12, 4])

INK = {"light": "#0E1621", "dark": "#E6EBF2"}  # the theme's text colours
PAPER_INK = INK["light"]  # exported pictures are on white
MUTED = {INK["light"]: "#4D5866", INK["dark"]: "#B4BECB"}  # axes and legends, by ink
PAPER = {INK["light"]: "#FFFFFF", INK["dark"]: "#10161F"}  # what charts are drawn on, by ink
ACTION = {INK["light"]: "#0B5CAD", INK["dark"]: "#7DBDF5"}  # the theme's links and buttons, by ink
