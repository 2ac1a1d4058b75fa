"""One file per balancing method; `BALANCERS` is the registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from ..errors import check_choice
from ..registry import collect
from .aux import SCALES, Scale
from .base import BalanceLoss, Balancer, affinity
from .joined import Sum, parse

# One line per method: the file that defines it, in the order of the menus.
FILES = (
    "none",
    "aux",
    "bias",
    "quantile",
    "pi",
    "smebu",
    "cutoff_ema",
    "importance_load",
    "z",
    "device_loss",
    "communication",
    "entropy",
    "l1",
    "zero_computation",
    "zero_weighted",
    "simple_diverse",
    "simbal",
)
BALANCERS = collect(Balancer, __name__, FILES)


def balancer_kinds(words: str) -> list[type[Balancer]]:
    """Classes of one balancer, or of several joined by '+'.

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    return [BALANCERS[check_choice("balance", name, BALANCERS)] for name, _ in parse(words)]


def balancer_title(words: str) -> str:
    """Readable name of one balancer, or of several joined by '+'."""
    return " + ".join(kind.title for kind in balancer_kinds(words))


def make_balancer(name: str, **options: Any) -> Balancer:
    """Return a balancer by registry name, or the sum of several: 'bias+aux'.

    Parameters
    ----------
    name
        A key of `BALANCERS`, or several joined by '+'. Each may carry options of its own:
        'bias(form=proportional)+aux(scope=sequence, sequence_length=64)'.
    **options
        Fields of that balancer; of several, each goes to every one that has it, unless the name
        sets it.

    Raises
    ------
    ValueError
        If a name, an option's name or its value is not allowed.
    """
    kinds = balancer_kinds(name)
    known = sorted({option for kind in kinds for option in _options(kind)})
    for option in options:
        if option not in known:
            _refuse(name, option, known if len(kinds) > 1 else _options(kinds[0]))
    return _make(name, [options] * len(kinds))


def make_balancer_for_run(name: str, rate: float | None, run: Mapping[str, Any]) -> Balancer:
    """Return a balancer at its strength for runs of hundreds of steps.

    Parameters
    ----------
    name
        As in `make_balancer`.
    rate
        Strength, of several the first one's; None: each one's `short_run_rate`.
    run
        What is known of the run, such as its k: options for those that take them.

    Raises
    ------
    ValueError
        If a name, an option's name or its value is not allowed.
    """
    given = []
    for place, kind in enumerate(balancer_kinds(name)):
        rates = {}
        if kind.rate_name:
            given_rate = rate is not None and place == 0
            rates = {kind.rate_name: rate if given_rate else kind.short_run_rate}
        given.append(dict(run) | rates)
    return _make(name, given)


def _make(name: str, given: Sequence[Mapping[str, Any]]) -> Balancer:
    """Return the named balancers with those given options that they have; the name's win."""
    parts = []
    for kind, (_, stated), more in zip(balancer_kinds(name), parse(name), given, strict=True):
        known = _options(kind)
        for option in stated:
            if option not in known:
                _refuse(kind.name, option, known)
        parts.append(kind(**{n: v for n, v in more.items() if n in known} | stated))
    return parts[0] if len(parts) == 1 else Sum(tuple(parts))


def _options(kind: type[Balancer]) -> list[str]:
    return [field.name for field in fields(kind)]


def _refuse(name: str, option: str, known: list[str]) -> None:
    raise ValueError(
        f"option of balancer {name}: got {option!r}, "
        f"allowed is {'one of ' + ', '.join(known) if known else 'none'}"
    )


__all__ = [
    "BALANCERS",
    "SCALES",
    "BalanceLoss",
    "Balancer",
    "Scale",
    "Sum",
    "affinity",
    "balancer_kinds",
    "balancer_title",
    "make_balancer",
    "make_balancer_for_run",
]
