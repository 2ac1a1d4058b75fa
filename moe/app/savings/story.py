"""What the counted and the measured costs say, in words."""

from __future__ import annotations

from dataclasses import dataclass

from ...numbers import plural
from ...speed.machine import Machine
from ...studies.savings import ACTIVE, TOTAL, MeasuredCost, SavingsSettings, count


def count_words(settings: SavingsSettings) -> str:
    """What the counted costs say, in a sentence or two."""
    moe, total, _ = count(settings)
    fewer = total.weight_bytes / moe.weight_bytes
    reads = "as many weights" if fewer < 1.05 else f"{fewer:.1f} times fewer weights"
    tokens = plural(settings.n_tokens, "token")
    shared = f" and {settings.n_shared} shared" if settings.n_shared else ""
    return (
        f"Every token passes {settings.k} of {settings.n_experts} experts{shared}: "
        f"{total.flops_per_token / moe.flops_per_token:.1f} times fewer operations than in a dense "
        f"layer of equal size. A batch of {tokens} reads {reads} from memory."
    )


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
                "Beats equal total from",
                _batch_words(self.faster_than_total_from),
                "From here on the MoE was faster than the dense layer of equal total size, in "
                "every run.",
            ),
            (
                "Beats equal active from",
                _batch_words(self.faster_than_active_from),
                "From here on the MoE was faster than the dense layer of equal active size, in "
                "every run.",
            ),
            (
                "Experts read from",
                f"{self.all_read_batch:,} tokens",
                "A batch of so many tokens reads nine in ten experts, if choices are even.",
            ),
            (
                "Break-even from",
                f"{self.break_even_batch:,} tokens",
                "From here on arithmetic takes longer than reading the weights, by what this "
                "computer can do.",
            ),
        ]


def _batch_words(n_tokens: int | None) -> str:
    return "no size tried" if n_tokens is None else f"{n_tokens:,} tokens"


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
        f"{_against(rows[TOTAL], 'equal total size')} By its operations it would be {fewer:.1f} "
        f"times as fast.{rest} {_against(rows[ACTIVE], 'equal active size')}"
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
        f"MoE against the dense layer of {of}: {'; '.join(clauses)}. With {end.n_tokens:,} tokens "
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
