"""Two live runs from one seed, and what their pictures of the plane show, packed for a browser."""

from __future__ import annotations

import base64
import secrets
import zlib
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from ...balance import BALANCERS
from ...errors import check_choice, check_float, check_int, shown
from ...pictures.experts import expert_colour, expert_name
from ...studies.territories import vector_for
from ...training import Change, LiveRecord, LiveRun, TrainSettings
from . import plane_story as story
from .plane_look import BOX, COARSE, SIZE, Look, follows_point, look, shown_points

STRIDE = 2  # steps from one picture to the next
MOST_AHEAD = 24  # steps that a browser may ask for at once
LAST_STEP = 5000
MOST_RESUMED = 2000  # steps that are done anew for a visitor whose run was lost
FARTHEST = 100.0  # largest slope and offset that a visitor may give an expert
NOBODY = 255  # in the picture, where no expert answers


def planar(**options: Any) -> TrainSettings:
    """Settings of a model that is small enough to watch: a step takes about a millisecond."""
    return TrainSettings(d_model=16, d_expert=16, batch=512, **options)


class Pair:
    """Two live runs from one seed, trained in step and looked at side by side.

    Parameters
    ----------
    settings_a, settings_b
        Of both runs; they differ in router and balancing at most.

    Attributes
    ----------
    id
        Another one for each pair, whichever process made it: so the browser knows a new run.
    runs
        Run A and run B.
    """

    def __init__(self, settings_a: TrainSettings, settings_b: TrainSettings) -> None:
        self.id = secrets.token_hex(8)
        self.runs = (LiveRun(settings_a), LiveRun(settings_b))
        self._records: list[LiveRecord | None] = [None, None]
        self._chunks = 0

    @property
    def n_steps(self) -> int:
        """Steps that are done."""
        return self.runs[0].n_steps

    def move(self, side: int, expert: int, slope: Any, offset: Any) -> None:
        """Give an expert of one run the vector whose logit has this slope and offset.

        Raises
        ------
        ValueError
            If there is no such run or expert, a number is out of range, or the router's choice
            does not follow from the point alone.
        """
        check_int("run", side, 0, 1)
        run = self.runs[side]
        if not follows_point(run):
            raise ValueError(
                f"router: got {run.controls.settings.router!r}, allowed is one with a linear gate "
                "that looks at each point by itself"
            )
        if not isinstance(slope, list) or len(slope) != 2:
            raise ValueError(f"slope: got {shown(slope)}, allowed are two numbers")
        slope_2 = np.array([check_float("slope", s, -FARTHEST, FARTHEST) for s in slope])
        check_float("offset", offset, -FARTHEST, FARTHEST)
        vector_D = vector_for(run.trainer, expert, slope_2, float(offset))
        run.set_router_vector(expert, vector_D)

    def balance(self, side: int, balance: str) -> None:
        """Go on with another balancing.

        Raises
        ------
        ValueError
            If it does not suit the router.
        """
        run = self.runs[side]
        if run.controls.settings.balance != balance:
            run.change("balance", balance)

    def anew(self) -> Pair:
        """The same pair from its seed, with the balancing of now."""
        return Pair(*(run.controls.settings for run in self.runs))

    def recipe(self) -> dict[str, Any]:
        """What the browser keeps, so that the runs can be taken up again; see `resumed`."""
        settings = [run.recipe.settings for run in self.runs]
        return {
            "of": repr([settings_key(one) for one in settings]),
            "balance": [one.balance for one in settings],
            "changes": [[list(change) for change in run.recipe.changes] for run in self.runs],
        }

    def resumed(self, kept: Any, turn: Callable[[], Any] = nullcontext) -> Pair:
        """The pair as it was before the server forgot it, trained anew to the same bits.

        Parameters
        ----------
        kept
            What the browser kept: the `step`, and `balance` and `changes` of `recipe`.
        turn
            A context to hold for each few steps.

        Raises
        ------
        ValueError
            If it is something else.
        """
        if not isinstance(kept, dict):
            raise ValueError(f"resume: got {shown(kept)}, allowed is what the browser kept")
        step = check_int("step", kept.get("step"), 0, MOST_RESUMED)
        balances: Any = kept.get("balance")
        changes: Any = kept.get("changes")
        if not all(isinstance(one, list) and len(one) == 2 for one in (balances, changes)):
            raise ValueError(f"resume: got {shown(kept)}, allowed are two runs")
        settings = [
            replace(run.recipe.settings, balance=check_choice("balance", balance, BALANCERS))
            for run, balance in zip(self.runs, balances, strict=True)
        ]
        pair = Pair(*settings)
        pair.runs = (
            LiveRun(settings[0], _changes(changes[0], step)),
            LiveRun(settings[1], _changes(changes[1], step)),
        )
        while pair.n_steps < step:
            with turn():
                pair._train(min(STRIDE, step - pair.n_steps))
        return pair

    def _train(self, steps: int) -> None:
        for _ in range(steps):
            self._records = [run.step() for run in self.runs]

    def drags(self) -> list[bool]:
        """Of which runs an expert can be moved."""
        return [follows_point(run) for run in self.runs]

    def chunk(
        self, steps: int, geometry: bool, turn: Callable[[], Any] = nullcontext
    ) -> dict[str, Any]:
        """Train for some steps and return the pictures of the way, every `STRIDE` steps.

        Parameters
        ----------
        steps
            0 for a picture of the present.
        geometry
            Whether lines are drawn, too.
        turn
            A context to hold for each picture and the steps before it.

        Returns
        -------
        dict
            `n`, the count of chunks; `frames`, one dictionary a picture with its `step`, the
            `words` on each run and on the `difference`, and both runs' `loss`, `max_vio`
            and `lines`; and `bytes`, all their arrays one after another in the order of
            `_bytes`, compressed (zlib) as base64.
        """
        steps = min(check_int("steps", steps, 0), MOST_AHEAD, LAST_STEP - self.n_steps)
        frames, parts = [], []
        for start in range(0, max(steps, 1), STRIDE):
            with turn():
                self._train(min(STRIDE, steps - start))
                frame, packed = self._frame(geometry)
            frames.append(frame)
            parts.append(packed)
        self._chunks += 1
        squeezed = zlib.compress(b"".join(parts), 1)
        return {
            "n": self._chunks,
            "frames": frames,
            "bytes": base64.b64encode(squeezed).decode("ascii"),
        }

    def _frame(self, geometry: bool) -> tuple[dict[str, Any], bytes]:
        looks = [
            look(run, record, geometry)
            for run, record in zip(self.runs, self._records, strict=True)
        ]
        frame = {
            "step": self.n_steps,
            "words": [story.who_answers(one, geometry) for one in looks],
            "difference": story.difference(*looks),
            "loss": [one.record and round(one.record.mean_loss, 6) for one in looks],
            "max_vio": [one.record and round(one.record.max_vio, 4) for one in looks],
            "lines": [_lines(one) if geometry else None for one in looks],
            "maps": [_maps(one) for one in looks],
        }
        return frame, b"".join(_bytes(one) for one in looks)

    def about(self) -> dict[str, Any]:
        """What stays the same through a run: sizes, letters, colours and the points."""
        run = self.runs[0]
        n_experts = run.controls.settings.n_experts
        points, target = shown_points(run)
        n_classes = run.trainer.task.n_classes
        kinds = target if n_classes else np.ones(len(points), np.int64)
        colours = [expert_colour(e, n_experts) for e in range(n_experts)]
        return {
            "id": self.id,
            "size": SIZE,
            "coarse": COARSE,
            "box": BOX,
            "n_experts": n_experts,
            "names": [expert_name(e) for e in range(n_experts)],
            "colours": None if None in colours else colours,
            "points": [
                [round(float(x), 3), round(float(y), 3), int(kind)]
                for (x, y), kind in zip(points, kinds, strict=True)
            ],
            "classes": bool(n_classes),
            "last_step": LAST_STEP,
            "farthest": FARTHEST,
        }


def _bytes(one: Look) -> bytes:
    """Who answers (SIZE^2 bytes), the answers (COARSE^2 bytes), and five float32 arrays.

    These are the share of the work that each expert did (E), slopes (E, 2), offsets (E), selection
    bias (E) and factor (E).
    """
    n = one.n_experts
    who_P = np.where(one.expert_P < 0, NOBODY, one.expert_P).astype(np.uint8)
    answer_P = np.round(255 * np.clip(one.answer_P, 0, 1)).astype(np.uint8)
    maps = one.territories
    slope_E2, offset_E = np.zeros((n, 2)), np.zeros(n)
    bias_E, factor_E = np.zeros(n), np.ones(n)
    if maps is not None:
        slope_E2, offset_E = maps.slope_2E.T, maps.offset_E
        bias_E = bias_E if maps.select_bias_E is None else maps.select_bias_E
        factor_E = factor_E if maps.select_factor_E is None else maps.select_factor_E
    work_E = np.zeros(n) if one.record is None else one.record.share_E
    numbers = [np.ravel(a) for a in (work_E, slope_E2, offset_E, bias_E, factor_E)]
    return who_P.tobytes() + answer_P.tobytes() + np.concatenate(numbers).astype("<f4").tobytes()


def _maps(one: Look) -> dict[str, Any] | None:
    """How the numbers of `_bytes` decide who answers; None if they do not.

    `score` is the score that balancing steers, '' where logits decide; `least` as in `Territories`.
    """
    maps = one.territories
    if maps is None:
        return None
    steers = maps.select_bias_E is not None or maps.select_factor_E is not None
    return {"score": maps.score if steers else "", "least": maps.least}


def _lines(one: Look) -> dict[str, Any] | None:
    """Cells' corners, in closed form, and whether they are the borders or only without the bias."""
    if one.territories is None:
        return None
    cells = one.territories.straightened().cells(BOX)
    return {
        "exact": one.territories.straight,
        "cells": [np.round(cell, 3).tolist() for cell in cells if len(cell)],
    }


def _changes(changes: Any, last: int) -> list[Change]:
    """Changes of balancing and vectors up to a step, as a browser kept them."""
    if not isinstance(changes, list):
        raise ValueError(f"changes: got {shown(changes)}, allowed is a list")
    for change in changes:
        if not isinstance(change, list) or len(change) != 3:
            raise ValueError(f"changes: got {shown(change)}, allowed are step, control and value")
        check_int("step", change[0], 0, last)
        check_choice("control", change[1], ("balance", "vector"))
    return [Change(*change) for change in changes]


def settings_key(settings: TrainSettings) -> Mapping[str, Any]:
    """What begins a run anew when it changes: all but the balancing."""
    return {n: v for n, v in settings.changed().items() if not n.startswith("balance")}
