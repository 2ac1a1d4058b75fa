"""Three things that are hard to have at once: dynamic, balanced and causal routing.

Dynamic: tokens differ in how many experts compute for them. Balanced: experts differ little in how
many tokens they get. Causal: no token's experts depend on a later one. Each is measured on a model
that was trained: the first two on what it does with text, the last by the probe of
`moe.studies.causality`, with the buffers that the balancer has left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import metrics
from ..training import Trainer, TrainSettings
from ..training.runs import LAST
from .causality import ProbeSettings, probe_router

HELD = 4096  # tokens on which the numbers of experts are counted


@dataclass(frozen=True)
class TraitFigures:
    """What a trained router has of the three.

    Attributes
    ----------
    experts, spread
        Computing experts of a token, mean and standard deviation over held-out tokens, without
        router noise.
    max_vio
        Of the computing experts, of what the router asks for, over the last steps.
    changed
        Share of tokens whose routing a later token changed in the causality probe.
    held_out_loss
        On data that training never drew.
    flops_per_token
        Executed floating-point operations of the layer's forward pass, over the last steps.
    """

    experts: float
    spread: float
    max_vio: float
    changed: float
    held_out_loss: float
    flops_per_token: float


def traits(settings: TrainSettings) -> TraitFigures:
    """Train a model, then look at its router."""
    trainer = Trainer(settings)
    last = list(trainer.run())[-LAST:]
    layer = trainer.layer
    n_computing = layer.n_experts - len(layer.router.specials)
    inputs, _ = trainer.task.held_out(np.random.default_rng(0), HELD)
    token_ids = inputs[:, -1] if trainer.task.n_vocab else None
    routing = layer.route(trainer.embed(inputs), token_ids=token_ids)
    computes_A = routing.expert_A < n_computing
    experts_N = np.bincount(routing.token_A[computes_A], minlength=routing.n_tokens)
    probed = probe_router(layer.router, ProbeSettings(n_experts=layer.n_experts), layer.buffers)
    return TraitFigures(
        experts=float(experts_N.mean()),
        spread=float(experts_N.std()),
        max_vio=float(np.mean([metrics.max_vio(r.proposed[:n_computing]) for r in last])),
        changed=probed.changed,
        held_out_loss=trainer.evaluate(),
        flops_per_token=float(np.mean([r.executed_flops for r in last])) / settings.batch,
    )
