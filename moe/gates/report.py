"""What the check of a gate says: one finding per bug, as data, as a table and as words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

CLEAN, BUG, OPEN, NONE = "clean", "has the bug", "cannot tell", "not applicable"


@dataclass(frozen=True)
class Finding:
    """What the check says of one bug.

    Attributes
    ----------
    bug, title
        Key of `GATE_BUGS`, and what it is called.
    verdict
        'clean', 'has the bug', 'cannot tell' or 'not applicable'.
    value, threshold
        The bug's metric, the distance to the nearest gate without it, and what is still clean;
        None if not applicable.
    advice
        What to do.
    """

    bug: str
    title: str
    verdict: str
    value: float | None
    threshold: float
    advice: str


@dataclass(frozen=True)
class GateReport:
    """What the check says of a gate.

    Attributes
    ----------
    gate
        What was checked.
    meant_to_be
        The convention that it was held against, in words.
    guessed
        Whether that convention was guessed from the weights.
    findings
        One per bug.
    notes
        What none of the bugs explains.
    unchecked
        What cannot be checked of what was given.
    """

    gate: str
    meant_to_be: str
    guessed: bool
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    unchecked: tuple[str, ...] = ()

    @property
    def bugs(self) -> tuple[str, ...]:
        """Names of the bugs that it has."""
        return tuple(f.bug for f in self.findings if f.verdict == BUG)

    @property
    def clean(self) -> bool:
        """Whether no bug was found and nothing stayed unexplained."""
        return not self.bugs and not self.notes

    def finding(self, bug: str) -> Finding:
        """What was found of one bug, a key of `GATE_BUGS`."""
        return next(f for f in self.findings if f.bug == bug)

    def as_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return asdict(self) | {"bugs": list(self.bugs), "clean": self.clean}

    def rows(self) -> list[dict[str, str]]:
        """The findings, formatted, for a table."""
        return [
            {
                "bug": f.title,
                "verdict": f.verdict,
                "metric": "" if f.value is None else f"{f.value:.2g}",
                "allowed": f"{f.threshold:.2g}",
                "what to do": f.advice,
            }
            for f in self.findings
        ]

    def summary(self) -> str:
        """What it was held against, and the result, in two sentences."""
        held = f"Checked {self.gate} as {self.meant_to_be}"
        held += " (guessed from its weights). " if self.guessed else ". "
        open_ones = sum(f.verdict == OPEN for f in self.findings)
        if self.bugs:
            text = f"It has {len(self.bugs)} of {len(self.findings)} known bugs"
        else:
            text = f"None of {len(self.findings)} known bugs was found"
        return held + text + (f"; {open_ones} could not be told." if open_ones else ".")

    def words(self) -> str:
        """The report as text, a line per finding."""
        lines = [self.summary()]
        for f in self.findings:
            number = "" if f.value is None else f" ({f.value:.2g}, allowed {f.threshold:.2g})"
            lines.append(f"- {f.title}: {f.verdict}{number}. {f.advice}".rstrip())
        return "\n".join([*lines, *self.notes, *self.unchecked])
