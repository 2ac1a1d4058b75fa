"""What runs of language models show, in words worked out from their looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...lm.training import LMTrainer
from ...numbers import plural
from ...pictures.experts import expert_name
from ...studies.language_model import BEGINNINGS, KINDS, Learned, Look, Step, settings_of
from ..shared.question import Question

MOE, ACTIVE, TOTAL = KINDS
FAR, CLEAR = 0.10, 0.02  # bits per byte that are a large difference, and one at all
QUESTION = Question(
    "Experts or none: which foretells new text better after the same steps?",
    {
        "far": f"Experts, by {FAR:.2f} bits a letter or more",
        "little": "Experts, by less",
        "even": "No difference",
        "dense": "The dense model",
    },
)
LAYERS = {"first": 0, "last": -1}


@dataclass(frozen=True)
class Verdict:
    """Which option is right, and a sentence on what came out."""

    truth: str
    words: str


def of_kind(runs: Sequence[Learned], kind: str) -> list[Learned]:
    """The runs of a kind, by their seeds."""
    return sorted((run for run in runs if run.kind == kind), key=lambda run: run.seed)


def bits(runs: Sequence[Learned], kind: str) -> float:
    """Mean bits per byte at the end of the runs of a kind."""
    return float(np.mean([run.end.bits for run in of_kind(runs, kind)]))


def judge(runs: Sequence[Learned]) -> Verdict:
    """Compare the mixture with the dense model that computes as much for each letter."""
    experts, dense = bits(runs, MOE), bits(runs, ACTIVE)
    gain = dense - experts
    truth = (
        "far" if gain >= FAR else "little" if gain >= CLEAR else "even" if gain > -CLEAR
        else "dense"
    )  # fmt: skip
    pairs = list(zip(of_kind(runs, MOE), of_kind(runs, ACTIVE), strict=True))
    lower = sum(one.end.bits < other.end.bits for one, other in pairs)
    return Verdict(
        truth,
        f"The model with experts ends at {experts:.2f} bits a letter, the dense one that computes "
        f"as much at {dense:.2f}: lower in {lower} of {len(pairs)} seeds.",
    )


def total_words(runs: Sequence[Learned]) -> str:
    """How the dense model with as many numbers in all compares."""
    experts, dense, active = (bits(runs, kind) for kind in (MOE, TOTAL, ACTIVE))
    gap = dense - experts
    than = (
        "as well as" if abs(gap) < CLEAR else "better than" if gap < 0 else "worse than"
    )  # fmt: skip
    share = of_kind(runs, ACTIVE)[0].n_params / of_kind(runs, TOTAL)[0].n_params
    return (
        f"The dense model with as many numbers in all foretells {than} the one with experts "
        f"({dense:.2f} bits), and computes with all of them for each letter. The small dense one "
        f"({active:.2f} bits) has {share:.0%} of its numbers."
    )


def at_words(runs: Sequence[Learned], at: int) -> str:
    """What the first run of each kind shows at a look."""
    ends = ", ".join(
        f"{KINDS[kind]} {run.looks[at].bits:.2f}"
        for kind in KINDS for run in of_kind(runs, kind)[:1]
    )  # fmt: skip
    return f"Step {of_kind(runs, MOE)[0].looks[at].step}: {ends} bits a letter."


def film_words(runs: Sequence[Learned], at: int, reply: str) -> str:
    """What is said at a position of the film; the last one tells what came out."""
    return reply if at == last(runs) else at_words(runs, at)


def last(runs: Sequence[Learned]) -> int:
    """Position of the last look."""
    return len(of_kind(runs, MOE)[0].looks) - 1


def positions(runs: Sequence[Learned]) -> list[int]:
    """Positions of the film: the looks of its run."""
    return list(range(last(runs) + 1))


def places(runs: Sequence[Learned]) -> list[str]:
    """What the film says beside its slider at each position."""
    return [f"Step {look.step}" for look in of_kind(runs, MOE)[0].looks]


def sample_text(look: Look) -> str:
    """Samples of a look below one another, each on one line."""
    return "\n".join(" ".join(text.splitlines()) for text in look.samples)


def load_words(look: Look, layer: str) -> str:
    """How even the load of a layer is at a look, in a sentence."""
    load_E = np.array(look.load_LE[LAYERS[layer]])
    busiest = int(load_E.argmax())
    idle = int((load_E == 0).sum())
    return (
        f"In the {layer} layer the busiest expert ({expert_name(busiest)}) has "
        f"{1 + look.max_vio[LAYERS[layer]]:.1f} fair shares of new text; "
        f"{plural(idle, 'expert')} {'is' if idle == 1 else 'are'} idle."
    )


def rows(runs: Sequence[Learned]) -> list[dict[str, str]]:
    """How each kind ended, as rows of a table."""
    found = []
    for kind, title in KINDS.items():
        own = of_kind(runs, kind)
        ends = [run.end for run in own]
        found.append(
            {
                "Model": title,
                "Numbers": f"{own[0].n_params:,}",
                "Bits per letter of new text": " · ".join(f"{end.bits:.3f}" for end in ends),
                "Seconds": " · ".join(f"{end.seconds:.0f}" for end in ends),
            }
        )
    return found


# A run of the visitor's own ---------------------------------------------------------------------


def trainer_of(kind: str, steps: int, seed: int) -> LMTrainer:
    """Return a run that begins."""
    return LMTrainer(settings_of(kind, seed, steps))


def looks_of(records: Sequence[Step | Look]) -> list[Look]:
    """The looks among the records of a live run."""
    return [one for one in records if isinstance(one, Look)]


def steps_of(records: Sequence[Step | Look]) -> list[Step]:
    """The steps among the records of a live run."""
    return [one for one in records if isinstance(one, Step)]


def live_words(records: Sequence[Step | Look]) -> str:
    """How far a live run is, in a sentence."""
    steps, looks = steps_of(records), looks_of(records)
    if not steps:
        return "The model has read nothing yet."
    words = f"{plural(steps[-1].step, 'step')}, {steps[-1].seconds:.0f} s of training"
    if not looks:
        return f"{words}."
    return f"{words}: {looks[-1].bits:.2f} bits for a letter of new text; at random it is 8."


def samples_title() -> str:
    """What stands above the samples."""
    begun = ", ".join(f"“{text.strip()}”" for text in BEGINNINGS)
    return f"What it writes after {begun}"
