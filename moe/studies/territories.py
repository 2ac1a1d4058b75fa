"""Territories: which part of the plane each expert answers, from the gate's numbers alone.

A model of planar points reads a point p by an affine map, and a linear gate is one more. So every
logit is an affine function of the point, s_e . p + c_e, and two experts' border is the straight
line on which theirs are equal. The expert with the largest one answers: the plane is cut into
convex cells, a power diagram whose sites are the slopes s_e. More offset for one expert moves its
borders in parallel. A bias on *scores*, which are curved functions of the logits, bends them.

Everything here is in double precision and knows nothing of the layer's own arithmetic, so that
the two can be compared point by point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import check_array, check_int
from ..routers import Router
from ..routers.expert_threshold import ExpertThreshold
from ..routers.fixed_k import FixedK, biased, steers
from ..routers.relu import ReLU
from ..routing import Routing
from ..scores import make_scores
from ..training import Trainer

NOBODY = -1  # the first choice of a point that no expert takes
Box = tuple[float, float, float, float]
Corners = list[tuple[float, float]]


def first_choices(routing: Routing) -> np.ndarray:
    """Each token's first choice, (N,) int64; NOBODY for tokens that no expert takes."""
    expert_N = np.full(routing.n_tokens, NOBODY, np.int64)
    first_A = routing.rank_A == 0
    expert_N[routing.token_A[first_A]] = routing.expert_A[first_A]
    return expert_N


def grid(box: Box, size: int) -> np.ndarray:
    """Centres of size x size equal pixels of a box, row by row from the top, (size * size, 2).

    Parameters
    ----------
    box
        Left, bottom, right and top.
    size
        Pixels a side.
    """
    left, bottom, right, top = box
    check_int("size", size, 1)
    place = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(left + place * (right - left), top - place * (top - bottom))
    return np.stack([x.ravel(), y.ravel()], 1)


@dataclass(frozen=True)
class Territories:
    """What decides who answers a point of the plane.

    Attributes
    ----------
    slope_2E, offset_E
        Expert e's logit at the point p is p @ slope_2E[:, e] + offset_E[e].
    score
        Of what the balancer's arrays steer: a key of `moe.scores.SCORES`.
    select_bias_E, select_factor_E
        Added to the scores, and multiplied with them, for the choice alone; None where neither
        steers.
    least
        Nobody answers where no logit is above this, as with ReLU routing (0) and Expert Threshold,
        whose bars are taken off the offsets; None: somebody does.
    """

    slope_2E: np.ndarray
    offset_E: np.ndarray
    score: str = "softmax"
    select_bias_E: np.ndarray | None = None
    select_factor_E: np.ndarray | None = None
    least: float | None = None

    @classmethod
    def of(cls, trainer: Trainer) -> Territories:
        """Read the gate of a model in training.

        Raises
        ------
        ValueError
            If the task is not in the plane, or the gate is not linear.
        """
        gate_DE = gate_of(trainer)
        inputs_3D = input_map(trainer)
        maps_3E = inputs_3D @ gate_DE.astype(np.float64)
        offset_E = maps_3E[2] + trainer.layer.params.get("gate_bias_E", 0.0)
        router, buffers = trainer.layer.router, trainer.layer.buffers
        bias_E, factor_E = buffers.get("select_bias_E"), buffers.get("select_factor_E")
        if isinstance(router, ExpertThreshold):
            return cls(maps_3E[:2], offset_E - buffers["threshold_E"], least=0.0)
        if not isinstance(router, FixedK) or not steers(bias_E, factor_E):
            return cls(maps_3E[:2], offset_E, least=0.0 if isinstance(router, ReLU) else None)
        return cls(
            maps_3E[:2],
            offset_E,
            router.score,
            None if bias_E is None or not bias_E.any() else bias_E.astype(np.float64),
            None if factor_E is None else factor_E.astype(np.float64),
        )

    @property
    def n_experts(self) -> int:
        """Number of experts, E."""
        return len(self.offset_E)

    @property
    def straight(self) -> bool:
        """Whether all borders are lines: nothing is added to scores, or multiplied but a softmax.

        A factor on a softmax's scores is its logarithm added to the logits.
        """
        return self.select_bias_E is None and (
            self.select_factor_E is None
            or (self.score == "softmax" and bool((self.select_factor_E > 0).all()))
        )

    def straightened(self) -> Territories:
        """The same gate with a balancer's factor written into the offsets, and without its bias."""
        lift_E = 0.0
        if self.select_factor_E is not None and (self.select_factor_E > 0).all():
            lift_E = np.log(self.select_factor_E)
        return Territories(self.slope_2E, self.offset_E + lift_E, least=self.least)

    def logits(self, points_N2: np.ndarray) -> np.ndarray:
        """Logits at these points, (N, E) float64."""
        points_N2 = check_array("points_N2", points_N2, (None, 2))
        return np.asarray(points_N2.astype(np.float64) @ self.slope_2E + self.offset_E)

    def selection(self, points_N2: np.ndarray) -> np.ndarray:
        """What the choice is made by, (N, E): logits, or scores where a balancer steers."""
        logits_NE = self.logits(points_N2)
        if not steers(self.select_bias_E, self.select_factor_E):
            return logits_NE
        scores_NE = make_scores(logits_NE, self.score)
        return biased(scores_NE, self.select_bias_E, self.select_factor_E)

    def choose(self, points_N2: np.ndarray) -> np.ndarray:
        """The expert that answers each point, (N,), or NOBODY; of equals the first."""
        selection_NE = self.selection(points_N2)
        expert_N = selection_NE.argmax(axis=1)
        if self.least is not None:
            expert_N[selection_NE.max(axis=1) <= self.least] = NOBODY
        return np.asarray(expert_N)

    def margin(self, points_N2: np.ndarray) -> np.ndarray:
        """How far each point's best expert is ahead of the second, (N,); 0 on a border."""
        if self.n_experts < 2:
            return np.full(len(points_N2), np.inf)
        best_N2 = np.partition(self.selection(points_N2), -2, axis=1)[:, -2:]
        return np.asarray(best_N2[:, 1] - best_N2[:, 0])

    def cells(self, box: Box) -> list[np.ndarray]:
        """Each expert's cell within a box: corners of a convex polygon, (V, 2); V is 0 for none.

        Parameters
        ----------
        box
            Left, bottom, right and top.

        Raises
        ------
        ValueError
            If a bias on scores bends the borders.
        """
        if not self.straight:
            raise ValueError(
                "select_bias_E: got a bias on scores, which bends the borders; allowed is none "
                "(see `straightened`)"
            )
        flat = self.straightened()
        maps_E3 = np.column_stack([flat.slope_2E.T, flat.offset_E]).tolist()
        cells = [_cell(e, maps_E3, box) for e in range(self.n_experts)]
        if self.least is None:
            return cells
        return [
            _polygon(_cut(cell.tolist(), a, b, c - self.least)) if len(cell) else cell
            for cell, (a, b, c) in zip(cells, maps_E3, strict=True)
        ]

    def moved(self, expert: int, slope_2: np.ndarray, offset: float) -> Territories:
        """The territories when one expert has another slope and offset."""
        check_int("expert", expert, 0, self.n_experts - 1)
        slope_2E, offset_E = self.slope_2E.copy(), self.offset_E.copy()
        slope_2E[:, expert], offset_E[expert] = slope_2, offset
        return replace(self, slope_2E=slope_2E, offset_E=offset_E)


def input_map(trainer: Trainer) -> np.ndarray:
    """The map from a point to the layer's input: two rows of weights and one of biases, (3, D).

    Raises
    ------
    ValueError
        If the task is not in the plane.
    """
    params = trainer.params
    if "in_ID" not in params or params["in_ID"].shape[0] != 2:
        raise ValueError(f"task: got {trainer.settings.task!r}, allowed is one in the plane")
    return np.vstack([params["in_ID"], params["in_bias_D"]]).astype(np.float64)


def gate_of(trainer: Trainer) -> np.ndarray:
    """The gate, (D, E), of a router whose logits are a linear map of the layer's input.

    Raises
    ------
    ValueError
        If the router's logits are something else.
    """
    router = trainer.layer.router
    if not linear_gate(router):
        raise ValueError(f"router: got {router.name!r}, allowed is one with a linear gate")
    return trainer.layer.params["gate_DE"]


def linear_gate(router: Router) -> bool:
    """Whether a router's logits are a linear map of the layer's input."""
    return type(router).project is Router.project and "gate" in router.projections


def vector_for(trainer: Trainer, expert: int, slope_2: np.ndarray, offset: float) -> np.ndarray:
    """The router's vector that gives an expert this slope and offset, (D,) float32.

    Of all such vectors it is the one nearest to the present one, so that what the plane does not
    show stays as it is.

    Parameters
    ----------
    expert
        Whose vector.
    slope_2, offset
        The logit shall be p @ slope_2 + offset.

    Raises
    ------
    ValueError
        If there is no such expert, a number is not finite, or the gate is not linear.
    """
    gate_DE = gate_of(trainer)
    check_int("expert", expert, 0, gate_DE.shape[1] - 1)
    slope_2 = check_array("slope_2", np.asarray(slope_2, np.float64), (2,))
    if not np.isfinite(offset):
        raise ValueError(f"offset: got {offset}, allowed is a finite number")
    inputs_3D, vector_D = input_map(trainer), gate_DE[:, expert].astype(np.float64)
    bias_E = trainer.layer.params.get("gate_bias_E")
    wanted_3 = np.append(slope_2, offset - (0.0 if bias_E is None else bias_E[expert]))
    change_D = np.linalg.lstsq(inputs_3D, wanted_3 - inputs_3D @ vector_D, rcond=None)[0]
    return np.asarray(vector_D + change_D, np.float32)


def _cell(expert: int, maps_E3: list[list[float]], box: Box) -> np.ndarray:
    """One expert's cell: the box, cut by the border with each of the others."""
    left, bottom, right, top = box
    corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
    mine = maps_E3[expert]
    for other, theirs in enumerate(maps_E3):
        if other == expert:
            continue
        a, b, c = (m - t for m, t in zip(mine, theirs, strict=True))
        if a == b == c == 0 and other < expert:
            return _polygon([])  # of equals the first answers
        corners = _cut(corners, a, b, c)
        if not corners:
            break
    return _polygon(corners)


def _polygon(corners: Corners) -> np.ndarray:
    return np.array(corners, np.float64).reshape(-1, 2)


def _cut(corners: Corners, a: float, b: float, c: float) -> Corners:
    """The part of a convex polygon in which a x + b y + c is not negative."""
    height = [a * x + b * y + c for x, y in corners]
    if min(height) >= 0:
        return corners
    kept = []
    for i, (here, (x, y)) in enumerate(zip(height, corners, strict=True)):
        if here >= 0:
            kept.append((x, y))
        after, (u, v) = height[i + 1 - len(corners)], corners[i + 1 - len(corners)]
        if (here < 0) != (after < 0):
            share = here / (here - after)
            kept.append((x + share * (u - x), y + share * (v - y)))
    return kept if len(kept) > 2 else []
