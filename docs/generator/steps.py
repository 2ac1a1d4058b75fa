"""The page of the steps in which a reader builds a layer, from the texts that `moe step` shows."""

from __future__ import annotations

import re

from moe.lessons.cage.outside import GUARDS
from moe.lessons.steps import STEPS
from moe.lessons.steps.texts import text_of

from .methods import page_text

PAGE = "build-it-yourself.md"
INTRO = """\
Write a layer yourself, from an empty file: {steps} functions in plain numpy, each a few lines. \
Begin a file, say `my_layer.py`, with `import numpy as np`, write the first function into it, \
and ask whether it is right:

    moe step scores my_layer.py

The answer is compared with the library's own, on several cases. A wrong function is held \
against {mistakes} mistakes that people make, and one is named only if it explains every case; \
anything else is shown with the smallest case that fails. Your style is free: loops, sorted \
lists, matrices or classes. `moe step scores` shows a step's text in the terminal, `moe step` \
lists them all. Whatever your code prints is not shown there: run it with Python \
to see that. It may import what comes with Python, and numpy."""
TEACHER = """\
For a class, collect one file for each person in a folder:

    moe grade submissions --out marks.csv

Each file runs in a process of its own that computes and can do nothing else: what one does \
costs its author the mark, and nobody else anything. What is guarded is found out by trying, \
each time: {guards}. Linux on x86_64 and aarch64 offers all of it, without privileges (a filter \
of system calls, Landlock and limits of resources); elsewhere the command says what is missing \
and asks for `--unguarded`. The table is written anew after each file, so that the same command \
goes on after it was stopped, and marks a file again only if it changed. `--gradescope \
results.json` writes one file's marks for Gradescope's autograder, `--steps scores,choose` \
checks some of the steps.

Both commands take `--json`, and end with exit code 0 if all is right, 1 if not, and 2 if it \
cannot be checked."""


def page() -> str:
    """Return all steps' texts as one page."""
    mistakes = sum(len(step.mistakes) for step in STEPS.values())
    guards = ", ".join(GUARDS)
    texts = [re.sub(r"^# ", "## ", text_of(name).strip()) for name in STEPS]
    return page_text(
        "moe/lessons/steps/texts/",
        "# Build it yourself",
        INTRO.format(steps=len(STEPS), mistakes=mistakes),
        *texts,
        "## For teachers",
        TEACHER.format(guards=guards),
    )
