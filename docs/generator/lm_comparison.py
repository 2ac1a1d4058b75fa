"""The page that sets a mixture against dense models: sweeps in docs/studies/, times of steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from docs.generator.lm_cases import (
    ACTIVE,
    BITS,
    MOE,
    TOTAL,
    VIO,
    Case,
    Gain,
    best,
    best_of_each_length,
    cases,
    equal_time,
    ms_per_step,
    seconds,
)
from docs.generator.lm_chart import of_time
from docs.generator.studies import Study, distinct
from moe import kernels
from moe.lm.bench import TrainingSpeed, measure
from moe.lm.settings import DENSE, LMTrainSettings
from moe.pictures.figure import Figure
from moe.studies.language_model import KINDS
from moe.sweeps.report import Spread

from . import studies
from .collapse import number
from .methods import page_text, table

PAGE, PICTURE = "moe-against-dense.md", "img/moe-against-dense.svg"
RATES, LENGTHS, SEEDS, BALANCE, MUON = "lm", "lm-length", "lm-seeds", "lm-balance", "lm-muon"
STUDIES = (RATES, LENGTHS, SEEDS, BALANCE, MUON)
SPEED = studies.FOLDER / "lm-speed.json"


def measure_speed() -> None:
    """Time steps of the studies' models on one core, each kind in turn, and keep what came out."""
    made = {}
    for optimizer, name in (("adamw", RATES), ("muon", MUON)):
        study = studies.read(name)
        settings = study.make_settings(study.own(dense=MOE)[0])
        settings = replace(settings, steps=1_000_000, warm_up=0, decay=0.0)  # all of them alike
        with kernels.using(threads=1):
            made[optimizer] = asdict(measure(settings, with_dense=True))
    SPEED.write_text(json.dumps(made, indent=1) + "\n")


def read_speed(path: Path = SPEED) -> dict[str, TrainingSpeed]:
    """Times of steps, by optimiser, as they were measured."""
    return {name: TrainingSpeed(**given) for name, given in json.loads(path.read_text()).items()}


def all_lengths() -> list[Case]:
    """Each kind at every length that was run, at its best rate there, the shortest first."""
    return best_of_each_length(cases(*map(studies.read, (RATES, LENGTHS, SEEDS))))


def figure() -> Figure:
    """Bits per byte over the seconds of one core, each kind at its best rate."""
    return of_time(all_lengths(), ms_per_step(read_speed()["adamw"]))


def page(alt_words: str) -> str:
    """Return the page; `alt_words` says the picture in words."""
    return page_of(
        studies.read(RATES), studies.read(BALANCE), studies.read(MUON), all_lengths(),
        read_speed(), alt_words,
    )  # fmt: skip


def page_of(
    rates: Study, balance: Study, muon: Study, lengths: Sequence[Case],
    speed: Mapping[str, TrainingSpeed], alt_words: str,
) -> str:  # fmt: skip
    """Return what the studies say; of `lengths` each kind's best rate at each length."""
    settings, found = LMTrainSettings(**{**rates.settings}), cases(rates)
    ms = ms_per_step(speed["adamw"])
    moe, active, total = (at_length(lengths, dense, settings.steps) for dense in DENSE)
    swept = [f"{rate:g}" for (rate,) in distinct(rates.rows, "learning_rate")]
    files = ", ".join(f"{name}.jsonl" for name in (LENGTHS, SEEDS, BALANCE, MUON))
    return page_text(
        f"docs/studies/{RATES}.jsonl, {files}, {SPEED.name}",
        "# A mixture against dense models",
        f"The [small language model](language-model.md), {settings.n_layers} layers of width "
        f"{settings.d_model}, is trained three times over: with {settings.n_experts} experts of "
        f"width {settings.d_expert} of which a token uses {settings.k}; dense and as wide as those "
        f"{settings.k}; dense and as wide as all {settings.n_experts} together. Text, batches, "
        "attention and optimiser are the same. Guess which reads best after equal steps, and which "
        "after equal time.",
        "## The rates",
        f"Every kind was trained at the rates {', '.join(swept)}, from {len(rates.seeds())} seeds "
        f"each, for {moe.steps} steps of {settings.tokens_per_step:,} tokens, with rates that fall "
        "to zero at the end. Bits per byte of text that none of them learned from; mean ± standard "
        "deviation over the seeds. Each is judged at the rate that suits it best; of the longer "
        "runs below, mixture and dense model of equal active size were tried at the rates beside "
        "it again.",
        _rates_table(found),
        "## After equal steps, and after equal time",
        f"![{alt_words}]({PICTURE})",
        "A point is the mean of the seeds, the stroke through it their range. "
        f"{_speed_words(speed['adamw'])}",
        "Against the dense model of equal active size, whose token costs "
        f"{active.flops_per_token / moe.flops_per_token:.0%} of the mixture's counted operations "
        "(gains: mean of the seeds' differences, with their 95 % interval):",
        _time_table(lengths, ms),
        *_time_words(lengths, ms),
        "Against the dense model of equal total size the mixture needs "
        f"{moe.flops_per_token / total.flops_per_token:.0%} of the operations and "
        f"{ms[MOE] / ms[TOTAL]:.0%} of the time. {_total_words(lengths, ms)}",
        "## The load",
        _balance_words(moe),
        _balance_table(balance, best(found, MOE)),
        "## With Muon",
        *_muon(muon, speed["muon"]),
        "## What this does not say",
        "These are models of less than half a million numbers, trained for a minute, on text of "
        "which they see each part about once. How a mixture's cost compares depends on the "
        "machine: here a core multiplies small matrices, and nothing moves between machines.",
        "## Again",
        f"`moe sweep docs/studies/{RATES}.toml` does the first runs, and "
        f'`make pages ARGS="{" ".join(f"--study {name}" for name in STUDIES)} --lm-speed"` all of '
        "them, the times, and this page.",
    )


def at_length(lengths: Sequence[Case], dense: str, steps: int) -> Case:
    """The case of a kind that has so many steps."""
    return next(one for one in lengths if (one.dense, one.steps) == (dense, steps))


def _rates_table(found: Sequence[Case]) -> str:
    rates = sorted({one.rate for one in found})
    rows = []
    for dense in DENSE:
        chosen = best(found, dense)
        own = {one.rate: one for one in found if one.dense == dense}
        cells = [number(own[rate].bits, ".3f") for rate in rates]
        at = rates.index(chosen.rate)
        cells[at] = f"**{cells[at]}**"
        rows.append([KINDS[dense], *cells])
    return table(["Model", *(f"rate {rate:g}" for rate in rates)], rows)


def against(gain: Gain) -> str:
    """A gain in words, with what it is worth."""
    how = "below" if gain.mean > 0 else "above"
    said = f"{abs(gain.mean):.3f}\u00a0±\u00a0{gain.margin:.3f} bits a byte {how}"
    apart = "no seed of the one reaches a seed of the other"
    if abs(gain.mean) > gain.margin:
        return f"{said}, and {apart}" if gain.apart else said
    if gain.apart:
        return f"{said}: the interval holds zero, though {apart}"
    return f"{said}, which the seeds do not tell from nothing"


def _speed_words(speed: TrainingSpeed) -> str:
    ms = ms_per_step(speed)
    steps = ", ".join(f"{ms[dense]:.1f} ms ({KINDS[dense]})" for dense in ms)
    threads = "one thread" if speed.threads == 1 else f"{speed.threads} threads"
    return (
        f"A step takes {steps}, measured with {threads} in blocks that take turns; time is steps "
        "times that."
    )


def by_the_clock(lengths: Sequence[Case], ms: Mapping[str, float]) -> list[tuple[Case, Case]]:
    """The mixture's runs, each with a dense one of equal active size and of equal time."""
    pairs = [(one, equal_time(one, lengths, ACTIVE, ms)) for one in lengths if one.dense == MOE]
    return [(moe, other) for moe, other in pairs if other is not None]


def _time_table(lengths: Sequence[Case], ms: Mapping[str, float]) -> str:
    rows = []
    for moe, longer in by_the_clock(lengths, ms):
        equal = at_length(lengths, ACTIVE, moe.steps)
        rows.append(
            [
                f"{moe.steps}",
                number(moe.bits, ".3f"),
                number(equal.bits, ".3f"),
                Gain.of(moe, equal).words(),
                f"{number(longer.bits, '.3f')} ({longer.steps} steps)",
                Gain.of(moe, longer).words(),
            ]
        )
    head = [
        "Steps", KINDS[MOE], "Dense, equal steps", "the mixture gains", "Dense, equal time",
        "the mixture gains",
    ]  # fmt: skip
    return table(head, rows)


def _time_words(lengths: Sequence[Case], ms: Mapping[str, float]) -> list[str]:
    said = []
    for moe, longer in by_the_clock(lengths, ms):
        share = seconds(longer, ms) / seconds(moe, ms)
        equal = at_length(lengths, ACTIVE, moe.steps)
        said.append(
            f"- **{moe.steps} steps.** After as many steps the mixture is "
            f"{against(Gain.of(moe, equal))}. By the clock, after {seconds(moe, ms):.0f} s (the "
            f"dense model's {longer.steps} steps take {share:.0%} of that), it is "
            f"{against(Gain.of(moe, longer))}."
        )
    return ["\n".join(said)] if said else []


def _total_words(lengths: Sequence[Case], ms: Mapping[str, float]) -> str:
    """The dense model of equal total size: after as many steps, and after as many seconds."""
    said = []
    for moe, _ in by_the_clock(lengths, ms):
        equal, timed = (
            at_length(lengths, TOTAL, moe.steps),
            equal_time(moe, lengths, TOTAL, ms),
        )
        words = f"After {moe.steps} equal steps it is {against(Gain.of(moe, equal))}"
        if timed is not None:
            words += (
                f"; in the time of them the dense model does {timed.steps} and has "
                f"{number(timed.bits, '.3f')}"
            )
        said.append(f"{words}.")
    return " ".join(said)


def _balance_words(moe: Case) -> str:
    return (
        "Ways to keep the load even, and none, at the mixture's best rate. MaxVio is that of the "
        "worst layer; in the comparison above (`topk`, `aux`) it is "
        f"{number(Spread.of(moe.max_vio))}, at most {max(moe.max_vio):.2f} in any layer and seed."
    )


def _balance_table(study: Study, moe: Case) -> str:
    rows = [["topk", "aux, default", number(moe.bits, ".3f"), number(Spread.of(moe.max_vio)), "0"]]
    keys = ("router", "balance", "balance_rate")
    for case in distinct(study.rows, *keys):
        varied = dict(zip(keys, case, strict=True))
        strength = "" if varied["balance_rate"] is None else f", {varied['balance_rate']:g}"
        rows.append(
            [
                varied["router"],
                f"{varied['balance']}{strength}",
                number(study.spread(BITS, **varied), ".3f"),
                number(study.spread(VIO, **varied)),
                f"{study.spread('idle', **varied).mean:.1f}",
            ]
        )
    return table(["Router", "Balancing", "Bits per byte", "MaxVio", "Idle experts"], rows)


def _muon(study: Study, speed: TrainingSpeed) -> list[str]:
    """The same comparison where an optimiser costs more the more parameters there are."""
    found, ms = cases(study, swept="muon_rate"), ms_per_step(speed)
    settings: Mapping[str, Any] = study.settings
    shortest = min(one.steps for one in found)
    at_once = [one for one in found if one.steps == shortest]
    moe, active = best(at_once, MOE), best(at_once, ACTIVE)
    longer = equal_time(moe, found, ACTIVE, ms)
    rates = ", ".join(f"{rate:g}" for rate in sorted({one.rate for one in at_once}))
    words = (
        "Muon turns each matrix's step into one of equal strength in all directions, which costs "
        "the same whether few tokens chose an expert or many: a mixture pays for all its experts "
        f"at every step. With {settings['batch'] * settings['context']:,} tokens a step, "
        f"{shortest} steps, and the best of Muon's rates {rates} for each kind, the mixture has "
        f"{number(moe.bits, '.3f')} bits a byte and the dense model of equal active size "
        f"{number(active.bits, '.3f')}: the mixture is {against(Gain.of(moe, active))}. A step of "
        f"the mixture takes {ms[MOE]:.1f} ms, one of the dense model {ms[ACTIVE]:.1f}."
    )
    if longer is None:
        return [words]
    share = seconds(longer, ms) / seconds(moe, ms)
    return [
        f"{words} With {longer.steps} steps, {share:.0%} of the mixture's time, the dense model "
        f"has {number(longer.bits, '.3f')}: the mixture is {against(Gain.of(moe, longer))}."
    ]
