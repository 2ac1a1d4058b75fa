"""What DeepSeek-V3's published cost leaves out: others' estimates, from `left_out.csv`."""

from __future__ import annotations

from dataclasses import dataclass

from .tables import rows_of
from .training import Range

RUNS, DOLLARS = "final runs", "$"


@dataclass(frozen=True)
class LeftOut:
    """One cost beside the final run.

    Attributes
    ----------
    key, what
        Short name, and name for people.
    unit, amount
        '$', or 'final runs' for multiples of the published figure; None where nobody published
        one.
    about
        What the estimate covers.
    source, check
        Where it is from; 'verified' if it was read there, else 'second-hand'.
    """

    key: str
    what: str
    unit: str
    amount: Range | None
    about: str
    source: str
    check: str

    def dollars(self, final_run: float) -> Range | None:
        """The amount in dollars, where the final run costs `final_run` dollars."""
        times = final_run if self.unit == RUNS else 1.0
        return self.amount.map(lambda value: value * times) if self.amount else None


def _from_row(row: dict[str, str]) -> LeftOut:
    amount = None
    if row["low"]:
        low, high = float(row["low"]), float(row["high"])
        amount = Range(low, (low + high) / 2, high)
    words = {name: row[name] for name in ("key", "what", "unit", "about", "source", "check")}
    return LeftOut(amount=amount, **words)


LEFT_OUT: tuple[LeftOut, ...] = tuple(map(_from_row, rows_of("left_out")))
