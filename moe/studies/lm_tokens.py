"""Where a language model sends its tokens: what decides it, in its first layer and in its last.

The first layer's router has seen one attention; the last one's the whole model. Shares are of all
there is to know of the choice of expert, less what shuffled labels give, as in `moe.traces.myths`;
saturation is OLMoE's (arXiv 2409.02060, section 5.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .. import metrics
from ..lm.figures import LAST
from ..lm.settings import LMTrainSettings
from ..lm.tracing import held_out_documents, record_model
from ..lm.training import LMTrainer
from ..traces import Trace
from ..traces.myths import topic_specialists

BYTES = 2048  # of held-out text of each domain
LOOKS = {"tenth": 0.1, "quarter": 0.25, "half": 0.5}  # of the steps


@dataclass(frozen=True)
class LMTokensSettings(LMTrainSettings):
    """A training run of a language model with experts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.n_experts or self.dense != "none":
            raise ValueError("n_experts: got a dense model, allowed is one with experts")


@dataclass(frozen=True)
class LMTokensFigures:
    """What decides where tokens go, in the first and in the last layer that has experts.

    Attributes
    ----------
    bits_per_byte, worst_max_vio
        As in `moe.lm.figures.LMFigures`.
    topic_first, topic_last
        Share of the choice of expert that the domain explains.
    token_first, token_last
        Share that the token itself explains.
    beyond_first, beyond_last, beyond_p_first, beyond_p_last
        Share that the domain explains of one and the same token, and how often shuffled domains
        explain as much.
    tenth_first, quarter_first, half_first, tenth_last, quarter_last, half_last
        Saturation: share of a token's experts at the end that it had after that part of the steps.
    chance
        Saturation of random choices.
    """

    bits_per_byte: float
    worst_max_vio: float
    topic_first: float
    topic_last: float
    token_first: float
    token_last: float
    beyond_first: float
    beyond_last: float
    beyond_p_first: float
    beyond_p_last: float
    tenth_first: float
    quarter_first: float
    half_first: float
    tenth_last: float
    quarter_last: float
    half_last: float
    chance: float


def one_layer(trace: Trace, at: int) -> Trace:
    """Return the trace of one of its layers, by position."""
    logits = trace.logits_LNE
    return replace(
        trace,
        layers=trace.layers[at : at + 1],
        expert_LNK=trace.expert_LNK[at : at + 1],
        weight_LNK=trace.weight_LNK[at : at + 1],
        logits_LNE=None if logits is None else logits[at : at + 1],
    )


def lm_tokens(settings: LMTokensSettings) -> LMTokensFigures:
    """Train, look at the routing of the same held-out text on the way, and compare with the end."""
    trainer = LMTrainer(settings)
    documents = held_out_documents(trainer.windows, BYTES)
    early: dict[str, Trace] = {}
    records = []
    for record in trainer.run():
        records.append(record)
        for name, share in LOOKS.items():
            if record.step + 1 == max(1, round(share * settings.steps)):
                early[name] = record_model(trainer.model, documents)
    final = record_model(trainer.model, documents)
    bits = records[-1].held_out
    assert bits is not None  # the last step looks at all held-out text
    vio_SL = np.array([record.max_vio for record in records[-LAST:]])
    figures: dict[str, float] = {}
    for name, at in (("first", 0), ("last", final.n_layers - 1)):
        said = dict(topic_specialists(one_layer(final, at), settings.seed).figures)
        figures |= {
            f"topic_{name}": said["domain_above_chance"],
            f"token_{name}": said["token_above_chance"],
            f"beyond_{name}": said["domain_beyond_tokens"],
            f"beyond_p_{name}": said["domain_beyond_tokens_p_value"],
        }
        figures |= {
            f"{look}_{name}": metrics.saturation(trace.expert_LNK[at], final.expert_LNK[at])
            for look, trace in early.items()
        }
    end_NK = final.expert_LNK[0]
    return LMTokensFigures(
        bits_per_byte=bits,
        worst_max_vio=float(vio_SL.mean(axis=0).max()),
        chance=metrics.random_saturation(end_NK, end_NK, final.n_experts),
        **figures,
    )
