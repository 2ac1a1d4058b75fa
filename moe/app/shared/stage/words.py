"""What a stretch of a run came to, in one sentence: who does the work, and who has none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....pictures.experts import expert_name
from ....training import LiveRecord

BUSY, LITTLE = 1.5, 0.2  # of the fair share
EVEN = 1.3  # the busiest has less than this times its fair share: the work is spread evenly
MOST_NAMES = 5


def names(experts: Sequence[int] | np.ndarray) -> str:
    """Names of experts: 'A', 'A and C', 'A, B and C', or their number if there are many."""
    if len(experts) > MOST_NAMES:
        return f"{len(experts)} experts"
    called = [expert_name(int(e)) for e in experts]
    return " and ".join([", ".join(called[:-1]), called[-1]] if len(called) > 1 else called)


def mean_share(records: Sequence[LiveRecord]) -> np.ndarray:
    """Share of the work of each expert over some records, (E,)."""
    return np.asarray(np.mean([record.share_E for record in records], axis=0))


def work_words(records: Sequence[LiveRecord], off: Sequence[int] = ()) -> str:
    """Say who does how much of the work over some records, one or more."""
    share_E = mean_share(records)
    on = np.setdiff1d(np.arange(share_E.size), off)
    fair = 1 / on.size
    order = on[np.argsort(-share_E[on], kind="stable")]
    idle = [e for e in on if share_E[e] == 0]
    little = [e for e in on if 0 < share_E[e] < LITTLE * fair]
    busiest = share_E[order[0]]
    busy = [e for e in order if share_E[e] >= BUSY * fair]
    if not busy and not idle and not little:
        text = "The work is spread evenly: the" if busiest < EVEN * fair else "The"
        text += f" busiest expert, {names(order[:1])}, does {busiest:.0%}"
        text += f", its fair share is {fair:.0%}"
    else:
        text = f"The busiest expert, {names(order[:1])}, does {busiest:.0%} of the work"
        if busy:
            does = "does" if len(busy) == 1 else "do"
            text = f"{names(sorted(busy))} {does} {share_E[busy].sum():.0%} of the work"
        rest = [f"{names(idle)} {'is' if len(idle) == 1 else 'are'} idle"] if idle else []
        if little:
            rest.append(f"{names(little)} {'has' if len(little) == 1 else 'have'} next to nothing")
        text = "; ".join([text, *rest])
    dropped = float(np.mean([record.dropped for record in records]))
    if dropped >= 0.005:
        text += f". {dropped:.0%} of the work is dropped, since its expert is full"
    return f"{text}."


def takeover_words(before_E: np.ndarray, after_E: np.ndarray, off: int) -> str:
    """Say who took over the work of an expert that was switched off, given shares, (E,)."""
    name, had = expert_name(off), float(before_E[off])
    if had < 0.005:
        return f"{name} is off. It had no work, so nobody has to take over."
    gain_E = np.maximum(after_E - before_E, 0)
    gain_E[off] = 0
    heirs = [int(e) for e in np.argsort(-gain_E, kind="stable")[:2] if gain_E[e] >= 0.15 * had]
    if not heirs:
        return f"{name} is off. All others share its {had:.0%} of the work."
    parts = [
        f"{expert_name(e)} (from {before_E[e]:.0%} to {after_E[e]:.0%} of the work)" for e in heirs
    ]
    return f"{name} is off. Most of its {had:.0%} went to {' and '.join(parts)}."
