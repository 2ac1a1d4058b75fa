"""Controllers of the load, as in control theory: their step response on frozen scores.

The scores stay as they are, so that only the controller moves and training explains nothing. The
page on the cure shows the same controllers on a model that learns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .. import kernels, metrics
from ..balance import Balancer, make_balancer
from ..balance.bias import BiasControl
from ..errors import check_float
from ..routers.topk import TopK
from ..routing import Routing
from ..scores import make_scores
from ..settings import Settings, option

SCORE = "sigmoid"  # as in DeepSeek-V3
SETTLED = 0.1  # MaxVio below which the load counts as even
TAIL = 0.2  # share of the batches that "at the end" means
POINTS = 120  # of a curve that is drawn
FACTOR = 10  # between one rate of the sign rule and the next
RATE = 0.001  # of DeepSeek-V3
# Such that ten times one of them is again of this kind, and can be kept for both.
RATES = (
    0.0003, 0.0004, 0.0005, 0.0006, 0.0008, 0.001, 0.0012, 0.0015, 0.002, 0.0025, 0.003, 0.004,
    0.005, 0.006, 0.008, 0.01, 0.012, 0.015, 0.02, 0.025, 0.03,
)  # fmt: skip


@dataclass(frozen=True)
class ControlSettings(Settings):
    """The frozen scores and how long to steer; made up, and hard: a few experts are wanted by all.

    Logits are N(0, 1) plus a ramp over the experts from `skew` down to minus `skew`.
    """

    n_tokens: int = option(2048, "Tokens in a batch, the same in every batch.", low=1, high=1 << 16)
    n_experts: int = option(16, "Experts.", low=2, high=256)
    k: int = option(2, "Experts per token.", low=1, high="n_experts")
    skew: float = option(2.0, "How uneven the logits are.", low=0, high=20)
    batches: int = option(1000, "How often the controller acts.", low=10, high=100_000)
    seed: int = option(0, "Of the logits.", low=0)

    def logits(self) -> np.ndarray:
        """The frozen logits, (N, E) float32."""
        rng = np.random.default_rng(self.seed)
        logits_NE = rng.standard_normal((self.n_tokens, self.n_experts))
        ramp_E = np.linspace(self.skew, -self.skew, self.n_experts)
        return np.asarray(logits_NE + ramp_E, np.float32)


@dataclass(frozen=True)
class Method:
    """A controller: what people call it, its idea in plain words, and what `moe` calls it."""

    title: str
    idea: str
    balance: str


@dataclass(frozen=True, eq=False)
class Response:
    """Loads of the frozen scores under one controller, batch after batch.

    Attributes
    ----------
    method
        The controller.
    load_SE
        Assignments per expert after 0, 1, ... batches, (batches + 1, E).
    max_vio_S
        How far the busiest expert is above its fair share, (batches + 1,).
    """

    method: Method
    load_SE: np.ndarray
    max_vio_S: np.ndarray

    @property
    def settled_after(self) -> int | None:
        """Batches until MaxVio stays below `SETTLED`; None if it is not there at the end."""
        return metrics.settling(self.max_vio_S, SETTLED)

    @property
    def steady_error(self) -> float:
        """Mean MaxVio over the last fifth."""
        return float(self._tail(self.max_vio_S).mean())

    @property
    def swing(self) -> float:
        """Mean change of an expert's load from batch to batch in the last fifth, in fair shares."""
        return metrics.ripple(self._tail(self.ratio_SE))

    @property
    def ratio_SE(self) -> np.ndarray:
        """Loads over their mean, (batches + 1, E)."""
        return np.asarray(self.load_SE / self.load_SE.mean(axis=1, keepdims=True))

    def fell_below(self, level: float) -> int | None:
        """Batches until MaxVio is below a level for the first time."""
        low = np.flatnonzero(self.max_vio_S < level)
        return int(low[0]) if low.size else None

    def curve(
        self, log: bool = True, points: int = POINTS
    ) -> list[tuple[float, float, float, float]]:
        """Batch (from 1), mean, least and largest MaxVio over stretches.

        Parameters
        ----------
        log
            Whether the stretches grow with time, as a logarithmic axis shows them equally long.
        points
            Most stretches.
        """
        size = self.max_vio_S.size
        spaced = np.geomspace if log else np.linspace
        cuts = np.unique(spaced(1, size, points).astype(int))
        starts = np.append(0, cuts[:-1])
        mean = np.add.reduceat(self.max_vio_S, starts) / np.diff(starts, append=size)
        low = np.minimum.reduceat(self.max_vio_S, starts)
        high = np.maximum.reduceat(self.max_vio_S, starts)
        first, last = cuts[:-1] + 1.0, cuts[1:]
        middle = np.append(1.0, np.sqrt(first * last) if log else (first + last) / 2)
        middle[-1] = size
        return list(zip(middle.tolist(), mean.tolist(), low.tolist(), high.tolist(), strict=True))

    def _tail(self, value_S: np.ndarray) -> np.ndarray:
        return value_S[-max(2, round(TAIL * len(value_S))) :]


def sign_rates(rate: float) -> tuple[float, ...]:
    """A tenth of a rate, the rate, and ten times it.

    Raises
    ------
    ValueError
        If the rate is not a positive number.
    """
    check_float("rate", rate, 0.0, 1.0, open_low=True)
    return tuple(float(f"{rate * factor:.3g}") for factor in (1 / FACTOR, 1, FACTOR))


def methods(rate: float = RATE) -> tuple[Method, ...]:
    """The controllers to compare: the sign rule at three rates, and those that do without."""
    push = "The same push for every expert, up or down."
    slow, middle, fast = sign_rates(rate)
    return (
        Method(f"Fixed push of {slow:g}", push, f"bias(rate={slow:g})"),
        Method(f"Fixed push of {middle:g}", push, f"bias(rate={middle:g})"),
        Method(f"Fixed push of {fast:g}", push, f"bias(rate={fast:g})"),
        Method(
            "By the gap",
            "A push as large as the gap to the fair share.",
            f"bias(form=proportional, rate={fast:g})",
        ),
        Method("By the gap and its past", "The gap, and the sum of all gaps so far.", "pi"),
        Method("All at once", "Works out which bonus would make the load fit.", "quantile"),
    )


def respond(method: Method, settings: ControlSettings) -> Response:
    """Let a controller act on the frozen scores, batch after batch.

    The fixed push, which the page on the cure draws at every rate, has a kernel of its own.
    """
    balancer = make_balancer(method.balance)
    logits_NE, scores_NE = _frozen(settings, kernels.backend_name())
    if isinstance(balancer, BiasControl) and balancer == BiasControl(rate=balancer.rate):
        load_SE = kernels.steer(logits_NE, scores_NE, settings.k, balancer.rate, settings.batches)
    else:
        load_SE = _step_by_step(balancer, settings, logits_NE, scores_NE)
    max_vio_S = load_SE.max(axis=1) / load_SE.mean(axis=1) - 1
    return Response(method, load_SE, max_vio_S)


@lru_cache(maxsize=4)
def _frozen(settings: ControlSettings, backend: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits and scores, (N, E) each, read-only; once for all methods."""
    logits_NE = settings.logits()
    scores_NE = make_scores(logits_NE, SCORE)
    for array in (logits_NE, scores_NE):
        array.flags.writeable = False
    return logits_NE, scores_NE


def _step_by_step(
    balancer: Balancer, settings: ControlSettings, logits_NE: np.ndarray, scores_NE: np.ndarray
) -> np.ndarray:
    """Loads under any controller, (batches + 1, E).

    Scores and rule are fixed, so that what the controller keeps decides all that follows: once
    it has been in the same state before, the loads repeat and need not be computed again. Of the
    router only the choice is asked for, since no controller looks at weights.
    """
    router = TopK(k=settings.k, score=SCORE)
    unused_NK = np.zeros((len(logits_NE), settings.k), np.float32)
    buffers = {"select_bias_E": np.zeros(settings.n_experts, np.float32)}
    buffers |= balancer.init_state(settings.n_experts)
    load_SE = np.empty((settings.batches + 1, settings.n_experts), np.int64)
    seen: dict[bytes, int] = {}
    # One thread: to hand over work as small as a step takes twice as long as to do it.
    with kernels.using(kernels.backend_name(), threads=1):
        for step in range(settings.batches + 1):
            state = b"".join(array.tobytes() for array in buffers.values())
            first = seen.setdefault(state, step)
            if first < step:
                load_SE[step:] = np.resize(load_SE[first:step], load_SE[step:].shape)
                break
            routing = Routing.from_choices(
                router.select(logits_NE, scores_NE, **buffers),
                unused_NK,
                settings.n_experts,
                logits_NE=logits_NE,
                scores_NE=scores_NE,
                score=SCORE,
            )
            load_SE[step] = routing.proposed_load
            balancer.update(buffers, routing)
    return load_SE


def respond_all(
    rate: float = RATE, settings: ControlSettings = ControlSettings()
) -> list[Response]:
    """Step responses of all `methods`."""
    return [respond(method, settings) for method in methods(rate)]
