"""Gate conformance: which of the known bugs a user's gate has.

A number is held against the forms that could explain it: the clean one, each bug, and their
combinations. A bug is found if every form that fits has it, absent if none has, and open if
both kinds fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import check_choice, check_float, check_int
from ..routers import ROUTERS, Router, make_router
from ..scores import SCORES
from .bugs import GATE_BUGS, GateBug
from .convention import (
    GUESSED_SCORES,
    WEIGHT_BUGS,
    Convention,
    Residuals,
    choice_differs,
    choice_residuals,
    convention_of,
    distance,
    fit_convention,
    loss_residuals,
    weight_residuals,
)
from .probe import Call, ask, bias_recordings, loss_recordings, probe_logits, settings_of
from .recording import Recording, error_line, make_recording, read_recordings
from .report import BUG, CLEAN, NONE, OPEN, Finding, GateReport

STATED = ("k", "score", "renormalize", "scale", "n_group", "topk_group")
# Share of tokens: an auction with steps of a fiftieth of the range differs from BASE in 5.5 %.
OTHER_CHOICES = 0.06
SAME = 1e-6  # relative; what float32 leaves between two ways to the same number
CHOICE_BUGS = ("mask_zero", "group_score")
LOSS_BUGS = ("double_softmax", "p_over_topk", "f_sums_to_k", "concatenated_layers")


@contextmanager
def _only_value_errors() -> Iterator[None]:
    """Turn what a stranger's gate raises into a ValueError: a traceback is no verdict."""
    try:
        yield
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"gate: cannot be checked ({error_line(error)})") from error


@_only_value_errors()
def check_gate(
    gate: Call | str | Path,
    *,
    like: str | Router | None = None,
    aux_loss: Call | None = None,
    n_experts: int = 16,
    coefficient: float | None = None,
    tolerance: float = 1e-3,
    **options: Any,
) -> GateReport:
    """Say which of the known bugs a gate has.

    Parameters
    ----------
    gate
        A function `gate(logits_NE, ...) -> (expert_NK, weight_NK)`, or the path of a .npz file
        with arrays `logits`, `experts`, `weights` of recorded routing (see docs/check-gate.md).
        The function may also take `bias_E`, `k`, `n_group`, `topk_group`, `scale`; a check that
        needs what it doesn't take is not applicable.
    like
        What it is meant to be: a name in `moe.ROUTERS`, or a router. Without it, the convention
        is guessed from the weights.
    aux_loss
        A function `aux_loss(layers, ...) -> number` of L layers' logits, a list of (N, E); it may
        also take `experts`, a list of (N, K), and `k`, `n_experts`.
    n_experts
        Experts that the function is asked with.
    coefficient
        Factor in the balance loss; 1 by default.
    tolerance
        Largest relative difference that counts as none; for bfloat16, take 0.02.
    **options
        Options of `like`, such as `k=8, n_group=8, topk_group=4`; without `like`, any of `k`,
        `score`, `renormalize`, `scale`, `n_group`, `topk_group` that are known.

    Raises
    ------
    ValueError
        If an argument or the file is not as described, or the gate fails.

    Examples
    --------
    >>> import moe
    >>> from moe.gates.bugs import OwnGate
    >>> router = moe.make_router("deepseek_v3", k=2)
    >>> moe.check_gate(OwnGate(router, "bias_in_weights"), like=router).bugs
    ('bias_in_weights',)
    """
    check_float("tolerance", tolerance, 0.0, 0.5, open_low=True)
    if isinstance(gate, (str, Path)):
        if aux_loss is not None:
            raise ValueError(
                "aux_loss: got a function with a file, allowed is its value in the file"
            )
        name = str(gate)
        recordings, recorded = read_recordings(gate)
        n_experts = recordings[0].logits_LNE.shape[2]
        convention, guessed = _convention(recordings, like, n_experts, tolerance, options, recorded)
    else:
        name, recorded = getattr(gate, "__name__", type(gate).__name__), {}
        check_int("n_experts", n_experts, 4, 4096)
        recordings, convention, guessed = _probe(
            gate, aux_loss, like, n_experts, tolerance, options
        )
    factor = recorded.get("coefficient", 1.0) if coefficient is None else coefficient
    check_float("coefficient", factor, 0.0, open_low=True)
    known = {"coefficient"} if coefficient is not None or "coefficient" in recorded else set()
    if isinstance(like, Router) or "n_group" in {**recorded, **options}:
        known.add("groups")
    with np.errstate(over="ignore", invalid="ignore"):  # far-off numbers are infinitely far
        judge = _Judge(convention, recordings, tolerance, float(factor), guessed, known)
        return GateReport(
            gate=name,
            meant_to_be=f"{convention.name}: {convention.words()}".removeprefix(": "),
            guessed=guessed,
            findings=tuple(judge.finding(bug) for bug in GATE_BUGS.values()),
            notes=tuple(judge.notes()),
            unchecked=tuple(judge.unchecked()),
        )


def _probe(
    gate: Call,
    aux_loss: Call | None,
    like: str | Router | None,
    n_experts: int,
    tolerance: float,
    options: dict[str, Any],
) -> tuple[list[Recording], Convention, bool]:
    """Ask a function: first plainly, to learn what it is, then where bugs show."""
    if like is None:
        first = {"k": 2, "scale": 1.0, "n_group": 1, "topk_group": 1} | options
    else:
        first = settings_of(convention_of(_router(like, options, {}), n_experts))
    first["n_experts"] = n_experts
    logits_NE = probe_logits(n_experts)[0]
    plain = make_recording(logits_NE, *ask(gate, logits_NE, **first))
    convention, guessed = _convention([plain], like, n_experts, tolerance, options, {})
    settings = settings_of(convention) | {"n_experts": n_experts}
    if guessed:
        settings["scale"] = first["scale"]
    recordings = [plain, *bias_recordings(gate, convention, settings)]
    if aux_loss is not None:
        recordings += loss_recordings(gate, aux_loss, convention, settings)
    return recordings, convention, guessed


def _router(like: str | Router, options: dict[str, Any], recorded: dict[str, Any]) -> Router:
    """The router that the gate is meant to be; what a file states fills in what was not given."""
    if isinstance(like, Router):
        if options:
            raise ValueError(f"options: got {', '.join(options)} with a router, allowed are none")
        return like
    kind = ROUTERS[check_choice("like", like, ROUTERS)]
    known = {field.name for field in fields(kind)}
    return make_router(like, **{n: v for n, v in recorded.items() if n in known} | options)


def _convention(
    recordings: list[Recording],
    like: str | Router | None,
    n_experts: int,
    tolerance: float,
    options: dict[str, Any],
    recorded: dict[str, Any],
) -> tuple[Convention, bool]:
    """What the gate is meant to be, and whether that had to be guessed."""
    k = recordings[0].expert_LNK.shape[2]
    if like is not None:
        convention = convention_of(_router(like, options, {"k": k} | recorded), n_experts)
        if convention.k != k:
            raise ValueError(
                f"gate: got {k} experts per token, allowed is k = {convention.k}, "
                f"as {convention.name} says"
            )
        return convention, False
    for name in options:
        check_choice("option without like", name, STATED)
    stated = {n: v for n, v in recorded.items() if n in STATED} | options
    _check_stated(stated, k, n_experts)
    score = stated.pop("score", None)
    scores = GUESSED_SCORES if score is None else (check_choice("score", score, SCORES),)
    logits_NE, expert_NK, weight_NK = (
        np.concatenate([getattr(r, part) for r in recordings])
        for part in ("logits_NE", "expert_NK", "weight_NK")
    )
    biases = [r.bias_NE for r in recordings if r.bias_NE is not None]
    bias_NE = np.concatenate(biases) if biases else None
    stated.pop("k", None)
    fitted = fit_convention(logits_NE, expert_NK, weight_NK, bias_NE, tolerance, scores, stated)
    if fitted is None:  # held against the commonest convention; a note will say that nothing fits
        asked = {"renormalize": True, "scale": 1.0} | stated
        fitted = Convention("", k, scores[0], states_renormalize="renormalize" in stated, **asked)
    return fitted, True


def _check_stated(stated: dict[str, Any], k: int, n_experts: int) -> None:
    if "k" in stated:
        check_int("k", stated["k"], k, k, "the gate chooses so many experts")
    n_group = check_int("n_group", stated.get("n_group", 1), 1, n_experts)
    check_int("topk_group", stated.get("topk_group", 1), 1, n_group, f"n_group is {n_group}")
    check_float("scale", stated.get("scale", 1.0), 0.0, open_low=True)
    if n_experts % n_group:
        raise ValueError(f"n_group: got {n_group}, allowed is a divisor of {n_experts} experts")


class _Judge:
    """Forms that explain the recordings, and the verdict that they give on each bug."""

    def __init__(
        self,
        convention: Convention,
        recordings: list[Recording],
        tolerance: float,
        coefficient: float,
        guessed: bool,
        known: set[str],
    ) -> None:
        self.convention, self.tolerance, self.guessed = convention, tolerance, guessed
        self.recordings, self.known = recordings, known
        self.asked = [_as_asked(convention, recording) for recording in recordings]
        self.weights = _worst(
            weight_residuals(convention, r.logits_NE, r.expert_NK, r.weight_NK, r.bias_NE)
            for r in recordings
        )
        self.choices = [
            choice_residuals(asked, r.logits_NE, r.expert_NK, r.bias_NE, tolerance)
            for asked, r in zip(self.asked, recordings, strict=True)
            if convention.chooser is None
        ]
        self.loss = _worst(
            loss_residuals(convention, r.logits_LNE, r.expert_LNK, r.aux_loss / coefficient)
            for r in recordings
            if r.aux_loss is not None
        )
        self.there = {
            "bias": any(r.bias_LE is not None and r.bias_LE.any() for r in recordings),
            "renormalizes": convention.renormalize,
            "states_renormalize": convention.states_renormalize,
            "groups": any(asked.masks for asked in self.asked),
            "states_group_score": len(convention.best_of) == 1,
            "loss": bool(self.loss),
        }

    def _parts(self, bug: str) -> list[Residuals]:
        """What can show a bug; empty if nothing can."""
        if bug in CHOICE_BUGS:
            return [part for part in self.choices if any(bug in form.bugs for form in part)]
        if bug == "bias_in_weights" and not self.there["bias"]:
            return []
        if bug == "no_renormalize" and not self.there["renormalizes"]:
            return []
        parts = [self.weights] if bug in WEIGHT_BUGS else []
        return parts + ([self.loss] if bug in LOSS_BUGS and self.loss else [])

    def finding(self, bug: GateBug) -> Finding:
        """Combine the verdicts of all parts: a bug found in one of them is found."""
        parts = self._parts(bug.name)
        verdicts = [self._verdict(bug.name, part) for part in parts]
        verdict, value = NONE, None
        for wanted in (BUG, CLEAN, OPEN):
            values = [number for word, number in verdicts if word == wanted]
            if values:
                verdict, value = wanted, max(values)
                break
        if not verdicts and self._not_stated(bug.name):
            verdict = OPEN
        advice = {CLEAN: "Nothing to do.", BUG: bug.fix}.get(verdict)
        if advice is None:
            begin = "It takes " if verdict == NONE else "To tell, it takes "
            advice = f"{begin}{self._missing(bug)}."
            if parts and all(min(part.values()) > self.tolerance for part in parts):
                advice = "No form explains these numbers, with the bug or without."
        return Finding(bug.name, bug.title, verdict, value, self.tolerance, advice)

    def _not_stated(self, bug: str) -> bool:
        """Whether the gate may have a bug, and only what is meant is not known."""
        if bug == "group_score":
            return bool(self.choices) and self.there["groups"]
        return bug == "no_renormalize" and not self.there["states_renormalize"]

    def _missing(self, bug: GateBug) -> str:
        """What a bug needs to show and is not there, in words."""
        words = [text for what, text in bug.needs if not self.there.get(what)]
        return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)

    def _verdict(self, bug: str, part: Residuals) -> tuple[str, float]:
        """Verdict of one part, and how much of its number is this bug's doing."""
        nearest = min(part, key=lambda form: (max(part[form], SAME), len(form.bugs)))
        without = [form for form in part if form.bugs == nearest.bugs - {bug}]
        value = part[max(without, key=lambda form: len(form.variant & nearest.variant))]
        # A form that fits far better than the others is not doubted for their sake.
        limit = min(self.tolerance, max(10 * part[nearest], SAME))
        fits = {bug in form.bugs for form, off in part.items() if off <= limit}
        if fits == {True} and value > self.tolerance:
            return BUG, value
        return (CLEAN if fits == {False} else OPEN), value

    def notes(self) -> list[str]:
        """What no form explains."""
        notes = []
        least = min(self.weights.values())
        if least > self.tolerance:
            raw = all(
                distance(r.weight_NK, np.take_along_axis(r.logits_NE, r.expert_NK, axis=1))
                <= self.tolerance
                for r in self.recordings
            )
            notes.append(
                "The weights are the raw logits, without a score function, as in "
                "https://github.com/sgl-project/sglang/pull/35160."
                if raw
                else "The weights follow no known form of this convention; the nearest is off by "
                f"{least:.2g}.{self._looks_like()}"
            )
        notes += self._wrong_choices()
        if self.loss and min(self.loss.values()) > self.tolerance:
            hint = (
                "" if "coefficient" in self.known else " If it has a coefficient, say coefficient."
            )
            notes.append(
                "The balance loss follows no known form; the nearest is off by "
                f"{min(self.loss.values()):.1%}.{hint}"
            )
        return notes

    def _wrong_choices(self) -> list[str]:
        """What is wrong with the experts, in a sentence, if no form explains them."""
        wrong = [min(part.values()) for part in self.choices]
        if wrong and max(wrong) > self.tolerance:
            asked = self.asked[int(np.argmax(wrong))]
            among = (
                f" in the {asked.topk_group} best of {asked.n_group} groups" if asked.masks else ""
            )
            hint = "" if among or "groups" in self.known else (
                " If the gate is limited to groups, say n_group and topk_group."
            )  # fmt: skip
            return [
                f"For {max(wrong):.1%} of tokens the experts are not the {asked.k} with the best "
                f"scores{among}.{hint}"
            ]
        chooser = self.convention.chooser
        if chooser is None:
            return []
        differs = max(
            (choice_differs(chooser, r.logits_LNE, r.expert_LNK) for r in self._whole_batches()),
            default=0.0,
        )
        if differs <= OTHER_CHOICES:
            return []
        return [
            f"For {differs:.1%} of tokens the experts are not those that {chooser.name} chooses "
            "for the same batch."
        ]

    def _whole_batches(self) -> list[Recording]:
        return [r for r in self.recordings if r.whole_batch]

    def unchecked(self) -> list[str]:
        """What the recordings cannot show."""
        if self.convention.chooser is None or self._whole_batches():
            return []
        return [
            f"{self.convention.name} looks at the whole batch, and a file may hold a part of it: "
            "the choice of experts is not checked."
        ]

    def _looks_like(self) -> str:
        r = self.recordings[0]
        seen = fit_convention(r.logits_NE, r.expert_NK, r.weight_NK, r.bias_NE, self.tolerance)
        return "" if self.guessed or seen is None else f" They look like {seen.words()}."


def _as_asked(convention: Convention, recording: Recording) -> Convention:
    """The convention with the groups that the gate was asked to use."""
    if recording.groups is None:
        return convention
    n_group, topk_group = recording.groups
    return replace(convention, n_group=n_group, topk_group=topk_group)


def _worst(parts: Iterable[Residuals]) -> Residuals:
    """Per form, the largest distance over all recordings: one form has to explain them all."""
    worst: Residuals = {}
    for part in parts:
        for form, off in part.items():
            worst[form] = max(off, worst.get(form, 0.0))
    return worst
