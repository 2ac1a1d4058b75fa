"""What the plane shows of one live run: who answers each pixel, how surely, and by what lines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ... import kernels
from ...data.planar import linear_map_truth
from ...studies.territories import Territories, first_choices, grid, linear_gate
from ...training import LiveRecord, LiveRun

BOX = (-2.6, -2.6, 2.6, 2.6)  # nearly all points of all tasks lie within
SIZE = 128  # pixels a side of the picture of who answers
COARSE = 40  # and of the answers themselves, which change gently
N_POINTS = 240
POINTS_SEED = 1
PIXELS = grid(BOX, SIZE).astype(np.float32)
COARSE_PIXELS = grid(BOX, COARSE).astype(np.float32)


@dataclass(frozen=True)
class Look:
    """What the plane shows of one run at one step.

    Attributes
    ----------
    expert_P
        Who answers each pixel, row by row from the top, (SIZE * SIZE,); -1 for nobody.
    answer_P
        On the coarse grid: the probability of the second class, or of a task without classes how
        near the result is to the target, 0 to 1.
    right
        Share of the shown points that are told right; None for a task without classes.
    territories
        The gate in numbers; None where the choice does not follow from the point alone.
    differ, bent
        Pixels whose expert is another one than `territories` says, and than it would say without
        a balancer's bias, if that was asked for.
    record
        Of the last step; None before the first.
    batch
        Pixels that the router looked at together; 0 where each was looked at by itself.
    """

    expert_P: np.ndarray
    answer_P: np.ndarray
    right: float | None
    territories: Territories | None
    differ: int | None
    bent: int | None
    record: LiveRecord | None
    n_experts: int
    batch: int = 0

    @cached_property
    def share_E(self) -> np.ndarray:
        """Share of the plane that each expert answers, (E,)."""
        held = self.expert_P[self.expert_P >= 0]
        return np.bincount(held, minlength=self.n_experts) / self.expert_P.size


def look(run: LiveRun, record: LiveRecord | None, geometry: bool) -> Look:
    """Look at the plane through a run's model; with `geometry`, check its lines as well."""
    trainer = run.trainer
    expert_P = _answerers(run, PIXELS)
    territories = Territories.of(trainer) if follows_point(run) else None
    differ = bent = None
    if geometry and territories is not None:
        differ = int((territories.choose(PIXELS) != expert_P).sum())
        bent = int((territories.straightened().choose(PIXELS) != expert_P).sum())
    points, class_N = shown_points(run)
    right = None
    if trainer.task.n_classes:
        right = float((trainer.predict(points).argmax(axis=1) == class_N).mean())
    return Look(
        expert_P, _answers(run), right, territories, differ, bent,
        record, run.controls.settings.n_experts,
        run.controls.settings.batch if batchwise(run) else 0,
    )  # fmt: skip


def follows_point(run: LiveRun) -> bool:
    """Whether a point's expert follows from the point alone, by a linear gate."""
    router = run.trainer.layer.router
    return not batchwise(run) and linear_gate(router)


def batchwise(run: LiveRun) -> bool:
    """Whether who answers a point depends on the other points of its batch."""
    return not run.trainer.layer.router.batch_invariant


def shown_points(run: LiveRun) -> tuple[np.ndarray, np.ndarray]:
    """The points that are drawn on the plane, (N_POINTS, 2), and their classes or targets."""
    points, target = run.trainer.task.draw(np.random.default_rng(POINTS_SEED), N_POINTS)
    return points.astype(np.float32), target


def _batches(run: LiveRun, points: np.ndarray) -> list[Any]:
    """Cut pixels into batches: one for a router that looks at each by itself.

    Others look at a whole batch, so each of their batches has the size of a training batch and
    pixels from all over the plane, which chance picks.
    """
    if not batchwise(run):
        return [slice(None)]
    order_P = np.random.default_rng(0).permutation(len(points))
    return np.array_split(order_P, max(1, len(points) // run.controls.settings.batch))


def _answerers(run: LiveRun, points: np.ndarray) -> np.ndarray:
    trainer, expert_P = run.trainer, np.empty(len(points), np.int64)
    for part in _batches(run, points):
        expert_P[part] = first_choices(trainer.layer.route(trainer.embed(points[part])))
    return expert_P


def _answers(run: LiveRun) -> np.ndarray:
    trainer = run.trainer
    out_PV = np.empty((len(COARSE_PIXELS), trainer.task.n_outputs), np.float32)
    for part in _batches(run, COARSE_PIXELS):
        out_PV[part] = trainer.predict(COARSE_PIXELS[part])
    if trainer.task.n_classes:
        return np.asarray(kernels.softmax(out_PV))[:, 1]
    error_P = np.linalg.norm(out_PV - _targets(COARSE_PIXELS), axis=1)
    return np.asarray(np.exp(-error_P))


def _targets(points: np.ndarray) -> np.ndarray:
    """What the mixture of linear maps asks for at each point: the map of the nearest centre."""
    centre_C2, map_C22 = linear_map_truth()
    far_NC = ((points[:, None] - centre_C2) ** 2).sum(axis=2)
    nearest_N = far_NC.argmin(axis=1)
    return np.einsum("ni,nij->nj", points, map_C22[nearest_N])
