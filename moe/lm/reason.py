"""A run that learns to reason: cold start, reinforcement learning, and its records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from time import perf_counter
from types import MappingProxyType
from typing import Any

import numpy as np

from ..balance import make_balancer
from ..optim import AdamW, Optimizer
from ..settings import Settings, option
from .config import LMConfig
from .model import LanguageModel
from .optimizers import make_optimizer
from .reinforce import Difference, has_variance, imitate, learn
from .replay import rounded_gates
from .rollouts import Rollouts, Written, roll_out
from .schedule import rate_share
from .settings import LMTrainSettings
from .tasks import FILL, SIGNS, TASKS, Problems, Task

COLD, RL, BEST = "cold", "rl", "best"  # stages
PLANS = (f"{COLD}+{RL}", f"{COLD}+{RL}+{BEST}+{RL}", COLD)
BALANCE_RATE = 1e-2
MUON_RATE, COLD_RATE = 0.02, 5e-3
LOOK = 10  # supervised steps between two looks at whether a cold start may end
BEST_BATCHES = 20  # batches of samples from which the best are taken
SHOWN = 4  # answers that a record shows

# What each task needs, where the settings name nothing else.
DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "mod5": {
            "iterations": 24, "prompts": 24, "cold_steps": 160, "check_every": 1, "warm_up": 0,
            "decay": 0.0,
        },
        "addition": {
            "iterations": 400, "prompts": 32, "cold_steps": 400, "cold_until": 0.3,
            "check_every": 20, "warm_up": 10, "decay": 0.5,
        },
    }
)  # fmt: skip


@dataclass(frozen=True)
class ReasonSettings(Settings):
    """Settings of a run; what each means is its `help`.

    Where a default is None, it is that of the task, in `DEFAULTS`.
    """

    task: str = option("mod5", "What is learnt: a key of moe.lm.tasks.TASKS.", among=TASKS)
    seed: int = option(0, "Same seed, same bits, at any number of threads.", low=0)
    plan: str = option(f"{COLD}+{RL}", "Stages, one after the other.", among=PLANS)
    iterations: int | None = option(
        None, "Iterations of each stage of reinforcement learning.", low=1, high=100_000
    )
    prompts: int | None = option(None, "Problems of an iteration.", low=1, high=4096)
    samples: int = option(16, "Answers to each problem.", low=2, high=1024)
    rate: float = option(1e-3, "AdamW's highest rate on rewards.", low=0, high=1, open_low=True)
    warm_up: int | None = option(None, "Iterations over which the rate rises.", low=0)
    decay: float | None = option(
        None, "Last share of a stage's iterations, over which the rate falls to 0.", low=0, high=1
    )
    entropy_bonus: float = option(0.0, "Factor of the mean entropy, made larger.", low=0, high=10)
    drop: bool = option(True, "Whether groups of equal rewards are left out of a step.")
    balance: bool = option(True, "Whether a bias keeps the experts' load even.")
    cold_steps: int | None = option(
        None, "Supervised steps before the rewards, at most.", low=1, high=100_000
    )
    cold_until: float | None = option(
        None, "Share of right samples at which they end; by default the task's.", low=0, high=1
    )
    cold_batch: int = option(96, "Demonstrations of a supervised step.", low=1, high=4096)
    cold_problems: int | None = option(
        None, "Demonstrations in all, seen again and again; by default always fresh ones.", low=1
    )
    thinking: float = option(0.2, "Share of demonstrations that show their steps.", low=0, high=1)
    best_steps: int = option(40, "Steps of fine-tuning on the best samples.", low=1)
    check_every: int | None = option(None, "Iterations between two examinations.", low=1)
    examined: int = option(512, "Held-out problems of an examination.", low=1, high=2000)
    gate_bits: int | None = option(
        None, "Bits of the mantissa of the gates that sample; 7 are bfloat16's.", low=1, high=23
    )
    replay: bool = option(False, "Whether training routes as the sampler did.")

    def filled(self) -> ReasonSettings:
        """These settings, with the task's own where none are named."""
        own = DEFAULTS[self.task].items()
        return replace(self, **{name: one for name, one in own if getattr(self, name) is None})

    @property
    def model(self) -> LMConfig:
        """The model, two layers of eight experts."""
        return LMConfig(n_vocab=len(SIGNS), context=32, n_experts=8)


@dataclass(frozen=True)
class ColdStep:
    """One supervised step.

    Attributes
    ----------
    stage
        'cold', or 'best' for fine-tuning on the best samples.
    step
        From 0, in its stage.
    loss
        Cross-entropy per sign, in nats.
    seconds
        Since the run began, by the clock.
    """

    stage: str
    step: int
    loss: float
    seconds: float

    def words(self) -> str:
        """The step in a line."""
        named = {COLD: "cold start", BEST: "fine-tuning on the best samples"}[self.stage]
        return f"{named}, step {self.step + 1}, loss {self.loss:.3f} nats"


@dataclass(frozen=True)
class Iteration:
    """What the policy does after so many updates by rewards.

    Attributes
    ----------
    iteration
        Updates by rewards so far.
    accuracy
        Share of held-out problems that the policy answers rightly, greedily, at the last
        examination.
    examined
        Whether that was at this iteration.
    sampled
        Share of right answers among the samples of this iteration, at temperature 1.
    length
        Signs in front of the end sign, mean over the samples.
    thinks
        Share of the samples that write something in front of the answer.
    right_thinking, right_at_once
        Share of right ones among samples that do, and that do not; None if there are none.
    zero_variance
        Share of groups whose rewards are all equal, which teach nothing.
    entropy
        Of the next sign, in nats, mean over what was sampled.
    max_vio, max_vio_layers
        Of the experts' load while sampling: the largest of all layers, and of each.
    chance_difference, routing_difference
        Between trainer and sampler, see `Difference`; None where nothing was learnt.
    seconds
        Since the run began, by the clock, everything included.
    samples
        Some answers as text.
    """

    iteration: int
    accuracy: float
    examined: bool
    sampled: float
    length: float
    thinks: float
    right_thinking: float | None
    right_at_once: float | None
    zero_variance: float
    entropy: float
    max_vio: float
    max_vio_layers: tuple[float, ...]
    chance_difference: float | None
    routing_difference: float | None
    seconds: float
    samples: tuple[str, ...]

    def words(self) -> str:
        """What the policy does, in a line."""
        return (
            f"iteration {self.iteration}: {self.accuracy:.1%} right (held out, greedy), "
            f"{self.sampled:.1%} sampled, {self.length:.1f} signs, {self.thinks:.0%} think, "
            f"MaxVio {self.max_vio:.2f}, {self.seconds:.1f} s"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for `json.dumps`."""
        return asdict(self)


class ReasonRun:
    """A policy that learns a task; `run` yields what it does, step by step.

    Parameters
    ----------
    settings
        The run.

    Attributes
    ----------
    settings
        With the task's own values where none were named.
    task, model
        What is learnt, and the policy.
    """

    def __init__(self, settings: ReasonSettings) -> None:
        self.settings = settings = settings.filled()
        self.task: Task = TASKS[settings.task]
        balancer = make_balancer("bias", rate=BALANCE_RATE) if settings.balance else None
        self.model = LanguageModel.init(settings.model, settings.seed, balancer=balancer)
        seeds = np.random.SeedSequence(settings.seed).spawn(3)
        self._demonstrations, self._problems, self._samples = map(np.random.default_rng, seeds)
        self._start = perf_counter()
        self._iteration, self._accuracy, self._examined = 0, 0.0, False

    def run(self) -> Iterator[ColdStep | Iteration]:
        """Yield every step of the plan's stages; the last record's policy is the finished one."""
        stages: dict[str, Callable[[], Iterator[ColdStep | Iteration]]]
        stages = {COLD: self._cold_start, RL: self._reinforce, BEST: self._best_samples}
        self._start = perf_counter()
        for stage in self.settings.plan.split("+"):
            yield from stages[stage]()
        self._examine(last=True)
        yield self._record(self._sample(), None)

    def examine(self) -> float:
        """Share of held-out problems that the model answers rightly, greedily."""
        exam = self.task.examination(self.settings.examined)
        rolled = roll_out(self.model, self.task, exam, self._samples, temperature=0.0)
        return float(rolled.reward_B.mean())

    # Stages ---------------------------------------------------------------------------------------

    def _cold_start(self) -> Iterator[ColdStep]:
        settings, rng = self.settings, self._demonstrations
        pool = None
        if settings.cold_problems is not None:
            pool = self._demonstrate(self.task.draw(rng, settings.cold_problems))
        assert settings.cold_steps is not None
        optimizer = make_optimizer(cold_settings(settings), self.model.arrays())
        for step in self._imitate(COLD, settings.cold_steps, optimizer, pool):
            yield step
            until = settings.cold_until
            if until and (step.step + 1) % LOOK == 0 and self._share_right() >= until:
                return

    def _best_samples(self) -> Iterator[ColdStep]:
        """Supervised steps on right answers of the policy itself, the first to each problem."""
        best = [_first_right(self._sample()) for _ in range(BEST_BATCHES)]
        pool = Written(
            Problems.join([one.problems for one in best]),
            np.concatenate([_widened(one.written_BS, self.task.n_new) for one in best]),
        )
        if len(pool.problems):
            optimizer = AdamW(self.settings.rate, beta2=0.95)
            yield from self._imitate(BEST, self.settings.best_steps, optimizer, pool)

    def _imitate(
        self, stage: str, steps: int, optimizer: Optimizer, pool: Written | None
    ) -> Iterator[ColdStep]:
        """Supervised steps on answers of a pool, or on demonstrations that are always fresh."""
        rng, n = self._demonstrations, self.settings.cold_batch
        for step in range(steps):
            if pool is None:
                shown = self._demonstrate(self.task.draw(rng, n))
            else:
                shown = pool.select(rng.integers(len(pool.problems), size=n))
            loss = imitate(self.model, optimizer, shown)
            yield ColdStep(stage, step, loss, perf_counter() - self._start)

    def _reinforce(self) -> Iterator[Iteration]:
        settings = self.settings
        optimizer = AdamW(settings.rate, beta2=0.95)
        steps, warm_up, decay = settings.iterations, settings.warm_up, settings.decay
        assert steps is not None and warm_up is not None and decay is not None
        for step in range(steps):
            optimizer.rate = settings.rate * rate_share(step, steps, warm_up, decay)
            rolled = self._sample()
            self._examine(last=False)
            varied_G = has_variance(rolled.reward_GT)
            taught = rolled.groups(varied_G) if settings.drop else rolled
            found = None
            if len(taught.problems):
                found = learn(
                    self.model, optimizer, taught, settings.entropy_bonus, settings.replay
                )
            yield self._record(rolled, found)
            self._iteration += 1

    def _share_right(self) -> float:
        """Share of right samples, one for each of as many problems as an examination has."""
        problems = self.task.draw(self._problems, self.settings.examined)
        return float(roll_out(self.model, self.task, problems, self._samples).reward_B.mean())

    @property
    def n_steps(self) -> int:
        """Records of the whole plan, at most."""
        settings = self.settings
        assert settings.cold_steps is not None and settings.iterations is not None
        lengths = {COLD: settings.cold_steps, RL: settings.iterations, BEST: settings.best_steps}
        return sum(lengths[stage] for stage in settings.plan.split("+")) + 1

    def _demonstrate(self, problems: Problems) -> Written:
        written_BS = self.task.demonstrate(problems, self._demonstrations, self.settings.thinking)
        return Written(problems, written_BS)

    def _sample(self) -> Rollouts:
        """Answers of the policy, or of its copy that rounds, to problems that are not held out."""
        settings, policy = self.settings, self.model
        assert settings.prompts is not None
        if settings.gate_bits is not None:
            policy = rounded_gates(policy, settings.gate_bits)
        problems = self.task.draw(self._problems, settings.prompts)
        return roll_out(policy, self.task, problems, self._samples, settings.samples)

    def _examine(self, last: bool) -> None:
        every = self.settings.check_every
        assert every is not None
        self._examined = last or self._iteration % every == 0
        if self._examined:
            self._accuracy = self.examine()

    def _record(self, rolled: Rollouts, found: Difference | None) -> Iteration:
        thinks_B, right_B = rolled.scratch_B > 0, rolled.reward_B
        max_vio = tuple(rolled.max_vio(self.settings.model.n_experts))
        return Iteration(
            iteration=self._iteration,
            accuracy=self._accuracy,
            examined=self._examined,
            sampled=float(right_B.mean()),
            length=float(rolled.length_B.mean()),
            thinks=float(thinks_B.mean()),
            right_thinking=float(right_B[thinks_B].mean()) if thinks_B.any() else None,
            right_at_once=float(right_B[~thinks_B].mean()) if not thinks_B.all() else None,
            zero_variance=float(1 - has_variance(rolled.reward_GT).mean()),
            entropy=rolled.entropy,
            max_vio=max(max_vio),
            max_vio_layers=max_vio,
            chance_difference=None if found is None else found.chance,
            routing_difference=None if found is None else found.routing,
            seconds=perf_counter() - self._start,
            samples=tuple(rolled.texts(SHOWN)),
        )


def cold_settings(settings: ReasonSettings) -> LMTrainSettings:
    """How a cold start learns: Muon for the matrices of the blocks, AdamW for the rest."""
    model = {one.name: getattr(settings.model, one.name) for one in fields(LMConfig)}
    return LMTrainSettings(
        **model, optimizer="muon", muon_rate=MUON_RATE, learning_rate=COLD_RATE, seed=settings.seed
    )


def _first_right(rolled: Rollouts) -> Written:
    """The first right answer to each problem that has one."""
    right_GT = rolled.reward_GT > 0
    first_G = right_GT.argmax(axis=1) + np.arange(len(right_GT)) * rolled.times
    return rolled.select(first_G[right_GT.any(axis=1)])


def _widened(written_BS: np.ndarray, n_signs: int) -> np.ndarray:
    missing = n_signs - written_BS.shape[1]
    return np.pad(written_BS, ((0, 0), (0, missing)), constant_values=FILL)
