"""The page on fewer, more and cheaper experts after training, made from docs/studies/ alone."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from docs.generator.studies import Study, distinct
from moe.studies.expert_upcycling import WAYS
from moe.studies.opportunistic import TEXTS
from moe.studies.pruning import CALIBRATION
from moe.sweeps.report import Spread

from . import studies
from .collapse import moves, number
from .methods import page_text, table

PAGE = "after-training.md"
PRUNE, TOPICS, UPCYCLE, SPARE = "prune", "prune-topics", "upcycle", "opportunistic"
NAMES = (PRUNE, TOPICS, UPCYCLE, SPARE)
READS = studies.FOLDER / "batch-reads.csv"
CRITERIA = {
    "reap": "REAP: weight times length",
    "count": "how many tokens chose it",
    "random": "nothing: drawn",
}
WORDS = {
    "small": "never more",
    "copies": "each expert copied",
    "useful": "the most useful ones copied",
    "dense": "all from one dense network",
    "large": "as many from the start",
}
assert set(WORDS) == set(WAYS)


def page() -> str:
    """Return the page."""
    return page_of(*(studies.read(name) for name in NAMES))


def page_of(prune: Study, topics: Study, upcycle: Study, spare: Study) -> str:
    """Return what the studies say."""
    return page_text(
        f"docs/studies/ ({', '.join(NAMES)}) and {READS.name}",
        "# After training: fewer, more, cheaper experts",
        "A trained mixture need not stay as it is. Experts can be taken away (*pruning*), copied "
        "so that training goes on with more (*upcycling*), or spared while the model writes "
        "(*opportunistic activation*). All figures are of this project's small language models, "
        "mean ± standard deviation over the seeds, in bits per byte of held-out text, unless "
        "another model is named.",
        "## Fewer: which experts may go?",
        "Guess first: is an expert that few tokens choose one that few tokens need?",
        *_prune_parts(prune),
        "### Asked about one topic",
        *_topic_parts(topics),
        "`moe prune run --keep 8 --text code.txt --out smaller` does it for a folder of `moe lm "
        "train` or a checkpoint, `--inputs tokens.npy` for a layer's file, and `moe.prune` for a "
        "layer. The rule is that of REAP ([arXiv 2510.13999](https://arxiv.org/abs/2510.13999)): "
        "an expert's *saliency* is the mean, over the tokens that chose it, of the weight of its "
        "result times the result's length.",
        "## More: experts from experts",
        "Copies of experts take places of their own, with the same columns of the gate; noise of "
        "1e-3 on the copies' selection biases and the balancer bring them tokens of their own "
        "([arXiv 2604.19835](https://arxiv.org/abs/2604.19835), `moe.upcycle_experts`). A token "
        "still goes to k of them. *The loss does not jump, since the copies compute the same.* "
        "Does it?",
        *_upcycle_parts(upcycle),
        "## Cheaper: choices that cost nothing",
        "A model that writes reads its experts from memory at each step, and that takes the time. "
        "A batch reads every expert that one of its tokens chose. So let each token keep its best "
        "k0 choices, and take its others only from what the batch reads anyway "
        "([arXiv 2511.02237](https://arxiv.org/abs/2511.02237), algorithm 1, `moe.Opportunistic`).",
        *_spare_parts(spare),
        "### In a real model",
        *_real_parts(),
        "## What this does not say",
        "These models are small, see bytes, and were trained for hundreds of steps. REAP's "
        "authors report code that is nearly as good with half of the experts, of models of "
        "hundreds of billions of parameters. What the figures on real routing say of quality is "
        "only how much of the gate's weight is left.",
        "## Again",
        ", ".join(f"`moe sweep docs/studies/{name}.toml`" for name in NAMES)
        + f' do the runs, `make pages ARGS="--study {PRUNE}"` and so on writes this page from '
        "them.",
    )


# Fewer -------------------------------------------------------------------------------------------


def _prune_parts(study: Study) -> Iterator[str]:
    settings, keeps = study.settings, _values(study, "keep")
    n_experts = settings["n_experts"]
    yield (
        f"{n_experts} experts in each of {settings['n_layers']} layers, k = {settings['k']}, "
        f"{settings['steps']} steps; {CALIBRATION} pieces of training text say which experts stay, "
        f"as many in every layer, and nothing is trained afterwards. Whole, the models need "
        f"{number(study.spread('before', by='reap'), '.3f')} bits ({len(study.seeds())} seeds)."
    )
    head = ["Kept by", *(f"{n_experts - keep} away" for keep in keeps)]
    rows = [
        [words, *(number(study.spread("after", by=by, keep=keep), ".3f") for keep in keeps)]
        for by, words in CRITERIA.items()
    ]
    yield table(head, rows)
    yield _prune_words(study)


def _values(study: Study, name: str) -> list[Any]:
    return [value for (value,) in distinct(study.rows, name)]


def _better(study: Study, by: str, than: str) -> tuple[int, int]:
    """Pairs of the same seed and number in which one criterion loses less than another."""
    pairs = [
        (row["after"], study.own(by=than, keep=row["keep"], seed=row["seed"])[0]["after"])
        for row in study.own(by=by)
    ]
    return sum(one < other for one, other in pairs), len(pairs)


def _against_chance(won: int, n: int) -> str:
    """What pairs won say: two deviations of n throws of a coin are chance."""
    if abs(2 * won - n) <= 2 * math.sqrt(n):
        return "no better than chance"
    return "better than chance" if 2 * won > n else "worse than chance"


def _prune_words(study: Study) -> str:
    reap, n = _better(study, "reap", "random")
    count, _ = _better(study, "count", "random")
    against, _ = _better(study, "reap", "count")
    said = _against_chance(count, n)
    return (
        f"**Counting tokens is {said} here**: it loses less than drawn experts in {count} of {n} "
        f"pairs of the same seed and number. REAP loses less than drawn ones in {reap}, and less "
        f"than counted ones in {against}."
    )


def _topic_parts(study: Study) -> Iterator[str]:
    settings = study.settings
    names = [name for name in _values(study, "calibrate") if name]
    yield (
        f"The same models with {settings['keep']} of {settings['n_experts']} experts, which text "
        f"of one kind chose ({len(study.seeds())} seeds). What that costs on text of this kind, "
        "and on the mean of the others, in bits:"
    )
    rows = [
        [name, *(number(_loss(study, part, name), ".2f") for part in ("topic", "rest"))]
        for name in names
    ]
    whole = _loss(study, "topic", "")
    rows.append(["all kinds", number(whole, ".2f"), number(whole, ".2f")])
    yield table(["Asked about", "Lost there", "Lost elsewhere"], rows)
    pairs = [tuple(_loss(study, part, name) for part in ("topic", "rest")) for name in names]
    less = sum(topic.mean < rest.mean for topic, rest in pairs)
    clear = sum(moves(topic, rest) == "rises" for topic, rest in pairs)
    yield (
        f"In {less} of {len(names)} kinds the pruned model loses less on what it was asked about "
        f"than on the rest, in {clear} of them by more than the spread. The text that says which "
        "experts stay is no fair judge of them."
    )


def _loss(study: Study, part: str, calibrate: str) -> Spread:
    """What pruning costs on a part of the text, over the seeds."""
    rows = study.own(calibrate=calibrate)
    return Spread.of([row[f"{part}_after"] - row[f"{part}_before"] for row in rows])


# More --------------------------------------------------------------------------------------------


def _cases(study: Study) -> list[dict[str, object]]:
    names = ("way", "k", "router", "drop")
    return [dict(zip(names, values, strict=True)) for values in distinct(study.rows, *names)]


def _title(case: dict[str, object]) -> str:
    words = WORDS[str(case["way"])]
    if case["way"] == "dense":
        words += f", {case['drop']:.0%} drawn anew" if case["drop"] else ", as it is"
    return words


def _upcycle_parts(study: Study) -> Iterator[str]:
    settings = study.settings
    run = study.make_settings(study.rows[0])
    yield (
        f"{settings['n_experts']} experts become {run.n_experts * run.copies} after "
        f"{run.switch:.0%} of {settings['steps']} steps, with a fresh optimiser "
        f"({len(study.seeds())} seeds). *Apart* is the distance of a copy's weights from its "
        "original's at the end, over the original's length."
    )
    head = ["Way", "k", "Before the switch", "Right after it", "At the end", "Apart"]
    yield table(head, [_upcycle_row(study, case) for case in _cases(study)])
    yield _jump_words(study)
    yield _end_words(study)


def _upcycle_row(study: Study, case: dict[str, object]) -> list[str]:
    figures = [study.spread(name, **case) for name in ("before", "after", "bits_per_byte")]
    apart = study.spread("apart", **case)
    return [
        _title(case),
        str(case["k"]),
        *(number(one, ".3f") if one.n else "–" for one in figures),
        f"{apart.mean:.0%}" if apart.n else "–",
    ]


def _jump(study: Study, **case: object) -> Spread:
    return Spread.of([row["after"] - row["before"] for row in study.own(**case)])


def _against(study: Study, way: str, other: str) -> Spread:
    """Bits that one way ends with more than another, over runs of the same seed with k = 2."""
    return Spread.of([
        study.own(way=way, k=2, seed=seed)[0]["bits_per_byte"]
        - study.own(way=other, k=2, seed=seed)[0]["bits_per_byte"]
        for seed in study.seeds()
    ])  # fmt: skip


def _signed(spread: Spread) -> str:
    return f"{spread.mean:+.3f}\u00a0±\u00a0{spread.deviation:.3f}"


def _jump_words(study: Study) -> str:
    one, two, useful = (
        _jump(study, way="copies", k=1),
        _jump(study, way="copies", k=2),
        _jump(study, way="useful", k=2),
    )
    same = "does not" if abs(one.mean) <= 0.01 else "does"
    jumps = "does" if two.mean > 0.01 else "does not"
    return (
        f"**With one expert for each token it {same}** ({_signed(one)} bits): an expert or "
        "its copy, they compute the same, and without noise the function is equal to the bit. "
        f"**With two it {jumps}** ({_signed(two)} bits): original and copy score alike, so "
        "that both take a token's places and its second choice is lost. The authors say so, too: "
        "to keep the function *is structurally unavailable*, and they measure a jump below 0.01 "
        "nats in their larger models. Copying the experts with the largest gradients costs "
        f"{_signed(useful)}. Other ways out of it cost operations: with m copies and m "
        "times k choices the function is the same again."
    )


def _end_words(study: Study) -> str:
    two = {way: study.spread("bits_per_byte", way=way, k=2) for way in ("small", "copies", "large")}
    apart = study.spread("apart", way="copies", k=2)
    plain, anew = (study.spread("bits_per_byte", way="dense", drop=drop) for drop in (0.0, 0.5))
    # Runs of a seed are the same until the switch, so that their difference is what it does.
    pays = _against(study, "copies", "small")
    end = "By the end it is within the spread"
    if abs(pays.mean) > pays.deviation:
        end = (
            "It pays by the end"
            if pays.mean < 0
            else "It has not paid by the end of so short a run"
        )
    drawn = {"falls": "helps", "rises": "harms"}.get(moves(plain, anew), "changes nothing certain")
    return (
        f"Training parts the copies ({apart.mean:.0%} of their length). {end}: "
        f"{number(two['copies'], '.3f')} against {number(two['small'], '.3f')} bits without more "
        f"experts ({_signed(pays)} of the same seed), and {number(two['large'], '.3f')} with as "
        "many from the start. Where all come from one dense network "
        "([sparse upcycling](https://arxiv.org/abs/2212.05055)), drawing half of each one's "
        "units anew ([Drop-Upcycling](https://arxiv.org/abs/2502.19261)) "
        f"{drawn}: {number(anew, '.3f')} against {number(plain, '.3f')}."
    )


# Cheaper -----------------------------------------------------------------------------------------


def _spare_parts(study: Study) -> Iterator[str]:
    settings = study.settings
    texts = study.make_settings(study.rows[0]).texts
    n_experts, k = settings["n_experts"], settings["k"]
    yield (
        f"{n_experts} experts, k = {k}. {TEXTS} held-out texts are read {texts} at once, one byte "
        f"of each in a step ({len(study.seeds())} seeds); *read* is how many different experts a "
        "layer reads in a step."
    )
    rows = []
    for k0 in _values(study, "k0"):
        kept, shared = (
            {f: study.spread(f, k0=k0, piggyback=more) for f in ("bits", "experts", "choices")}
            for more in (False, True)
        )
        rows.append(
            [
                str(k0), number(shared["experts"], ".1f"), number(kept["bits"], ".3f"),
                number(shared["bits"], ".3f"), f"{shared['choices'].mean:.1f}",
            ]
        )  # fmt: skip
    head = ["k0", "Read", "Bits, k0 choices alone", "with what others read", "choices then"]
    yield table(head, rows)
    yield _spare_words(study)


def _spare_words(study: Study) -> str:
    k = study.settings["k"]
    whole, least = (study.spread("experts", k0=k0, piggyback=True) for k0 in (k, 1))
    full, alone, shared = (
        study.spread("bits", k0=k0, piggyback=more)
        for k0, more in ((k, True), (1, False), (1, True))
    )
    back = (alone.mean - shared.mean) / (alone.mean - full.mean)
    costs = Spread.of([
        study.own(k0=1, piggyback=False, seed=seed)[0]["bits"]
        - study.own(k0=k, piggyback=True, seed=seed)[0]["bits"]
        for seed in study.seeds()
    ])  # fmt: skip
    return (
        f"With one choice kept, a layer reads {1 - least.mean / whole.mean:.0%} fewer experts. One "
        f"choice alone costs {number(costs)} bits; the shared ones bring back "
        f"{back:.0%} of that and read no further expert. They are choices that the token would not "
        "have made first, and some that it would not have made at all. What a token computes now "
        "depends on who shares its batch: such a router is neither causal nor the same in every "
        "batch."
    )


@dataclass(frozen=True)
class RealReads:
    """One row of the table of a real model's routing, over its tasks."""

    k0: int
    experts: Spread
    gate_mass: Spread
    choices: Spread


def real_reads() -> list[RealReads]:
    """What the shipped table says, by the choices that a token keeps."""
    lines = [line for line in READS.read_text("utf-8").splitlines() if line[:1] != "#"]
    rows = list(csv.DictReader(lines))
    found = []
    for k0 in dict.fromkeys(row["k0"] for row in rows):
        own = [row for row in rows if row["k0"] == k0]
        spreads = {
            name: Spread.of([float(row[name]) for row in own])
            for name in ("experts", "gate_mass", "choices")
        }
        found.append(RealReads(int(k0), **spreads))
    return found


def origin() -> list[str]:
    """Where the shipped table is from: source, commit, licence, command and content."""
    lines = READS.read_text("utf-8").splitlines()
    return [line.removeprefix("# ") for line in lines if line.startswith("#")]


def _real_parts() -> Iterator[str]:
    rows = real_reads()
    yield (
        "DeepSeek-V2-Lite (26 layers, 6 of 64 experts), batches of 16 tokens of one task, mean ± "
        "standard deviation over four tasks. Only a token's own six choices are known, so none "
        "gets an expert that it had not chosen."
    )
    yield table(
        ["Choices that stay", "Experts read", "Gate mass left", "Choices left"],
        [
            [
                str(one.k0), number(one.experts, ".1f"), f"{one.gate_mass.mean:.1%}",
                f"{one.choices.mean:.1f}",
            ]
            for one in rows
        ],
    )  # fmt: skip
    whole, half = rows[0], next(one for one in rows if one.k0 == rows[0].k0 // 2)
    yield (
        f"With {half.k0} of {whole.k0} choices kept, a batch reads "
        f"{1 - half.experts.mean / whole.experts.mean:.0%} fewer experts and "
        f"{half.gate_mass.mean:.0%} of the gate's weight is left. `moe analyze trace.npz --batch "
        "16` says it of any trace."
    )
    yield "\n".join(f"- {line}" for line in origin())
