"""What a training run is asked to do: a frozen set of options, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass

from ..balance import Balancer, balancer_kinds, make_balancer, make_balancer_for_run
from ..capacity import DROP_POLICIES, NO_LIMIT, Capacity
from ..data import TASKS, DialectsTask
from ..errors import check_choice, check_int
from ..experts import check_activation
from ..fresh import GATE_INITS
from ..routers import ROUTERS, Router, make_router
from ..settings import Settings, option

PARTS = ("experts", "gate", "embedding")  # what `TrainSettings.freeze` may name


def suits(balance: str, router: str) -> bool:
    """Say whether a balancer, or several joined by '+', can act on a router."""
    return make_balancer(balance).fits(make_router(router))


@dataclass(frozen=True)
class TrainSettings(Settings):
    """Settings of one run; the defaults show collapse within seconds on two cores.

    The same fields are the command line's flags, the app's controls and a run's JSON; what each
    means is its field's `help`.
    """

    task: str = option("text", "What to learn: a key of moe.data.TASKS.", among=TASKS)
    router: str = option("topk", "How tokens choose experts: a key of moe.ROUTERS.", among=ROUTERS)
    k: int = option(2, "Experts per token, for routers that take it.", low=1, high="n_experts")
    balance: str = option(
        "none",
        "What keeps the load even: a key of moe.BALANCERS, or several joined by '+', each with "
        "options in brackets if wanted, as in 'bias+aux(scope=sequence)'.",
    )
    balance_rate: float | None = option(
        None, "Its strength (of several, the first one's); by default one for short runs.", low=0
    )
    n_experts: int = option(16, "Routed experts.", low=1, high=1024)
    d_model: int = option(64, "Width of a token's vector.", low=1, high=4096)
    d_expert: int = option(64, "Width inside an expert.", low=1, high=16384)
    n_shared: int = option(0, "Shared experts, which every token uses.", low=0, high=64)
    activation: str = option("swiglu", "What an expert computes: swiglu, gelu or relu.")
    capacity_factor: float | None = option(
        None, "Room per expert over the fair share.", low=0, open_low=True
    )
    drop: str = option(
        "none", f"How places are given out: {', '.join(DROP_POLICIES)}.", among=DROP_POLICIES
    )
    steps: int = option(300, "Training steps.", low=1, high=1_000_000)
    batch: int = option(1024, "Tokens per step.", low=1, high=1 << 20)
    sequence_length: int = option(
        1,
        "Neighbouring tokens of text that stay together in a batch: its sequences.",
        low=1,
        high=1024,
    )
    context: int = option(6, "Tokens that the model sees; of text, its bytes.", low=1, high=64)
    learning_rate: float = option(1e-2, "Adam's step size.", low=0, high=1, open_low=True)
    seed: int = option(0, "Same seed, same bits, at any number of threads.", low=0)
    text: str | None = option(None, "Path of your own text file to learn from.")
    freeze: str = option(
        "none",
        f"Parts that stay as they began: {', '.join(PARTS)}, or several joined by '+', or none.",
    )

    gate_init: str = option(
        "normal",
        "How the gate's columns start: as drawn, equally long, or orthonormal.",
        among=GATE_INITS,
    )
    d_latent: int = option(
        0, "Width of what routed experts get and give; 0 for d_model.", low=0, high=4096
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        balancer_kinds(self.balance)
        check_activation(self.activation)
        if self.batch % self.sequence_length:
            raise ValueError(
                f"sequence_length: got {self.sequence_length}, allowed is a divisor of batch "
                f"({self.batch})"
            )
        if self.task == DialectsTask.name:
            check_int("context", self.context, DialectsTask.least, 64)
        for part in self.frozen_parts():
            check_choice("freeze", part, PARTS)
        if (self.capacity_factor is None) != (self.drop == "none"):
            raise ValueError(
                f"drop: got {self.drop!r} with capacity_factor {self.capacity_factor}, allowed is "
                "'none' without a capacity_factor, or another policy with one"
            )
        balancer, router = self.make_balancer(), self.make_router()
        if not balancer.fits(router):
            fit = [name for name in ROUTERS if suits(self.balance, name)]
            raise ValueError(
                f"balance: got {self.balance!r} with router {self.router!r}, allowed is "
                f"it with one of {', '.join(fit)}"
            )
        self.make_capacity().check(router, self.n_experts)
        if self.gate_init == "orthonormal":
            check_int("n_experts", self.n_experts, 1, self.d_model, "columns at right angles")

    def frozen_parts(self) -> tuple[str, ...]:
        """Return the parts that do not learn."""
        return () if self.freeze == "none" else tuple(self.freeze.split("+"))

    def make_router(self) -> Router:
        """Return the router that these settings name."""
        takes_k = "k" in make_router(self.router).options()
        return make_router(self.router, **({"k": self.k} if takes_k else {}))

    def make_balancer(self) -> Balancer:
        """Return the balancer that these settings name, at its strength for short runs.

        Balancers that take `k` or `sequence_length` get this run's, unless the name sets them.
        """
        run = {"k": self.k, "sequence_length": self.sequence_length}
        return make_balancer_for_run(self.balance, self.balance_rate, run)

    def make_capacity(self) -> Capacity:
        """Return the capacity that these settings name."""
        if self.capacity_factor is None:
            return NO_LIMIT
        return Capacity(self.capacity_factor, self.drop)
