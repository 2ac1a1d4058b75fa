"""`EXPERIMENTS`: what a sweep can run, each as a function from settings to a row of figures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from ..balance import make_balancer
from ..capacity import DROP_POLICIES, Capacity
from ..cluster.simulate import ClusterSettings
from ..cluster.simulate import run as simulate_cluster
from ..cost import Range, TrainingCost
from ..cost.training import DEFAULT_MFU, DEFAULT_PRICE
from ..data import make_task
from ..lm.data import CORPORA, make_windows
from ..lm.figures import LMFigures
from ..lm.figures import figures as train_lm
from ..lm.reason import ReasonSettings
from ..lm.settings import LMTrainSettings
from ..routers import ROUTERS, make_router
from ..settings import Settings, option
from ..studies.causality import ProbeSettings, probe_capacity, probe_router
from ..studies.collapse import CollapseFigures, CollapseSettings, collapse
from ..studies.control import ControlSettings, Method, respond
from ..studies.expert_upcycling import UpcycleFigures, UpcycleRun, upcycled
from ..studies.interference import InterferenceFigures, InterferenceSettings, interference
from ..studies.lm_collapse import LMCollapseSettings, lm_collapse
from ..studies.lm_tokens import LMTokensFigures, LMTokensSettings, lm_tokens
from ..studies.opportunistic import OpportunisticFigures, OpportunisticRun, opportunistic
from ..studies.pruning import PruneFigures, PruneRun, pruned
from ..studies.reasoning import DistilFigures, DistilRun, ReasonFigures, distilled, reasoned
from ..studies.savings import ACTIVE, TOTAL, SavingsSettings, count
from ..studies.switch import SwitchFigures, SwitchSettings, switch
from ..studies.traits import TraitFigures, traits
from ..training import TrainSettings
from ..training.runs import Figures, run

LOWER, HIGHER = "lower", "higher"
NO_DATA = "none"


@dataclass(frozen=True)
class Experiment:
    """Something that can be swept.

    Attributes
    ----------
    title
        What it finds out, in a few words.
    settings, figures
        Frozen dataclasses: what may be set, and what comes out. Their fields are the columns of
        the results, so no name may be in both.
    measure
        From the one to the other; the same settings give the same figures.
    better
        Which end of a figure is the good one: 'lower' or 'higher'. The report shows these
        figures, and looks for the best by the first.
    data
        From settings to the hash of the data that the experiment reads, since the built-in text
        differs between machines; by default none is read, and the settings decide all.
    """

    title: str
    settings: type[Settings]
    figures: type
    measure: Callable[[Any], Any]
    better: Mapping[str, str] = field(default_factory=dict)
    data: Callable[[Any], str] = lambda settings: NO_DATA

    def setting_names(self) -> list[str]:
        """Names of the settings, in their order."""
        return [f.name for f in fields(self.settings)]

    def figure_types(self) -> dict[str, Any]:
        """Names and types of the figures, in their order."""
        hints = get_type_hints(self.figures)
        return {f.name: hints[f.name] for f in fields(self.figures)}


# Training --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainFigures(Figures):
    """The ablation's figures of a run, and its idle experts.

    Attributes
    ----------
    cv
        Spread of the loads over their mean, over the last steps.
    idle
        Experts that no token chose in the last step.
    hottest_share
        Share of the assignments that the busiest expert had, over the last steps.
    """

    cv: float
    idle: int
    hottest_share: float


def _train(settings: TrainSettings) -> TrainFigures:
    finished = run(settings)
    end = finished.summary()
    figures = Figures.of(finished)
    return TrainFigures(**vars(figures), cv=end.cv, idle=end.dead, hottest_share=end.hottest_share)


def _train_data(settings: TrainSettings) -> str:
    changed = None  # of a missing file too, for which the task has the better words
    if settings.text is not None and Path(settings.text).is_file():
        changed = Path(settings.text).stat().st_mtime_ns
    return _task_data(settings.task, settings.text, changed)


@cache
def _task_data(task: str, text: str | None, changed: int | None) -> str:
    return str(make_task(task, text=text).sha256[:12])


def _lm_data(settings: LMTrainSettings) -> str:
    return str(make_windows(settings.corpus, settings.context, settings.text).sha256[:12])


# Control of the load ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ControlRun(ControlSettings):
    """One controller on the frozen scores of `ControlSettings`."""

    balance: str = option("bias", "As for training: 'bias(rate=0.01)', 'pi', 'quantile'.")

    def __post_init__(self) -> None:
        super().__post_init__()
        make_balancer(self.balance)  # raises for unknown ones

    def figures(self) -> ControlFigures:
        """Let the controller act."""
        response = respond(Method(self.balance, "", self.balance), self)
        return ControlFigures(response.steady_error, response.swing, response.settled_after)


@dataclass(frozen=True)
class ControlFigures:
    """See the properties of `control.Response` of the same names."""

    steady_error: float
    swing: float
    settled_after: int | None


# Compute saved ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class SavingsFigures:
    """Counted cost of an MoE layer beside dense ones of equal total and equal active size."""

    total_params: int
    active_params: int
    flops_per_token: int
    weight_bytes: float
    flops_saved: float
    bytes_saved: float
    bytes_saved_to_active: float


def _savings(settings: SavingsSettings) -> SavingsFigures:
    by_name = {row.layer: row for row in count(settings)}
    moe, *_ = by_name.values()
    total, active = by_name[TOTAL], by_name[ACTIVE]
    return SavingsFigures(
        moe.params, moe.active_params, moe.flops_per_token, moe.weight_bytes,
        total.flops_saved, total.bytes_saved, active.bytes_saved,
    )  # fmt: skip


# Causality -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CausalityRun(ProbeSettings):
    """The causality probe on one router, or on one drop policy after top-2 routing."""

    method: str = option(
        "topk", "A router or a drop policy.", among=lambda: (*ROUTERS, *DROP_POLICIES)
    )

    def figures(self) -> CausalityFigures:
        """Probe the method."""
        if self.method in ROUTERS:
            row = probe_router(make_router(self.method), self)
        else:
            row = probe_capacity(Capacity(drop=self.method), self)
        return CausalityFigures(row.changed, row.found, row.claims)


@dataclass(frozen=True)
class CausalityFigures:
    """Share of earlier tokens that a future changed; whether none was, and what is claimed."""

    changed: float
    causal: bool
    claims: bool


# Cost and clusters -----------------------------------------------------------------------------


@dataclass(frozen=True)
class CostRun(Settings):
    """Cost of one training, every assumption of `TrainingCost` one number."""

    model: str = "deepseek-v3"
    tokens: float = 0.0
    gpu: str = "h800"
    mfu: float = DEFAULT_MFU.mid
    dollars_per_hour: float = DEFAULT_PRICE.mid
    context: int = 4096
    precision: str = "bf16"

    def __post_init__(self) -> None:
        self.training()  # raises for wrong ones

    def training(self) -> TrainingCost:
        """Settings with ranges of one value."""
        exact = {name: Range.exact(getattr(self, name)) for name in ("mfu", "dollars_per_hour")}
        return TrainingCost(**(vars(self) | exact))

    def figures(self) -> CostFigures:
        """Compute the cost."""
        result = self.training().result()
        return CostFigures(
            result.gpu_hours.mid, result.dollars.mid, result.energy_mwh.mid, result.train_flops
        )


@dataclass(frozen=True)
class CostFigures:
    """Middle of each range; energy with the default power share and overhead."""

    gpu_hours: float
    dollars: float
    energy_mwh: float
    train_flops: float


@dataclass(frozen=True)
class ClusterFigures:
    """See `ClusterResult.summary`."""

    copies_per_token: float
    network_kb_per_token: float
    nvlink_kb_per_token: float
    dispatch_us: float
    combine_us: float
    slowest_compute: float
    overlapped_us: float


def _cluster(settings: ClusterSettings) -> ClusterFigures:
    summary = simulate_cluster(settings).summary()
    return ClusterFigures(**{f.name: summary[f.name] for f in fields(ClusterFigures)})


def _cluster_data(settings: ClusterSettings) -> str:
    trace = settings.trace or settings.traffic
    if not trace or not Path(trace).is_file():
        return NO_DATA  # of a missing trace too, for which the run has the better words
    with Path(trace).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


# ------------------------------------------------------------------------------------------------

EXPERIMENTS: dict[str, Experiment] = {
    "train": Experiment(
        "Train a tiny MoE model (moe train)",
        TrainSettings,
        TrainFigures,
        _train,
        {"held_out_loss": LOWER, "max_vio": LOWER, "dropped": LOWER},
        _train_data,
    ),
    "lm": Experiment(
        "Train a small language model (moe lm train)",
        LMTrainSettings,
        LMFigures,
        train_lm,
        {"bits_per_byte": LOWER, "worst_max_vio": LOWER},
        _lm_data,
    ),
    "collapse": Experiment(
        "Why experts collapse: train with one thing changed",
        CollapseSettings,
        CollapseFigures,
        collapse,
        {"hottest_share": LOWER, "max_vio": LOWER, "held_out_loss": LOWER},
        _train_data,
    ),
    "lm_collapse": Experiment(
        "Why experts collapse in a language model: train with one thing changed",
        LMCollapseSettings,
        CollapseFigures,
        lm_collapse,
        {"hottest_share": LOWER, "max_vio": LOWER, "held_out_loss": LOWER},
        _lm_data,
    ),
    "lm_tokens": Experiment(
        "Where a language model sends its tokens: topic, token, and how soon it is settled",
        LMTokensSettings,
        LMTokensFigures,
        lm_tokens,
        {"token_last": HIGHER, "topic_last": HIGHER, "quarter_last": HIGHER},
        _lm_data,
    ),
    "interference": Experiment(
        "The angle between the gradients of the balance loss and of the task",
        InterferenceSettings,
        InterferenceFigures,
        interference,
        {"gate_cosine": HIGHER, "embedding_cosine": HIGHER, "held_out_loss": LOWER},
        _train_data,
    ),
    "reason": Experiment(
        "A cold start and rewards for right answers (moe lm reason)",
        ReasonSettings,
        ReasonFigures,
        reasoned,
        {"accuracy_last": HIGHER, "sampled_last": HIGHER, "zero_variance_last": LOWER},
    ),
    "distil": Experiment(
        "A mixture that teaches a smaller student (moe lm distil)",
        DistilRun,
        DistilFigures,
        distilled,
        {"gain": HIGHER, "gain_seconds": HIGHER, "taught": LOWER},
        lambda settings: CORPORA["default"]().sha256[:12],
    ),
    "prune": Experiment(
        "Experts taken away after training (moe prune)",
        PruneRun,
        PruneFigures,
        pruned,
        {"after": LOWER, "topic_after": LOWER, "rest_after": LOWER},
        _lm_data,
    ),
    "upcycle": Experiment(
        "More experts in the middle of a run",
        UpcycleRun,
        UpcycleFigures,
        upcycled,
        {"bits_per_byte": LOWER, "after": LOWER, "apart": HIGHER},
        _lm_data,
    ),
    "opportunistic": Experiment(
        "Further choices only from the experts that a batch reads anyway",
        OpportunisticRun,
        OpportunisticFigures,
        opportunistic,
        {"bits": LOWER, "experts": LOWER, "choices": HIGHER},
        _lm_data,
    ),
    "control": Experiment(
        "One controller of the load on frozen scores (the page on balance)",
        ControlRun,
        ControlFigures,
        ControlRun.figures,
        {"steady_error": LOWER, "swing": LOWER, "settled_after": LOWER},
    ),
    "switch": Experiment(
        "The load when the text changes: overshoot, settling, ripple",
        SwitchSettings,
        SwitchFigures,
        switch,
        {"settling": LOWER, "overshoot": LOWER, "ripple": LOWER},
        _train_data,
    ),
    "traits": Experiment(
        "Is a trained router dynamic, balanced and causal",
        TrainSettings,
        TraitFigures,
        traits,
        {"spread": HIGHER, "max_vio": LOWER, "changed": LOWER},
        _train_data,
    ),
    "savings": Experiment(
        "Counted cost of an MoE layer against dense ones (the page on savings)",
        SavingsSettings,
        SavingsFigures,
        _savings,
        {"flops_saved": HIGHER, "bytes_saved": HIGHER},
    ),
    "causality": Experiment(
        "Can the future change the past (moe routers --probe)",
        CausalityRun,
        CausalityFigures,
        CausalityRun.figures,
        {"changed": LOWER},
    ),
    "cost": Experiment(
        "What training a model costs (moe cost)",
        CostRun,
        CostFigures,
        CostRun.figures,
        {"dollars": LOWER, "gpu_hours": LOWER},
    ),
    "cluster": Experiment(
        "Experts on many GPUs: what moves, and how long it takes (moe cluster simulate)",
        ClusterSettings,
        ClusterFigures,
        _cluster,
        {"overlapped_us": LOWER, "dispatch_us": LOWER, "network_kb_per_token": LOWER},
        _cluster_data,
    ),
}
