"""Generated tasks in the plane: small enough to draw, hard enough to need several experts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..errors import check_int

Points = tuple[np.ndarray, np.ndarray, np.ndarray]


def _spirals(rng: np.random.Generator, size: int, n_arms: int = 2) -> Points:
    arm_N = rng.integers(0, n_arms, size)
    # The square root makes points about equally dense along an arm, whose outer turns are longer.
    turn_N = np.sqrt(rng.random(size)) * 3 * np.pi
    angle_N = turn_N + 2 * np.pi / n_arms * arm_N
    x_N2 = np.stack([np.cos(angle_N), np.sin(angle_N)], 1) * (turn_N / (3 * np.pi))[:, None] * 2
    return x_N2 + 0.03 * rng.standard_normal((size, 2)), arm_N, arm_N


def _checkerboard(rng: np.random.Generator, size: int) -> Points:
    x_N2 = rng.uniform(-2, 2, (size, 2))
    cell_N2 = np.floor(x_N2 + 2).astype(np.int64)
    return x_N2, cell_N2.sum(axis=1) % 2, 4 * cell_N2[:, 0] + cell_N2[:, 1]


def _moons(rng: np.random.Generator, size: int) -> Points:
    moon_N = rng.integers(0, 2, size)
    angle_N = rng.uniform(0, np.pi, size)
    sign_N = 1 - 2 * moon_N
    x_N2 = np.stack(
        [np.cos(angle_N) * sign_N + moon_N - 0.5, np.sin(angle_N) * sign_N + 0.5 * moon_N - 0.25], 1
    )
    return x_N2 + 0.08 * rng.standard_normal((size, 2)), moon_N, moon_N


N_MAPS = 8


def linear_map_truth() -> tuple[np.ndarray, np.ndarray]:
    """Centres (C, 2) and matrices (C, 2, 2) of the mixture of linear maps, which are fixed."""
    angle_C = 2 * np.pi * np.arange(N_MAPS) / N_MAPS
    centre_C2 = 2 * np.stack([np.cos(angle_C), np.sin(angle_C)], 1)
    return centre_C2, np.random.default_rng(8).standard_normal((N_MAPS, 2, 2))


def _linear_maps(rng: np.random.Generator, size: int) -> Points:
    centre_C2, map_C22 = linear_map_truth()
    cluster_N = rng.integers(0, N_MAPS, size)
    x_N2 = centre_C2[cluster_N] + 0.25 * rng.standard_normal((size, 2))
    return x_N2, np.einsum("ni,nij->nj", x_N2, map_C22[cluster_N]), cluster_N


@dataclass(frozen=True)
class PlanarTask:
    """Points in the plane, each with a class or (with 0 classes) a vector to predict.

    Attributes
    ----------
    n_classes
        0 for regression with squared error.
    """

    name: str
    title: str
    n_classes: int
    n_outputs: int
    generate: Callable[[np.random.Generator, int], Points]

    n_vocab = 0
    n_inputs = 2

    @property
    def sha256(self) -> str:
        """Hash of a fixed draw, which changes when the generator does."""
        x_N2, target_N, _ = self.generate(np.random.default_rng(0), 64)
        return hashlib.sha256(x_N2.tobytes() + target_N.tobytes()).hexdigest()

    def draw(
        self, rng: np.random.Generator, size: int, with_domain: bool = False, run: int = 1
    ) -> tuple[np.ndarray, ...]:
        """Draw points (N, 2), targets, and the cluster that each point came from if asked for.

        Points have no order, so `run` changes nothing.
        """
        points = self.generate(rng, check_int("size", size, 0))
        return points if with_domain else points[:2]

    held_out = draw  # fresh points are new points


def spirals(n_classes: int = 2) -> PlanarTask:
    """Return the task of telling intertwined spiral arms apart; each arm is a class.

    Raises
    ------
    ValueError
        If there are fewer than 2 arms, or so many that they touch.
    """
    check_int("n_classes", n_classes, 2, 8, "more arms would touch")
    title = "Two spirals" if n_classes == 2 else f"{n_classes} spirals"
    generate = partial(_spirals, n_arms=n_classes)
    return PlanarTask("spirals", title, n_classes, n_classes, generate)


PLANAR_TASKS = {
    task.name: task
    for task in (
        spirals(),
        PlanarTask("checkerboard", "Checkerboard", 2, 2, _checkerboard),
        PlanarTask("moons", "Two moons", 2, 2, _moons),
        PlanarTask("linear_maps", "Mixture of linear maps", 0, 2, _linear_maps),
    )
}
