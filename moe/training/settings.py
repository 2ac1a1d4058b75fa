"""What a training run is asked to do: a frozen set of options, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..balance import Balancer, balancer_kinds, make_balancer, make_balancer_for_run
from ..capacity import DROP_POLICIES, NO_LIMIT, Capacity
from ..data import TASKS, DialectsTask
from ..errors import check_choice, check_float, check_int
from ..experts import check_activation
from ..routers import ROUTERS, Router, make_router

PARTS = ("experts", "gate", "embedding")  # what `TrainSettings.freeze` may name


def option(default: Any, help_text: str) -> Any:
    """Return a dataclass field that carries its own help text."""
    return field(default=default, metadata={"help": help_text})


def suits(balance: str, router: str) -> bool:
    """Say whether a balancer, or several joined by '+', can act on a router."""
    return make_balancer(balance).fits(make_router(router))


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one run; the defaults show collapse within seconds on two cores.

    The same fields are the command line's flags, the app's controls and a run's JSON; what each
    means is its field's `help`.
    """

    task: str = option("text", "What to learn: a key of moe.data.TASKS.")
    router: str = option("topk", "How tokens choose experts: a key of moe.ROUTERS.")
    k: int = option(2, "Experts per token, for routers that take it.")
    balance: str = option(
        "none",
        "What keeps the load even: a key of moe.BALANCERS, or several joined by '+', each with "
        "options in brackets if wanted, as in 'bias+aux(scope=sequence)'.",
    )
    balance_rate: float | None = option(
        None, "Its strength (of several, the first one's); by default one for short runs."
    )
    n_experts: int = option(16, "Routed experts.")
    d_model: int = option(64, "Width of a token's vector.")
    d_expert: int = option(64, "Width inside an expert.")
    n_shared: int = option(0, "Shared experts, which every token uses.")
    activation: str = option("swiglu", "What an expert computes: swiglu, gelu or relu.")
    capacity_factor: float | None = option(None, "Room per expert over the fair share.")
    drop: str = option("none", f"How places are given out: {', '.join(DROP_POLICIES)}.")
    steps: int = option(300, "Training steps.")
    batch: int = option(1024, "Tokens per step.")
    sequence_length: int = option(
        1, "Neighbouring tokens of text that stay together in a batch: its sequences."
    )
    context: int = option(6, "Tokens that the model sees; of text, its bytes.")
    learning_rate: float = option(1e-2, "Adam's step size.")
    seed: int = option(0, "Same seed, same bits, at any number of threads.")
    text: str | None = option(None, "Path of your own text file to learn from.")
    freeze: str = option(
        "none",
        f"Parts that stay as they began: {', '.join(PARTS)}, or several joined by '+', or none.",
    )

    def __post_init__(self) -> None:
        check_choice("task", self.task, TASKS)
        check_choice("router", self.router, ROUTERS)
        balancer_kinds(self.balance)
        check_activation(self.activation)
        check_choice("drop", self.drop, DROP_POLICIES)
        check_int("n_experts", self.n_experts, 1, 1024)
        check_int("k", self.k, 1, self.n_experts, f"n_experts is {self.n_experts}")
        check_int("d_model", self.d_model, 1, 4096)
        check_int("d_expert", self.d_expert, 1, 16384)
        check_int("n_shared", self.n_shared, 0, 64)
        check_int("steps", self.steps, 1, 1_000_000)
        check_int("batch", self.batch, 1, 1 << 20)
        check_int("sequence_length", self.sequence_length, 1, 1024)
        if self.batch % self.sequence_length:
            raise ValueError(
                f"sequence_length: got {self.sequence_length}, allowed is a divisor of batch "
                f"({self.batch})"
            )
        planted = self.task == DialectsTask.name
        check_int("context", self.context, DialectsTask.least if planted else 1, 64)
        check_int("seed", self.seed, 0)
        check_float("learning_rate", self.learning_rate, 0.0, 1.0, open_low=True)
        for part in self.frozen_parts():
            check_choice("freeze", part, PARTS)
        if self.balance_rate is not None:
            check_float("balance_rate", self.balance_rate, 0.0)
        if self.capacity_factor is not None:
            check_float("capacity_factor", self.capacity_factor, 0.0, open_low=True)
        if (self.capacity_factor is None) != (self.drop == "none"):
            raise ValueError(
                f"drop: got {self.drop!r} with capacity_factor {self.capacity_factor}, allowed is "
                "'none' without a capacity_factor, or another policy with one"
            )
        self.make_balancer()
        if not suits(self.balance, self.router):
            fit = [name for name in ROUTERS if suits(self.balance, name)]
            raise ValueError(
                f"balance: got {self.balance!r} with router {self.router!r}, allowed is "
                f"it with one of {', '.join(fit)}"
            )
        self.make_capacity().check(self.make_router(), self.n_experts)

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
