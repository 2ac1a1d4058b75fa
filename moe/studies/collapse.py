"""Why do experts collapse? One training at a time, with one thing in it changed.

What a run needs is a `Subject`: layers, an optimiser, and a step that says how each layer routed.
`OneLayer` is the tiny model of `moe.training`; a language model of several layers is another, and
the interventions and figures are the same for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .. import metrics
from ..errors import check_choice
from ..layer import MoELayer
from ..optim import SGD, Adam, Optimizer, Split
from ..routers import ROUTERS, Router
from ..routing import Routing
from ..settings import option
from ..training import Trainer, TrainSettings
from ..training.runs import LAST

NONE = "none"
EARLY = slice(10, 20)  # steps, from 0, by which a run has collapsed
SAMPLE = 65536  # targets by which the frequencies of the output's classes are counted
SGD_RATE = 10.0  # moves the gate about as far in 300 steps as Adam does
SLOW, SMALL, LARGE = 0.1, 0.1, 10.0


@dataclass(frozen=True)
class Look:
    """What one step showed of one layer.

    Attributes
    ----------
    load_E
        Assignments asked for per expert.
    common_logits
        Share of what tells experts apart in the logits that all tokens of the batch have in
        common: 0 if every token has its own favourites, 1 if all have the same.
    common_input
        Share of the tokens' squared length that is their mean's: 0 if their directions cancel, 1
        if all are the same vector.
    """

    load_E: np.ndarray
    common_logits: float
    common_input: float


class Subject(Protocol):
    """A model in training whose routing can be watched, of one MoE layer or of several.

    Attributes
    ----------
    layers
        Its MoE layers, first to last.
    optimizer
        What steps its arrays; an intervention puts another in its place.
    learning_rate
        Of the optimiser that it came with.
    output_bias_V
        Added to the outputs, and not learnt; zero at first.
    """

    layers: Sequence[MoELayer]
    optimizer: Optimizer
    learning_rate: float
    output_bias_V: np.ndarray

    def gates(self) -> Mapping[str, np.ndarray]:
        """All gates' arrays, under the names by which the optimiser gets them."""

    def class_counts(self) -> np.ndarray:
        """How often each class is the target in training data, (V,); empty if there are none."""

    def step(self) -> tuple[float, Sequence[Look]]:
        """Do one training step: the task's loss, and a look at each layer."""

    def common_outputs(self) -> np.ndarray:
        """What the outputs would be for the mean token of the last batch alone, (V,)."""

    def evaluate(self) -> float:
        """Mean loss on data that training never draws."""


def look(x_ND: np.ndarray, routing: Routing) -> Look:
    """Look at one layer's step; `x_ND` is what the layer got."""
    assert routing.logits_NE is not None
    logits_NE = routing.logits_NE.astype(np.float64)
    logits_NE -= logits_NE.mean(axis=1, keepdims=True)  # a shift of all experts moves nobody
    return Look(routing.proposed_load, common(logits_NE), common(x_ND.astype(np.float64)))


def common(row_ND: np.ndarray) -> float:
    """Share of the rows' squared length that is their mean's; 0 for none, or for zeros."""
    total = float((row_ND**2).sum())
    return float(len(row_ND) * (row_ND.mean(axis=0) ** 2).sum() / total) if total else 0.0


class OneLayer:
    """The tiny model of `moe.training` as a `Subject`."""

    def __init__(self, settings: TrainSettings) -> None:
        self.trainer = Trainer(settings)
        self.layers: Sequence[MoELayer] = (self.trainer.layer,)
        self.learning_rate = settings.learning_rate
        self.output_bias_V = self.trainer.output_bias_V
        self._mean_D = np.zeros(settings.d_model, np.float32)

    @property
    def optimizer(self) -> Optimizer:
        """The trainer's."""
        return self.trainer.optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        self.trainer.optimizer = optimizer

    def gates(self) -> Mapping[str, np.ndarray]:
        """Arrays of the router."""
        trainer = self.trainer
        return {n: a for n, a in trainer.arrays().items() if trainer.part_of(n) == "gate"}

    def class_counts(self) -> np.ndarray:
        """Counted in a sample that the run itself does not draw."""
        task = self.trainer.task
        if not task.n_classes:
            return np.zeros(0)
        target_N = task.draw(np.random.default_rng(self.trainer.settings.seed), SAMPLE)[1]
        return np.bincount(target_N, minlength=task.n_classes)

    def step(self) -> tuple[float, Sequence[Look]]:
        """Do one training step."""
        batch = self.trainer.begin()
        seen = look(batch.x_ND, batch.ctx.routing)
        self._mean_D = batch.x_ND.mean(axis=0)
        self.trainer.finish(batch)
        return batch.loss, (seen,)

    def common_outputs(self) -> np.ndarray:
        """Mean embedding of the last batch, straight to the outputs."""
        return np.asarray(self._mean_D @ self.trainer.params["out_DV"])

    def evaluate(self) -> float:
        """Mean loss on data that training never draws."""
        return self.trainer.evaluate()


# Interventions ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Intervention:
    """One thing that is done to a model before it trains.

    Attributes
    ----------
    title
        What is changed, in a few words.
    apply
        Changes a subject in place.
    """

    title: str
    apply: Callable[[Subject], None]


def _nothing(subject: Subject) -> None:
    """Leave it as it is."""


def _centre(subject: Subject) -> None:
    """Show each gate the tokens minus the batch's mean token."""
    for layer in subject.layers:
        layer.router = centred(layer.router)


def centred(router: Router) -> Router:
    """Return the router behind a gate that sees each token minus the batch's mean token."""
    kind: Any = type(router)

    class Centred(kind):  # type: ignore[misc]
        def project(self, x_ND: np.ndarray, *rest: Any) -> Any:
            return super().project(_without_mean(x_ND), *rest)

        def project_backward(self, x_ND: np.ndarray, *rest: Any) -> Any:
            dx_ND, grads = super().project_backward(_without_mean(x_ND), *rest)
            return _without_mean(dx_ND), grads

    centred_router: Router = Centred(**router.options())
    return centred_router


def _without_mean(x_ND: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x_ND - x_ND.mean(axis=0))


def _know_frequencies(subject: Subject) -> None:
    """Give the outputs the logarithm of each class's frequency, so that nobody has to learn it."""
    count_V = subject.class_counts()
    if count_V.size:
        subject.output_bias_V += np.log((count_V + 1) / (count_V + 1).sum())


def _gate_by(make: Callable[[Subject], Optimizer]) -> Callable[[Subject], None]:
    def apply(subject: Subject) -> None:
        subject.optimizer = Split(frozenset(subject.gates()), make(subject), subject.optimizer)

    return apply


def _gate_times(factor: float) -> Callable[[Subject], None]:
    def apply(subject: Subject) -> None:
        for array in subject.gates().values():
            array *= array.dtype.type(factor)

    return apply


INTERVENTIONS = {
    NONE: Intervention("nothing", _nothing),
    "centre": Intervention("the gate sees tokens minus their mean", _centre),
    "frequencies": Intervention("the output knows how frequent each class is", _know_frequencies),
    "sgd": Intervention(
        f"plain gradient descent for the gate, rate {SGD_RATE:g}", _gate_by(lambda _: SGD(SGD_RATE))
    ),
    "slow": Intervention(
        f"the gate's learning rate times {SLOW:g}",
        _gate_by(lambda subject: Adam(SLOW * subject.learning_rate)),
    ),
    "small": Intervention(f"the gate's first weights times {SMALL:g}", _gate_times(SMALL)),
    "large": Intervention(f"the gate's first weights times {LARGE:g}", _gate_times(LARGE)),
}


# Runs ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CollapseSettings(TrainSettings):
    """A training run, what is frozen in it, and what else is done to it."""

    intervention: str = option(
        NONE, f"What is changed: {', '.join(INTERVENTIONS)}.", among=INTERVENTIONS
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        scored = [name for name, kind in ROUTERS.items() if kind.scored and kind.projections]
        check_choice("router", self.router, scored)


@dataclass(frozen=True)
class CollapseFigures:
    """How far a run collapsed, and what its gates saw; means over the layers.

    Attributes
    ----------
    hottest_share, max_vio
        Busiest expert's share of the assignments over the last steps, and its mean MaxVio there.
    first_share, early_share
        Share of the busiest expert of the first step, and of steps 11 to 20.
    common_input_first, common_input_early, common_input_end
        `Look.common_input` at the first step, at step 20, and over the last steps.
    common_logits_early, common_logits_end
        `Look.common_logits` there.
    says_frequency
        Correlation at step 20 of what the mean token says at the output with the logarithm of how
        frequent each class is; of classes that occur. None for tasks without classes.
    gate_moved
        Length of the gate's change over its first length.
    loss, held_out_loss
        Task loss over the last steps, and on data that training never drew.
    """

    hottest_share: float
    max_vio: float
    first_share: float
    early_share: float
    common_input_first: float
    common_input_early: float
    common_input_end: float
    common_logits_early: float
    common_logits_end: float
    says_frequency: float | None
    gate_moved: float
    loss: float
    held_out_loss: float


def watch(subject: Subject, intervention: str, steps: int) -> CollapseFigures:
    """Intervene, train, and say how far it collapsed."""
    INTERVENTIONS[intervention].apply(subject)
    first = {name: array.copy() for name, array in subject.gates().items()}
    early = min(EARLY.stop, steps)
    seen = [subject.step() for _ in range(early)]
    frequency = _correlation(subject.common_outputs(), subject.class_counts())
    seen += [subject.step() for _ in range(steps - early)]
    losses, look_TL = zip(*seen, strict=True)
    change = {name: array - first[name] for name, array in subject.gates().items()}
    layers = [_layer_figures(looks) for looks in zip(*look_TL, strict=True)]
    mean = {name: float(np.mean([layer[name] for layer in layers])) for name in layers[0]}
    return CollapseFigures(
        **mean,
        says_frequency=frequency,
        gate_moved=_length(change) / _length(first),
        loss=float(np.mean(losses[-LAST:])),
        held_out_loss=subject.evaluate(),
    )


def _correlation(output_V: np.ndarray, count_V: np.ndarray) -> float | None:
    """Of outputs with the logarithm of counts, over classes that occur; None if there are none."""
    there_V = count_V > 0
    if there_V.sum() < 2 or not output_V[there_V].any():
        return None
    return float(np.corrcoef(output_V[there_V], np.log(count_V[there_V]))[0, 1])


def _length(arrays: Mapping[str, np.ndarray]) -> float:
    return float(np.sqrt(sum((array.astype(np.float64) ** 2).sum() for array in arrays.values())))


def _layer_figures(looks: Sequence[Look]) -> dict[str, float]:
    early, end = looks[EARLY] or looks[-1:], looks[-LAST:]
    return {
        "hottest_share": _share(end),
        "max_vio": float(np.mean([metrics.max_vio(seen.load_E) for seen in end])),
        "first_share": _share(looks[:1]),
        "early_share": _share(early),
        "common_input_first": looks[0].common_input,
        "common_input_early": early[-1].common_input,
        "common_input_end": float(np.mean([seen.common_input for seen in end])),
        "common_logits_early": early[-1].common_logits,
        "common_logits_end": float(np.mean([seen.common_logits for seen in end])),
    }


def _share(looks: Sequence[Look]) -> float:
    return metrics.hottest_share(np.sum([seen.load_E for seen in looks], axis=0))


def collapse(settings: CollapseSettings) -> CollapseFigures:
    """Train the tiny model with one thing changed."""
    return watch(OneLayer(settings), settings.intervention, settings.steps)
