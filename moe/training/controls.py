"""Controls of a run that may change while it goes on, and what each may be set to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..data import Task, TextTask, load_corpus, make_task
from ..data.corpus import DOMAINS
from ..data.planar import PLANAR_TASKS
from ..errors import check_choice, check_float, check_int, shown
from .settings import TrainSettings

# What the visitor's word means: a balancer and its strength. The gentle loss is too weak for a run
# of hundreds of steps; the strong one evens the work at once and costs loss; both are measured by
# tests/training/test_live.py. DeepSeek's is the bias at its strength for short runs.
BALANCING: dict[str, tuple[str, float | None]] = {
    "off": ("none", None),
    "gentle": ("aux", 0.01),
    "strong": ("aux", 100.0),
    "deepseek": ("bias", None),
}
ALL_TEXTS = "all"
DROP = "random"  # by position, the first tokens of a batch, which are shown, would lose nothing
MOST_OFF = 64


@dataclass(frozen=True)
class Controls:
    """Where the controls of a run stand.

    Attributes
    ----------
    settings
        The run's settings as they are now, with all its experts.
    off
        Experts that are switched off, in rising order.
    domain
        A key of `moe.data.DOMAINS`, or 'all'; for the task 'text'.
    """

    settings: TrainSettings
    off: tuple[int, ...] = ()
    domain: str = ALL_TEXTS

    names: ClassVar[tuple[str, ...]] = (
        "balancing", "balance", "router", "k", "room", "off", "text", "task", "vector",
    )  # fmt: skip

    @property
    def on(self) -> np.ndarray:
        """Experts that may be chosen, in rising order."""
        return np.setdiff1d(np.arange(self.settings.n_experts), self.off)

    @property
    def live(self) -> TrainSettings:
        """Settings of the run as if the experts that are off did not exist."""
        return replace(self.settings, n_experts=self.settings.n_experts - len(self.off))

    def changed(self, control: str, value: Any) -> Controls:
        """Return the controls after one of them was set.

        Parameters
        ----------
        control, value
            'balancing': a key of `BALANCING`. 'balance' and 'router': registry names. 'k':
            experts per token; a single one is chosen by `switch`, since `topk` would not learn
            its gate. 'room': room per expert over the fair share, None for no limit. 'off': the
            experts that are switched off. 'text': a domain, or 'all'. 'task': another planar task
            with the same outputs. 'vector': (expert, its new router vector of d_model numbers).

        Raises
        ------
        ValueError
            Naming the control, what was given and what is allowed.
        """
        check_choice("control", control, self.names)
        new: Controls = getattr(self, f"_{control}")(value)
        new.live  # noqa: B018 - made for its checks: experts that are off leave less room for k
        return new

    def task(self) -> Task:
        """Make the task that these controls name."""
        now = self.settings
        if now.task == TextTask.name and self.domain != ALL_TEXTS:
            return TextTask(load_corpus((self.domain,)), now.context)
        return make_task(now.task, now.context, now.text)

    def _with(self, **changes: Any) -> Controls:
        return replace(self, settings=replace(self.settings, **changes))

    def _balancing(self, value: Any) -> Controls:
        check_choice("balancing", value, BALANCING)
        balance, rate = BALANCING[value]
        return self._with(balance=balance, balance_rate=rate)

    def _balance(self, value: Any) -> Controls:
        if not isinstance(value, str):
            raise ValueError(f"balance: got {shown(value)}, allowed is a balancer's name")
        return self._with(balance=value, balance_rate=None)

    def _router(self, value: Any) -> Controls:
        return self._with(router=value)

    def _k(self, value: Any) -> Controls:
        most = self.settings.n_experts - len(self.off)
        k = check_int("k", value, 1, most, "experts that are switched on")
        router = self.settings.router
        if router in ("topk", "switch"):
            router = router_for(k)
        return self._with(k=k, router=router)

    def _room(self, value: Any) -> Controls:
        if value is None:
            return self._with(capacity_factor=None, drop="none")
        room = check_float("room", value, 0.0, 64.0, open_low=True)
        return self._with(capacity_factor=float(room), drop=DROP)

    def _off(self, value: Any) -> Controls:
        if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray | set | frozenset):
            raise ValueError(f"off: got {shown(value)}, allowed is a list of experts")
        now = self.settings
        router = now.make_router()
        most = now.n_experts - len(router.specials) - 1
        experts = sorted(check_int("off", expert, 0, most) for expert in value)
        if len(set(experts)) < len(experts):
            raise ValueError(f"off: got {shown(experts)}, allowed is each expert once")
        if len(experts) > min(now.n_experts - now.k, MOST_OFF):
            raise ValueError(
                f"off: got {len(experts)} of {now.n_experts} experts, allowed are at most "
                f"{now.n_experts - now.k}, since each token uses {now.k}"
            )
        if router.name == "soft" or any("EE" in name for name in router.choice_params):
            raise ValueError(
                f"off: got {shown(experts)} with router {router.name!r}, allowed is a router "
                "whose parameters belong to single experts"
            )
        return replace(self, off=tuple(experts))

    def _text(self, value: Any) -> Controls:
        if self.settings.task != TextTask.name or self.settings.text is not None:
            raise ValueError(
                f"text: got {shown(value)} with task {self.settings.task!r}, allowed is a change "
                "of the built-in text"
            )
        return replace(self, domain=check_choice("text", value, (ALL_TEXTS, *DOMAINS)))

    def _task(self, value: Any) -> Controls:
        now = PLANAR_TASKS.get(self.settings.task)
        alike = [
            name
            for name, task in PLANAR_TASKS.items()
            if now and (task.n_classes, task.n_outputs) == (now.n_classes, now.n_outputs)
        ]
        return self._with(task=check_choice("task", value, alike or [self.settings.task]))

    def _vector(self, value: Any) -> Controls:
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
            raise ValueError(f"vector: got {shown(value)}, allowed is (expert, numbers)")
        expert, numbers = value
        check_int("vector: expert", expert, 0, self.settings.n_experts - 1)
        if expert in self.off:
            raise ValueError(f"vector: got expert {expert}, allowed is one that is switched on")
        given = np.ravel(np.asarray(numbers, object))
        if given.size != self.settings.d_model:
            raise ValueError(
                f"vector: got {given.size} numbers, allowed are {self.settings.d_model} (d_model)"
            )
        for number in given:
            check_float("vector", number, -1e6, 1e6)
        if "gate" not in self.settings.make_router().projections:
            raise ValueError(
                f"vector: got router {self.settings.router!r}, allowed is one with a gate"
            )
        return self


def router_for(k: int) -> str:
    """Router whose gate learns with k experts per token: one weight over itself is always 1."""
    return "switch" if k == 1 else "topk"
