"""A run whose controls change between steps, and that replays from a recipe to the same bits."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from .. import metrics
from ..context import LayerContext
from ..errors import check_int, shown
from ..layer import MoELayer
from ..optim import Adam
from .controls import Controls
from .settings import TrainSettings
from .trainer import Trainer, TrainRecord

SAMPLE = 24  # tokens of a step that its record shows one by one
SLOWEST = 0.05  # weight of the newest loss in the running mean, once there are enough
MOST_CHANGES = 400


class Change(NamedTuple):
    """A control that is set before a step."""

    step: int
    control: str
    value: Any


@dataclass(frozen=True)
class Recipe:
    """All that a run depends on: its first settings, and what was changed before which step.

    Attributes
    ----------
    settings, changes
        Changes in the order of their steps.

    Raises
    ------
    ValueError
        If changes are not in order, or a control or its value is not allowed.
    """

    settings: TrainSettings
    changes: tuple[Change, ...] = ()

    def __post_init__(self) -> None:
        check_int("number of changes", len(self.changes), 0, MOST_CHANGES)
        controls, last = Controls(self.settings), 0
        for step, control, value in self.changes:
            last = check_int("step of a change", step, last, None, "in rising order")
            controls = controls.changed(control, value)

    def as_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        changes = [[step, control, value] for step, control, value in self.changes]
        return {"settings": self.settings.changed(), "changes": changes}

    @classmethod
    def from_json(cls, data: Any) -> Recipe:
        """Read what `as_json` wrote.

        Raises
        ------
        ValueError
            If it is anything else.
        """
        if not isinstance(data, Mapping) or set(data) != {"settings", "changes"}:
            raise ValueError(f"recipe: got {shown(data)}, allowed are settings and changes")
        settings, changes = data["settings"], data["changes"]
        known = {one.name for one in fields(TrainSettings)}
        if not isinstance(settings, Mapping) or not known.issuperset(settings):
            raise ValueError(f"settings: got {shown(settings)}, allowed are {', '.join(known)}")
        if not isinstance(changes, Sequence) or isinstance(changes, str):
            raise ValueError(f"changes: got {shown(changes)}, allowed is a list")
        for change in changes:
            if not isinstance(change, Sequence) or isinstance(change, str) or len(change) != 3:
                raise ValueError(
                    f"changes: got {shown(change)}, allowed are step, control and value"
                )
        try:
            made = TrainSettings(**settings)
        except TypeError as error:
            raise ValueError(f"settings: got {shown(settings)}, allowed is a number") from error
        return cls(made, tuple(Change(*change) for change in changes))


@dataclass(frozen=True)
class Sample:
    """The first tokens of a step's batch, and where they went.

    Attributes
    ----------
    inputs
        Characters (n,) uint8, the last of each window; or points (n, 2).
    token_A, expert_A, weight_A, kept_A
        Their assignments; `kept_A` is false where an expert was full.
    """

    inputs: np.ndarray
    token_A: np.ndarray
    expert_A: np.ndarray
    weight_A: np.ndarray
    kept_A: np.ndarray


@dataclass(frozen=True)
class LiveRecord:
    """What one step of a live run shows.

    Attributes
    ----------
    step, loss
        From 0; of this step's batch.
    mean_loss
        Running mean of the losses so far, in which old ones fade.
    share_E
        Share of the work that each expert did: of the assignments that were kept.
    max_vio, idle
        Of what the router asked for, over the experts that are switched on: see `moe.metrics`.
    dropped
        Share of the assignments that found their expert full.
    sample
        The first `SAMPLE` tokens.
    """

    step: int
    loss: float
    mean_loss: float
    share_E: np.ndarray
    max_vio: float
    idle: int
    dropped: float
    sample: Sample


class LiveRun:
    """A run that goes on for as long as it is asked to, and whose controls may be set meanwhile.

    The same recipe gives the same bits, at any number of threads and whenever its changes were
    made known; without changes these are the bits of `Trainer.run`.

    Parameters
    ----------
    settings
        The run at its start; `settings.steps` does not end it.
    changes
        Changes to come, in order: (step, control, value); see `Controls.changed`.

    Attributes
    ----------
    trainer
        The model in training. While experts are off it has only the others, so that a gate, a
        balancer and a capacity see no more experts than there are.
    controls
        Where the controls stand.

    Raises
    ------
    ValueError
        If a control or its value is not allowed.

    Examples
    --------
    >>> from moe.training import TrainSettings
    >>> run = LiveRun(TrainSettings(n_experts=4, d_model=8, d_expert=8, batch=64))
    >>> for _ in range(3): _ = run.step()
    >>> run.change("off", [2])
    >>> float(run.step().share_E[2])
    0.0
    >>> run.recipe.changes
    (Change(step=3, control='off', value=[2]),)
    """

    def __init__(self, settings: TrainSettings, changes: Iterable[Sequence[Any]] = ()) -> None:
        self._changes = [Change(*change) for change in changes]
        Recipe(settings, tuple(self._changes))  # checks them
        self._first = settings
        self.controls = Controls(settings)
        self.trainer = Trainer(settings)
        self._taken = 0
        self._n_steps = 0
        self._mean_loss = 0.0
        self._asleep: dict[str, np.ndarray] = {}

    @classmethod
    def replay(cls, recipe: Recipe, steps: int) -> LiveRun:
        """Return the run of a recipe after that many steps."""
        check_int("steps", steps, 0)
        run = cls(recipe.settings, recipe.changes)
        for _ in range(steps):
            run.step()
        return run

    @property
    def n_steps(self) -> int:
        """Steps that are done."""
        return self._n_steps

    @property
    def recipe(self) -> Recipe:
        """The first settings, and all changes, those to come included."""
        return Recipe(self._first, tuple(self._changes))

    def change(self, control: str, value: Any) -> None:
        """Set a control from the next step on; see `Controls.changed`.

        Raises
        ------
        ValueError
            If the control or its value is not allowed; the run stays as it was.
        """
        self._take_due()
        change = Change(self._n_steps, control, _plain(value))
        changes = [*self._changes[: self._taken], change, *self._changes[self._taken :]]
        Recipe(self._first, tuple(changes))
        self._changes = changes
        self._take_due()

    def schedule(self, changes: Iterable[Sequence[Any]]) -> None:
        """Replace the changes to come; those before the present step have to be the run's own.

        Raises
        ------
        ValueError
            If they are not, or a control or its value is not allowed; the run stays as it was.
        """
        recipe = Recipe(self._first, tuple(Change(*change) for change in changes))
        past = [change for change in recipe.changes if change.step < self._n_steps]
        if past != self._changes[: self._taken]:
            raise ValueError(
                f"changes: got {shown(past)} before step {self._n_steps}, allowed are those that "
                f"were made: {shown(self._changes[: self._taken])}"
            )
        self._changes = list(recipe.changes)

    def set_router_vector(self, expert: int, vector: Any) -> None:
        """Set an expert's column of the gate, (d_model,), from the next step on."""
        self.change("vector", [expert, np.asarray(vector, np.float64).ravel()])

    def copy(self) -> LiveRun:
        """Return a run that goes on from here by itself; the data are shared."""
        shared = {id(self.trainer.task): self.trainer.task}
        return copy.deepcopy(self, shared)

    def step(self) -> LiveRecord:
        """Do one training step."""
        self._take_due()
        batch = self.trainer.begin()
        record = self.trainer.finish(batch)
        self._n_steps += 1
        fading = max(1 / self._n_steps, SLOWEST)
        self._mean_loss += fading * (record.loss - self._mean_loss)
        return self._record(record, batch.inputs, batch.ctx)

    def route(self, inputs: np.ndarray) -> np.ndarray:
        """First choice of each input (N, C) or point (N, I), as it would be chosen now, (N,)."""
        token_ids = inputs[:, -1] if self.trainer.task.n_vocab else None
        routing = self.trainer.layer.route(self.trainer.embed(inputs), token_ids=token_ids)
        first_N = np.full(len(inputs), -1)
        first_A = routing.rank_A == 0
        first_N[routing.token_A[first_A]] = self.controls.on[routing.expert_A[first_A]]
        return first_N

    def _record(self, record: TrainRecord, inputs: np.ndarray, ctx: LayerContext) -> LiveRecord:
        on, routing = self.controls.on, ctx.routing
        share_E = np.zeros(self.controls.settings.n_experts, np.float32)
        share_E[on] = record.load / max(record.load.sum(), 1)
        shown_A = np.flatnonzero(routing.token_A < SAMPLE)
        sample = Sample(
            inputs[:SAMPLE, -1].copy() if self.trainer.task.n_vocab else inputs[:SAMPLE].copy(),
            routing.token_A[shown_A],
            on[routing.expert_A[shown_A]],
            routing.weight_A[shown_A],
            routing.kept_A[shown_A],
        )
        return LiveRecord(
            step=record.step,
            loss=record.loss,
            mean_loss=self._mean_loss,
            share_E=share_E,
            max_vio=metrics.max_vio(record.proposed),
            idle=record.dead,
            dropped=record.dropped,
            sample=sample,
        )

    def _take_due(self) -> None:
        """Let the changes act whose step has come."""
        while self._taken < len(self._changes):
            step, control, value = self._changes[self._taken]
            if step > self._n_steps:
                return
            self._act(self.controls.changed(control, value), control, value)
            self._taken += 1

    def _act(self, controls: Controls, control: str, value: Any) -> None:
        before, self.controls = self.controls, controls
        trainer = self.trainer
        if control in ("text", "task"):
            trainer.task = controls.task()
            trainer.settings = controls.live
        elif control == "vector":
            place = int(np.searchsorted(controls.on, value[0]))
            trainer.layer.params["gate_DE"][:, place] = value[1]
        else:
            self._rebuild(before, fresh_balance=control in ("balancing", "balance", "router"))

    def _rebuild(self, before: Controls, fresh_balance: bool) -> None:
        """Give the trainer a layer of the present controls that goes on from the last one's."""
        trainer, whole = self.trainer, self.controls.settings
        if before.off:
            self._wake(before)
        layer = trainer.layer
        if before.settings.router != whole.router:
            layer = self._with_router(layer, whole)
        layer.router, layer.capacity = whole.make_router(), whole.make_capacity()
        if fresh_balance:
            layer.buffers = {
                name: np.zeros(whole.n_experts, layer.dtype) for name in layer.router.buffers
            } | whole.make_balancer().init_state(whole.n_experts)
        trainer.adopt(self.controls.live, layer)
        if self.controls.off:
            self._put_to_sleep()

    def _with_router(self, old: MoELayer, settings: TrainSettings) -> MoELayer:
        """A layer of another router; arrays that both have, and their moments, stay."""
        layer = MoELayer.init(
            settings.d_model,
            settings.d_expert,
            settings.n_experts,
            router=settings.make_router(),
            n_shared=settings.n_shared,
            activation=settings.activation,
            seed=settings.seed,
            capacity=settings.make_capacity(),
            gate_init=settings.gate_init,
            d_latent=settings.d_latent,
        )
        layer.check_finite = False
        optimizer = _adam(self.trainer)
        for name, fresh in layer.params.items():
            if name in old.params and old.params[name].shape == fresh.shape:
                layer.params[name] = old.params[name]
            else:
                optimizer.mean.pop(name, None)
                optimizer.square.pop(name, None)
        return layer

    def _tables(self) -> Iterator[tuple[str, dict[str, np.ndarray], str, int]]:
        """All arrays with one row or column per expert: a key, the place, its name and the axis."""
        layer, optimizer = self.trainer.layer, _adam(self.trainer)
        moments = {"mean": optimizer.mean, "square": optimizer.square}
        for kind, arrays in ({"param": layer.params, "buffer": layer.buffers} | moments).items():
            for name in arrays:
                axis = expert_axis(name)
                if axis is not None and (kind not in moments or name in layer.params):
                    yield f"{kind}:{name}", arrays, name, axis

    def _put_to_sleep(self) -> None:
        """Take experts that are off out of the layer, with their moments."""
        off = list(self.controls.off)
        for key, arrays, name, axis in self._tables():
            self._asleep[key] = arrays[name].take(off, axis)
            arrays[name] = np.ascontiguousarray(np.delete(arrays[name], off, axis))

    def _wake(self, before: Controls) -> None:
        """Bring all experts back, as they were when they went."""
        for key, arrays, name, axis in self._tables():
            both = np.concatenate([arrays[name], self._asleep[key]], axis)
            # Experts that compute nothing have no weights: they are the last ones, and never off.
            on = [expert for expert in before.on if expert < both.shape[axis]]
            arrays[name] = both.take(np.argsort([*on, *before.off]), axis)
        self._asleep = {}


def expert_axis(name: str) -> int | None:
    """Axis of an array that runs over the experts, by its name's shape suffix; None without."""
    suffix = name.rpartition("_")[2] if "_" in name else ""
    axes: list[str] = re.findall(r"\d*[A-Z]\d*", suffix)
    letters = [axis.strip("0123456789") for axis in axes]
    return letters.index("E") if letters.count("E") == 1 else None


def _adam(trainer: Trainer) -> Adam:
    assert isinstance(trainer.optimizer, Adam)
    return trainer.optimizer


def _plain(value: Any) -> Any:
    """As JSON keeps it, so that a recipe that was written and read is the same."""
    if isinstance(value, set | frozenset):
        value = sorted(value)
    try:
        return json.loads(json.dumps(value, default=lambda array: array.tolist()))
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"value: got {shown(value)}, allowed is what JSON can hold") from error
