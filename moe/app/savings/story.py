"""What the counted and the measured costs say, in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ...numbers import plural
from ...speed.machine import Machine
from ...studies.savings import ACTIVE, TOTAL, CountedCost, MeasuredCost, SavingsSettings, count
from ..shared.question import Question, closest

PARTS = {"1": "All of it", "2": "Half of it", "8": "An eighth of it", "64": "Hardly any of it"}


@lru_cache(maxsize=1024)  # a slider that is let go leaves its own positions as they were
def costs(settings: SavingsSettings) -> tuple[CountedCost, ...]:
    """Counted cost of the MoE layer and both dense yardsticks."""
    return tuple(count(settings))


def times_fewer(settings: SavingsSettings) -> float:
    """Operations of the dense layer that stores as much, over those of the MoE."""
    moe, total, _ = costs(settings)
    return total.flops_per_token / moe.flops_per_token


def question(settings: SavingsSettings) -> Question:
    """Ask how much work is left."""
    return Question(
        f"Each token uses {settings.k} of {settings.n_experts} experts. How much of the work of "
        "all of them is that?",
        PARTS,
        by="the count",
    )


def truth(settings: SavingsSettings) -> str:
    """Which answer of `question` is nearest."""
    return closest({name: float(name) for name in PARTS}, times_fewer(settings))


def count_words(settings: SavingsSettings) -> str:
    """What the counted costs say, in a sentence or two."""
    fewer = times_fewer(settings)
    shared = f" and {settings.n_shared} that all share" if settings.n_shared else ""
    work = (
        f"{fewer:.1f} times fewer operations than an ordinary layer that stores as much"
        if fewer >= 1.05
        else "as many operations as an ordinary layer that stores as much"
    )
    return f"Each token uses {settings.k} of {settings.n_experts} experts{shared}: {work}."


def read_words(settings: SavingsSettings) -> str:
    """What a batch reads from memory, in a sentence."""
    n = settings.shape().all_read_batch()
    return (
        f"Each token may choose other experts, so a batch of {plural(n, 'token')} already reads "
        f"nine in ten of the {settings.n_experts}. Fewer operations save time only if reading the "
        "weights does not take longer."
    )


def shape_words(settings: SavingsSettings) -> str:
    """The layer in a few words."""
    shared = f", {settings.n_shared} shared" if settings.n_shared else ""
    return (
        f"{settings.n_experts} experts, {settings.k} for each token{shared}, "
        f"{settings.d_expert} wide in tokens of {settings.d_model}"
    )


def measured_words(settings: SavingsSettings, measured: list[MeasuredCost]) -> str:
    """Which layer was measured, and how often."""
    runs = max(row.runs for row in measured)
    return f"Measured for {shape_words(settings)}; {plural(runs, 'run')} of each layer, in turn."


@dataclass(frozen=True)
class Verdict:
    """What the measurement says, in words, with the batch sizes behind them (None: never).

    A layer counts as faster at a batch size if it was so in every run.
    """

    faster_than_total_from: int | None
    faster_than_active_from: int | None
    all_read_batch: int
    break_even_batch: int
    text: str

    def figures(self) -> list[tuple[str, str, str]]:
        """Label, value and explanation of the batch sizes."""
        return [
            (
                "Beats “stores as much”",
                _batch_words(self.faster_than_total_from),
                "From here on the mixture was faster than an ordinary layer that stores as much, "
                "in every run.",
            ),
            (
                "Beats “uses as much”",
                _batch_words(self.faster_than_active_from),
                "From here on the mixture was faster than an ordinary layer that uses as much, "
                "in every run.",
            ),
            (
                "Experts all read",
                f"from {plural(self.all_read_batch, 'token')}",
                "A batch of so many tokens reads nine in ten experts, if choices are even.",
            ),
            (
                "Break-even",
                f"from {plural(self.break_even_batch, 'token')}",
                "From here on arithmetic takes longer than reading the weights, by what this "
                "computer can do.",
            ),
        ]


def _batch_words(n_tokens: int | None) -> str:
    return "at no size tried" if n_tokens is None else f"from {plural(n_tokens, 'token')}"


def verdict(settings: SavingsSettings, measured: list[MeasuredCost], machine: Machine) -> Verdict:
    """Say at which batch sizes the MoE was faster or slower, and at which its runs disagree."""
    rows = {name: [row for row in measured if row.layer == name] for name in (TOTAL, ACTIVE)}
    shape = settings.shape()
    fewer = shape.dense("total").flops_per_token / shape.flops_per_token
    end = rows[TOTAL][-1]
    rest = (
        ""
        if end.most >= fewer
        else " Choosing experts, gathering their rows and smaller matrix products took the rest."
    )
    text = (
        f"{_against(rows[TOTAL], 'stores as much')} By its operations it would be {fewer:.1f} "
        f"times as fast.{rest} {_against(rows[ACTIVE], 'uses as much')}"
    )
    if rows[ACTIVE][-1].most < 1:
        text += (
            " Against that one it does the same arithmetic and, on top, chooses, sorts, gathers "
            "and reads more weights."
        )
    return Verdict(
        faster_than_total_from=_first_faster(rows[TOTAL]),
        faster_than_active_from=_first_faster(rows[ACTIVE]),
        all_read_batch=shape.all_read_batch(),
        break_even_batch=shape.break_even_batch(machine.flops_per_s, machine.bytes_per_s),
        text=text,
    )


def _first_faster(rows: list[MeasuredCost]) -> int | None:
    """Least batch size from which on the MoE was faster in every run."""
    slower = [row.n_tokens for row in rows if row.least <= 1]
    later = [row.n_tokens for row in rows if row.n_tokens > max(slower, default=0)]
    return min(later, default=None)


def _against(rows: list[MeasuredCost], of: str) -> str:
    """How fast the MoE was against one dense layer, at every batch size and at the largest."""
    end = rows[-1]
    spans = {
        "faster": [row.n_tokens for row in rows if row.least > 1],
        "slower": [row.n_tokens for row in rows if row.most < 1],
    }
    apart = [row.n_tokens for row in rows if row.least <= 1 <= row.most]
    clauses = [f"{word} at {_sizes(sizes)}" for word, sizes in spans.items() if sizes]
    if apart:
        clauses.append(f"the runs disagree at {_sizes(apart)}")
    times = (
        f"{_span(end.least, end.most)} times as fast"
        if end.most >= 1
        else f"{_span(1 / end.most, 1 / end.least)} times slower"
    )
    return (
        f"Against an ordinary layer that {of}: {'; '.join(clauses)}. With {end.n_tokens:,} tokens "
        f"it was {times}."
    )


def _span(low: float, high: float) -> str:
    """Least and most of the runs, or one number if both are written alike."""
    first, last = f"{low:.1f}", f"{high:.1f}"
    return first if first == last else f"{first} to {last}"


def _sizes(sizes: list[int]) -> str:
    """Batch sizes in words."""
    *first, last = (f"{n:,}" for n in sizes)
    unit = "token" if sizes == [1] else "tokens"
    return f"{', '.join(first)} and {last} {unit}" if first else f"{last} {unit}"
