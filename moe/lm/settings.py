"""What a language model's training is asked to do: a frozen set of options."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from ..balance import Balancer, balancer_kinds, make_balancer_for_run
from ..settings import option
from .config import LMConfig
from .data import CORPORA

OPTIMIZERS = ("adamw", "muon")
DENSE = ("none", "active", "total")


@dataclass(frozen=True)
class LMTrainSettings(LMConfig):
    """Settings of one run: those of the model, and how it learns.

    The same fields are the command line's flags and a run's file; what each means is its `help`.
    """

    dense: str = option(
        "none",
        "Train a dense model instead: as wide as a token's experts (active), or all (total).",
        among=DENSE,
    )
    corpus: str = option("default", "Text to learn: a key of moe.lm.data.CORPORA.", among=CORPORA)
    text: str | None = option(None, "Path of your own text file to learn from.")
    steps: int = option(400, "Training steps.", low=1, high=10_000_000)
    batch: int = option(32, "Sequences per step.", low=1, high=1 << 16)
    optimizer: str = option("adamw", "What steps the weights: adamw or muon.", among=OPTIMIZERS)
    learning_rate: float = option(
        1e-2, "AdamW's highest rate, with Muon too, of what Muon leaves out.",
        low=0, high=1, open_low=True,
    )  # fmt: skip
    muon_rate: float = option(
        2e-2, "Muon's highest rate, of the blocks' matrices.", low=0, high=1, open_low=True
    )
    warm_up: int = option(20, "Steps over which rates rise from zero.", low=0)
    decay: float = option(
        0.5, "Last share of the steps, over which rates fall to zero.", low=0, high=1
    )
    weight_decay: float = option(
        0.0, "Share of itself, times the rate, that a matrix loses.", low=0
    )
    clip: float = option(1.0, "Largest norm of the gradient that AdamW sees; 0 for none.", low=0)
    balance: str = option(
        "aux", "What keeps the load even: a key of moe.BALANCERS, or several joined by '+'."
    )
    balance_rate: float | None = option(
        None, "Its strength (of several, the first one's); by default one for short runs.", low=0
    )
    balance_decay: bool = option(True, "Whether a bias's steps shrink as the rates fall.")
    eval_every: int = option(
        0, "Steps between looks at held-out text; 0 for one at the end only.", low=0
    )
    seed: int = option(0, "Same seed, same bits, at any number of threads.", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        balancer_kinds(self.balance)
        if self.n_experts and not self.make_balancer().fits(self.make_router()):
            raise ValueError(
                f"balance: got {self.balance!r} with router {self.router!r}, allowed is one that "
                "fits it"
            )
        if self.dense != "none" and not self.n_experts:
            raise ValueError(
                f"dense: got {self.dense!r} with n_experts 0, allowed are the sizes of the mixture "
                "to compare with"
            )

    @property
    def model(self) -> LMConfig:
        """The model's own part, dense if that is what is trained."""
        given = LMConfig(**{one.name: getattr(self, one.name) for one in fields(LMConfig)})
        if self.dense == "none":
            return given
        n_wide = {"active": self.k, "total": self.n_experts}[self.dense] + self.n_shared
        return replace(given, n_experts=0, n_dense=0, n_shared=0, d_dense=n_wide * self.d_expert)

    @property
    def training(self) -> LMTrainSettings:
        """The run alone, without what a study adds to its settings."""
        names = [one.name for one in fields(LMTrainSettings)]
        return LMTrainSettings(**{name: getattr(self, name) for name in names})

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one step."""
        return self.batch * self.context

    def make_balancer(self) -> Balancer:
        """Return the balancer that these settings name, at its strength for short runs."""
        run = {"k": self.k, "sequence_length": self.context}
        return make_balancer_for_run(self.balance, self.balance_rate, run)
