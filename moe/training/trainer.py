"""Training as a generator of records: embedding -> MoE layer (with a residual path) -> output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from .. import kernels, metrics
from ..balance import BalanceLoss
from ..context import LayerContext
from ..data import Task, make_task
from ..layer import MoELayer
from ..optim import Adam, Optimizer
from .settings import TrainSettings

EMBEDDING_SPREAD = 0.3  # small inputs leave the gate undecided at first, as in large models


@dataclass(frozen=True)
class TrainRecord:
    """What one step shows.

    Attributes
    ----------
    step
        From 0.
    loss
        Task loss in nats (cross-entropy) or squared error, of this step's batch.
    balance_loss
        What the balancer adds.
    load, proposed
        Assignments kept, and asked for, per expert, (E,).
    max_vio, cv, dead
        Of `proposed`, what the router wants: see `moe.metrics`; `dead` counts experts that no
        token of the batch chose.
    dropped
        Share of the assignments that capacity dropped.
    executed_flops
        Forward floating-point operations that the layer counted.
    data
        Start of the SHA-256 of the task's data.
    """

    step: int
    loss: float
    balance_loss: float
    load: np.ndarray
    proposed: np.ndarray
    max_vio: float
    cv: float
    dead: int
    dropped: float
    executed_flops: int
    data: str

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for `json.dumps`."""
        plain = asdict(self)
        return plain | {"load": self.load.tolist(), "proposed": self.proposed.tolist()}


@dataclass(frozen=True)
class Pass:
    """The forward pass of one batch, up to the losses, with all that its gradients need.

    Attributes
    ----------
    inputs, x_ND, h_ND
        The batch, the layer's input, and what the output map gets: x plus the layer's result.
    ctx
        Of the layer's forward pass.
    loss, dout_NV
        Task loss, and its gradient at the outputs.
    balance
        The balancer's loss.
    param_loss, param_grads
        Its loss on the router's parameters themselves, and the gradients.
    """

    inputs: np.ndarray
    x_ND: np.ndarray
    h_ND: np.ndarray
    ctx: LayerContext
    loss: float
    dout_NV: np.ndarray
    balance: BalanceLoss
    param_loss: float
    param_grads: Mapping[str, np.ndarray]


Method = TypeVar("Method", bound=Callable[..., Any])


def _steadily(method: Method) -> Method:
    """Let a run end on the oracles that it began with, though kernels have become ready."""

    @wraps(method)
    def steady(self: Trainer, *args: Any, **kwargs: Any) -> Any:
        if self._backend is None:
            return method(self, *args, **kwargs)
        with kernels.steady(self._backend):
            return method(self, *args, **kwargs)

    return cast(Method, steady)


class Trainer:
    """A model in training; `run` yields records, and the layer can be looked at in between.

    Parameters
    ----------
    settings
        The run.
    task
        Data to learn instead of what `settings.task` names, such as a text that was pasted.

    Attributes
    ----------
    settings, task, layer, params, balancer
        `params` holds the arrays around the layer: the embedding (or input map) and the output.
    optimizer
        Steps all arrays but those of the frozen parts.
    output_bias_V
        Added to the outputs and not learnt, zero unless a caller writes into it: the frequencies
        of the classes, for example, then need not be learnt.
    """

    def __init__(self, settings: TrainSettings, task: Task | None = None) -> None:
        self._backend = "numpy" if kernels.standing_in() else None
        self.settings = settings
        self.task = task or make_task(settings.task, settings.context, settings.text)
        self.layer = MoELayer.init(
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
        self.layer.check_finite = False
        self.balancer = settings.make_balancer()
        self.layer.buffers |= self.balancer.init_state(settings.n_experts)
        # Separate streams: the batches stay the same whatever noise the router draws.
        init, self._data_rng, self._noise_rng = (
            np.random.default_rng(s) for s in np.random.SeedSequence(settings.seed).spawn(3)
        )
        self.params = self._init_params(init)
        self.output_bias_V = np.zeros(self.task.n_outputs, np.float32)
        self.optimizer: Optimizer = Adam(settings.learning_rate)
        self.adopt(settings, self.layer)
        self._step = 0

    def adopt(self, settings: TrainSettings, layer: MoELayer) -> None:
        """Go on with another layer and what other settings say of balance and frozen parts."""
        self.settings, self.layer, self.balancer = settings, layer, settings.make_balancer()
        parts = settings.frozen_parts()
        self._frozen = [name for name in self.arrays() if self.part_of(name) in parts]

    def _init_params(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        d_model, n_out = self.settings.d_model, self.task.n_outputs
        if self.task.n_vocab:
            shape: tuple[int, ...] = (self.settings.context, self.task.n_vocab, d_model)
            spread = EMBEDDING_SPREAD / np.sqrt(self.settings.context)
            params = {"table_CVD": rng.standard_normal(shape) * spread}
        else:
            params = {
                "in_ID": rng.standard_normal((self.task.n_inputs, d_model)),
                "in_bias_D": rng.standard_normal(d_model),
            }
        params["out_DV"] = rng.standard_normal((d_model, n_out)) * 0.02
        return {name: array.astype(np.float32) for name, array in params.items()}

    @_steadily
    def embed(self, inputs: np.ndarray) -> np.ndarray:
        """Return the layer's input for task inputs: token windows (N, C) or points (N, I)."""
        if self.task.n_vocab:
            return np.asarray(kernels.embed(self.params["table_CVD"], inputs))
        x_NI = np.ascontiguousarray(inputs, np.float32)
        return np.asarray(kernels.matmul(x_NI, self.params["in_ID"]) + self.params["in_bias_D"])

    @_steadily
    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Return the outputs (N, V) for task inputs, without router noise."""
        x_ND = self.embed(inputs)
        token_ids = inputs[:, -1] if self.task.n_vocab else None
        y_ND, _ = self.layer.forward(x_ND, token_ids=token_ids)
        return self._out(x_ND + y_ND)

    @_steadily
    def evaluate(self, size: int = 4096, seed: int = 0) -> float:
        """Mean loss on data that training never draws."""
        inputs, target = self.task.held_out(np.random.default_rng(seed), size)
        return self._loss(self.predict(inputs), target)[0]

    def run(self) -> Iterator[TrainRecord]:
        """Yield one record per step until `settings.steps` are done; resumable."""
        while self._step < self.settings.steps:
            yield self.step()

    def arrays(self) -> dict[str, np.ndarray]:
        """All that could learn, by name: around the layer and in it."""
        return self.params | self.layer.params

    def part_of(self, name: str) -> str:
        """Which of `PARTS` an array belongs to, or 'output'."""
        if name in self.params:
            return "output" if name == "out_DV" else "embedding"
        # The layer's arrays are the router's, which it makes for any width, or the experts'.
        gate = self.layer.router.init_params(1, self.layer.n_experts, np.random.default_rng(0))
        return "gate" if name in gate else "experts"

    def step(self) -> TrainRecord:
        """Do one training step."""
        return self.finish(self.begin())

    @_steadily
    def begin(self) -> Pass:
        """Draw a batch and do the forward pass; `finish` makes it a step."""
        inputs, target = self.task.draw(
            self._data_rng, self.settings.batch, run=self.settings.sequence_length
        )
        x_ND = self.embed(inputs)
        token_ids = inputs[:, -1] if self.task.n_vocab else None
        y_ND, ctx = self.layer.forward(x_ND, rng=self._noise_rng, token_ids=token_ids)
        h_ND = x_ND + y_ND
        loss, dout_NV = self._loss(self._out(h_ND), target)
        balance = self.balancer.loss(ctx.routing, self.layer.buffers)
        param_loss = self.balancer.param_loss(self.layer.params)
        return Pass(inputs, x_ND, h_ND, ctx, loss, dout_NV, balance, *param_loss)

    @_steadily
    def gradients(
        self, batch: Pass, task: bool = True, balance: bool = True
    ) -> dict[str, np.ndarray]:
        """Gradients at all arrays of the sum of both losses, or of one of them.

        Parameters
        ----------
        batch
            From `begin`, with no step in between.
        task, balance
            Which losses count.
        """
        dout_NV = batch.dout_NV if task else np.zeros_like(batch.dout_NV)
        grads = {"out_DV": kernels.matmul_tn(batch.h_ND, dout_NV)}
        dh_ND = kernels.matmul_nt(dout_NV, self.params["out_DV"])
        added = (batch.balance.dlogits_NE, batch.balance.extra) if balance else ()
        dx_ND, layer_grads = self.layer.backward(dh_ND, batch.ctx, *added)
        if balance:
            layer_grads |= {
                name: layer_grads[name] + grad for name, grad in batch.param_grads.items()
            }
        dx_ND += dh_ND
        if self.task.n_vocab:
            grads["table_CVD"] = kernels.embed_backward(dx_ND, batch.inputs, self.task.n_vocab)
        else:
            x_NI = np.ascontiguousarray(batch.inputs, np.float32)
            grads |= {"in_ID": kernels.matmul_tn(x_NI, dx_ND), "in_bias_D": dx_ND.sum(axis=0)}
        return grads | layer_grads

    @_steadily
    def finish(self, batch: Pass) -> TrainRecord:
        """Step the arrays that learn, and the balancer's buffers."""
        arrays, grads = self.arrays(), self.gradients(batch)
        for name in self._frozen:
            del arrays[name], grads[name]
        self.optimizer.step(arrays, grads)
        self.balancer.update(self.layer.buffers, batch.ctx.routing)
        record = self._record(batch.ctx, batch.loss, batch.balance.value + batch.param_loss)
        self._step += 1
        return record

    def _out(self, h_ND: np.ndarray) -> np.ndarray:
        out_NV = np.asarray(kernels.matmul(h_ND, self.params["out_DV"]))
        if self.output_bias_V.any():
            out_NV += self.output_bias_V
        return out_NV

    def _loss(self, out_NV: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        if self.task.n_classes:
            loss, dout_NV = kernels.cross_entropy(out_NV, target)
            return float(loss), dout_NV
        error_NV = out_NV - target.astype(np.float32)
        return float((error_NV.astype(np.float64) ** 2).mean()), 2 * error_NV / error_NV.size

    def _record(self, ctx: LayerContext, loss: float, balance_loss: float) -> TrainRecord:
        routing = ctx.routing
        return TrainRecord(
            step=self._step,
            loss=loss,
            balance_loss=balance_loss,
            load=routing.load,
            proposed=routing.proposed_load,
            max_vio=metrics.max_vio(routing.proposed_load),
            cv=metrics.coefficient_of_variation(routing.proposed_load),
            dead=metrics.dead_experts(routing.proposed_load),
            dropped=metrics.drop_rate(routing),
            executed_flops=ctx.executed_flops,
            data=self.task.sha256[:12],
        )


def train(settings: TrainSettings) -> Iterator[TrainRecord]:
    """Train and yield a record per step.

    Raises
    ------
    ValueError
        If the user's text cannot be used.
    """
    return Trainer(settings).run()
