"""The page on the news article: each technical statement, what the package computes, a verdict."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache, partial

from moe.app.five_million.claim import CLAIM, LLAMA, on_record_words
from moe.app.five_million.story import V3
from moe.app.moving_data.story import (
    Moved,
    MovingSettings,
    before_after,
    experts_per_row,
    links,
    ways,
)
from moe.cluster.schedule import overlap
from moe.cluster.timing import NORMAL
from moe.cost import GPUS, MODELS, TrainingCost, check_numbers, decode, find_gpu
from moe.lessons import show
from moe.lessons.links import COURSE
from moe.numbers import digits, short
from moe.traces.myths import PUBLISHED, topic_specialists
from moe.traces.samples import SAMPLES

from . import lm_tokens, reasoning
from .docstrings import to_cell
from .methods import page_text, table
from .scores import cited, leads

PAGE = "article.md"
FIVE_MILLION = "page *The $5M question* of the app"
REAL_MODELS = "page *Real models* of the app"
MOVING_DATA = "page *Moving data* of the app"
DISTIL = "page *A teacher's student* of the app"
THINK = "page *Does it pay to think?* of the app"
YOUR_MODEL = "page *Your model* of the app"
V3_REPORT = "arXiv 2412.19437"
ISCA = "arXiv 2505.09343"
MACHINES = ("rtx-4090-laptop", "rtx-4090", "m3-ultra")
MANY = 16  # H800s of two nodes
UNEVEN = MovingSettings(skew=0.6)
SIMULATE = "moe cluster simulate --tokens {tokens} --batch 512"

INTRO = """\
# The article, statement by statement

The news of January 2025 about DeepSeek made technical claims. Here each one stands beside what
this package computes, with the range that the assumptions leave, and a verdict. "Try it" names the
commands that print the row's figures, and the page of the app (`moe app` starts it) where every
assumption can be changed. Figures in this table are computed when the page is made; what is only
cited says so, with its source."""

READING = """\
## How to read a verdict

*True with this reading*: the figure follows from published numbers, if the words mean what the row
says. *Partly true*: it holds for the parts that the row names. *Within reach*: the computed range
holds the claim, and so much else that it proves little. *Depends on the model*: several
measured it, with different answers. *Cannot be checked*: no formula and no published figure decides
it."""


@dataclass(frozen=True)
class Statement:
    """A row: what was said, what is computed, the verdict, and where to try it.

    Attributes
    ----------
    said, computed, verdict
        The three columns of words.
    page
        Where in the app, or ''.
    commands
        Commands that print the figures of `computed`.
    apart
        Those figures of `computed` that no command prints: cited ones, and quotients of others.
    """

    said: str
    computed: str
    verdict: str
    page: str
    commands: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()

    def cells(self) -> list[str]:
        """Markdown of the row."""
        tried = [self.page] if self.page else []
        tried += [f"`{command}`" for command in self.commands]
        return [to_cell(self.said), to_cell(self.computed), to_cell(self.verdict),
                "<br>".join(tried) or "–"]  # fmt: skip


def page() -> str:
    """Return the page."""
    return page_text(
        "docs/generator/article.py, docs/generator/scores.py",
        INTRO,
        table(
            ["Statement", "What we compute", "Verdict", "Try it"],
            [statement.cells() for statement in statements()],
        ),
        cited(),
        READING,
    )


@cache
def statements() -> tuple[Statement, ...]:
    """Every statement with its row; figures from `moe.cost` and `moe.cluster`."""
    return (
        _five_million(),
        _experts_dispute(),
        _fifty_to_hundred(),
        _h800(),
        _moving_data(),
        _mixture(),
        _specialised(),
        _open_weights(),
        _rivals(),
        _learning(),
        _reflects(),
    )


_four = partial(digits, n=4)  # a figure as the commands print it


def _five_million() -> Statement:
    model, price = MODELS[V3], 2.0
    result = TrainingCost(V3, extra_hours=model.other_gpu_hours).result()
    exact = {check.what: check for check in check_numbers()}
    rate = exact["DeepSeek-V3: H800 hours from 272.8B tokens a day on 2,048 GPUs"]
    published = model.gpu_hours * price
    low, mid, high = map(short, (result.dollars.low, result.dollars.mid, result.dollars.high))
    holds = result.dollars.holds(published)
    return Statement(
        "Training cost about $5M.",
        f"Published hours ({V3_REPORT}, table 1): {model.gpu_hours:,.0f} on H800s at an assumed "
        f"${price:.0f} an hour = ${short(published)}. Computed from the model's shape and tokens, "
        f"with {model.other_gpu_hours:,.0f} published hours after pre-training: ${low} to ${high}, "
        f"middle ${mid}. Hours from the published speed: {short(rate.computed)} for pre-training, "
        f"{rate.comparison} off.",
        f"{'True with this reading' if holds else 'Not by this'}: rent of the GPUs for the final "
        "run. Research, trial runs, people, data and the machines themselves are not in it, as the "
        "report itself says.",
        FIVE_MILLION,
        (f"moe cost {V3} --extra-hours {model.other_gpu_hours:.0f}", "moe check-numbers"),
    )


def _experts_dispute() -> Statement:
    cost = TrainingCost(V3)
    result = cost.result()
    wide = f"{result.dollars.high / result.dollars.low:.1f}"
    return Statement(
        "Experts dispute the figure.",
        f"A utilisation of {cost.mfu.low} to {cost.mfu.high} and a rent of "
        f"${cost.dollars_per_hour.low} to ${cost.dollars_per_hour.high:.0f} alone spread "
        f"pre-training from ${short(result.dollars.low)} to ${short(result.dollars.high)}, a "
        f"factor of {wide}. A firm's estimate of the rest (SemiAnalysis, 31 January 2025) is $1.6B "
        "for servers, which serve much else. It is disputed: an outside check found that the "
        "firm's table comes to $1.3B, as its total leaves out a column "
        "(threadreaderapp 1885306497346752672).",
        "They speak of different things: the figure is the rent of one run, the estimate that of "
        "all machines. What the whole undertaking cost cannot be checked.",
        FIVE_MILLION,
        (f"moe cost {V3}",),
        (wide, "31", "2025", "1.6", "1.3", "1885306497346752672"),
    )


def _fifty_to_hundred() -> Statement:
    llama = MODELS[LLAMA]
    ours, dense = TrainingCost(V3), TrainingCost(LLAMA, gpu="h100")
    result = dense.result()
    price = dense.dollars_per_hour.mid
    work = dense.train_flops / ours.train_flops
    hours = llama.pretraining_hours / MODELS[V3].pretraining_hours
    others = sorted(
        (model for name, model in MODELS.items() if model.gpu_hours and name not in (LLAMA, V3)),
        key=lambda model: model.gpu_hours,
    )
    ends = [f"{short(price * one.gpu_hours)} ({one.name})" for one in (others[0], others[-1])]
    published = llama.gpu_hours * price
    reached = CLAIM.holds(published)
    below = [one for one in others if price * one.gpu_hours < CLAIM.low]
    return Statement(
        "The other figure: closer to $50–100M, even for specialised models.",
        f"Llama-3.1-405B, dense and not specialised, with its published {llama.gpu_hours:,.0f} "
        f"H100 hours at ${price:.0f}: ${short(published)}; computed ${short(result.dollars.low)} "
        f"to ${short(result.dollars.high)}. It takes {dense.train_flops:.4g} operations, V3 "
        f"{ours.train_flops:.4g}: {work:.1f} times as many in {hours:.1f} times the hours. The "
        f"{len(others)} other models of our table with published hours come to ${ends[0]} up to "
        f"${ends[1]}.",
        f"{'Within reach' if reached else 'Not by this'}: a dense model of that size "
        f"{'lands' if reached else 'does not land'} there; {len(below)} of the {len(others)} "
        "others lie below. "
        "What “specialised” meant is not said. No source was found for the sum. "
        f"{on_record_words()}",
        FIVE_MILLION,
        (f"moe cost {LLAMA} --gpu h100", f"moe cost {V3}"),
        (f"{work:.1f}", f"{hours:.1f}", str(len(others)),
         *(short(price * one.gpu_hours).rstrip("MB") for one in (others[0], others[-1]))),
    )  # fmt: skip


def _simulated(tokens: int, *options: str) -> str:
    return " ".join([SIMULATE.format(tokens=tokens), *options])


def _exchange(moved: Moved) -> str:
    """'342.2 + 633.6', dispatch and combine in microseconds."""
    return f"{_four(moved.dispatch.us)} + {_four(moved.combine.us)}"


def _h800() -> Statement:
    h800, h100 = find_gpu("h800"), find_gpu("h100")
    even = MovingSettings(skew=0.0)
    pairs = [links(asked) for asked in (even, UNEVEN, replace(even, nodes=1))]
    cost = [f"{pair[0].ms / pair[1].ms:.2f}" for pair in pairs]
    times = [" and ".join(map(_exchange, pair)) for pair in pairs]
    wide, one = 64 * even.tokens, 8 * even.tokens
    faster = f"--nvlink-gb-s {h100.nvlink_gb_s:.0f}"
    inside = "--n-nodes 1 --n-group 1 --topk-group 1"
    weaker = h100.nvlink_gb_s / h800.nvlink_gb_s
    same = (h800.bf16_tflops, h800.memory_gb_s) == (h100.bf16_tflops, h100.memory_gb_s)
    return Statement(
        "It ran on H800s, far weaker than H100s.",
        f"BF16 peak {h800.bf16_tflops:.0f} and {h100.bf16_tflops:.0f} TFLOP/s, memory "
        f"{h800.memory_gb_s:,.0f} and {h100.memory_gb_s:,.0f} GB/s, NVLink {h800.nvlink_gb_s:.0f} "
        f"and {h100.nvlink_gb_s:.0f} GB/s each way, network {h800.network_gb_s:.0f} and "
        f"{h100.network_gb_s:.0f}. One layer's exchange, dispatch + combine in µs on H800s and on "
        f"H100s: over eight nodes {times[0]} if experts are even ({cost[0]} times as long), "
        f"{times[1]} if uneven ({cost[1]}), and inside one node {times[2]} ({cost[2]}).",
        f"{'Partly true: equal for matrix products and memory' if same else 'True'}, and equal on "
        f"the network. Weaker by {weaker:.2f} times between GPUs of a node (and in FP64, which "
        f"language models do not use; {ISCA}, section 4.1).",
        MOVING_DATA,
        (
            "moe hardware",
            _simulated(wide),
            _simulated(wide, faster),
            _simulated(wide, f"--skew {UNEVEN.skew}"),
            _simulated(wide, f"--skew {UNEVEN.skew}", faster),
            _simulated(one, inside),
            _simulated(one, inside, faster),
        ),
        tuple(cost),
    )


def _moving_data() -> Statement:
    settings = MovingSettings()
    made, even = ways(settings), ways(MovingSettings(skew=0.0))
    first, last = made[0].moved, made[-1].moved
    faster = [one[0].moved.ms / one[-1].moved.ms for one in (even, made)]
    copies = [one.sent.copies_per_token for one in (first, last)]
    fewer = copies[0] / copies[1]
    slowest = [_four(one.dispatch.us_G.max() / one.dispatch.us_G.mean()) for one in (first, last)]
    before, after = before_after(UNEVEN)
    hidden = overlap(1.0, 1.0)
    wide, skew = 64 * settings.tokens, f"--skew {settings.skew}"
    spread = "--copies expert --n-group 1 --topk-group 1"
    said = [
        f"{value:.1f}" for value in (*faster, fewer, experts_per_row(settings), hidden.speed_up)
    ]
    return Statement(
        "It got far by reducing the time spent moving data around.",
        f"One layer's exchange of 64 GPUs with {settings.tokens} tokens each and uneven experts, "
        f"dispatch + combine: {_exchange(first)} µs with a copy per expert, {_exchange(last)} µs "
        f"with one per node and four nodes at most: {said[1]} times less. With even experts "
        f"{_exchange(even[0].moved)} µs and {_exchange(even[-1].moved)} µs: {said[0]} times less. "
        f"Copies per token: {_four(copies[0])} and, as DeepSeek-V3's gate chooses nodes, "
        f"{_four(copies[1])}, {said[2]} times fewer (by formula for four nodes drawn at random "
        f"{made[-1].by_chance:.2f}). The slowest GPU dispatches {slowest[0]} and {slowest[1]} "
        f"times as long as the mean one. NVLink passes on {said[3]} rows while the network brings "
        f"one (the report: 3.2). Placing very uneven experts (EPLB): {_exchange(before)} µs become "
        f"{_exchange(after)} µs. If computing and moving take as long as each other ({V3_REPORT}, "
        f"section 3.2.1), two overlapping batches make a layer {said[4]} times as fast.",
        f"True in this model, {min(faster):.1f} to {max(faster):.1f} times less time for "
        f"{said[2]} times fewer copies. With uneven experts not by copies alone: a copy for a node "
        "goes to the GPU there with the sender's index, so that no GPU gets all of a popular "
        f"expert's tokens over the network. The model reaches {NORMAL.network_share:.0%} of the "
        "network's line rate, calibrated on DeepEP's published tables.",
        MOVING_DATA,
        (
            _simulated(wide, skew),
            _simulated(wide, skew, spread),
            _simulated(wide),
            _simulated(wide, spread),
            _simulated(wide, f"--skew {UNEVEN.skew}"),
            _simulated(wide, f"--skew {UNEVEN.skew} --placement balanced --redundant 64"),
        ),
        (*said, f"{made[-1].by_chance:.2f}", str(settings.tokens), "3.2"),
    )


def _mixture() -> Statement:
    v3 = MODELS[V3]
    share = v3.active_params / v3.total_params
    exact = {check.what: check for check in check_numbers()}
    what = "training operations per token, context 4096, causal"
    ours, dense = (exact[f"{name}: {what}"] for name in ("DeepSeek-V3", "Llama-3.1-405B"))
    return Statement(
        "Mixture of experts spreads the work across sub-networks.",
        f"{v3.top_k} of {v3.experts} experts a token: {short(v3.active_params)} of "
        f"{short(v3.total_params)} parameters ({share:.1%}) at work. {_four(ours.computed)} GFLOP "
        f"per training token ({ISCA} prints {ours.published:.0f}) against {_four(dense.computed)} "
        "for Llama-3.1-405B.",
        f"True: one parameter in {1 / share:.0f} is used per token, and all of them are in memory.",
        f"{REAL_MODELS}, page *Savings*",
        ("moe models", "moe check-numbers"),
        (str(v3.top_k), str(v3.experts), f"{100 * share:.1f}"),
    )


def _specialised() -> Statement:
    sample = SAMPLES[0]
    check = topic_specialists(sample.load())
    return Statement(
        "The sub-networks are specialised.",
        "In this package's own small text model, whose router sees "
        f"{sample.settings.context} bytes at a time and can know no topic beyond them: "
        f"{check.answer} {lm_tokens.in_a_line()}",
        f"Depends on the model: {PUBLISHED} No trace of DeepSeek-V3 itself is here.",
        f"{YOUR_MODEL}, [Traces](traces.md)",
        ("moe analyze trace.npz",),
    )


def _open_weights() -> Statement:
    v3 = MODELS[V3]
    fits = {key: decode(v3, find_gpu(key), precision="4-bit") for key in MACHINES}
    needed = fits[MACHINES[0]].needed_bytes / 1e9
    said = "; ".join(
        f"{GPUS[key].name}: "
        + (f"fits, at most {_four(one.tokens_per_s)} tokens/s" if one.fits else "does not fit")
        for key, one in fits.items()
    )
    servers = decode(v3, find_gpu("h800"), precision="fp8", n_gpus=MANY)
    small = [
        MODELS[name].name
        for name in MODELS
        if decode(MODELS[name], find_gpu("rtx-4090"), precision="4-bit").fits
    ]
    running = [GPUS[key].name for key, one in fits.items() if one.fits]
    return Statement(
        "Open weights: anyone can run it locally.",
        f"Weights at 4 bits and a cache of 4,096 tokens: {_four(needed)} GB. {said}. In FP8, as "
        f"published, the main model takes {_four(servers.needed_bytes / 1e9)} GB: {MANY} H800s "
        f"{'hold' if servers.fits else 'do not hold'} it. The published files hold 685B "
        "parameters, 671B of it and 14B of its module for multi-token prediction (V3 README). "
        f"{len(small)} of {len(MODELS)} models of our table fit on the desktop card at 4 bits.",
        "The licence allows it: R1's code and weights are under MIT (R1 README, section 7); V3's "
        "weights came in December 2024 with a licence of DeepSeek's own, which restricts some "
        f"uses. Of these {len(fits)} machines {len(running)} runs it at 4 bits"
        f"{': ' + ', '.join(running) if running else ''}. The distilled small ones are other "
        "models.",
        REAL_MODELS,
        (
            "moe decode --gpu m3-ultra",
            "moe decode --gpu rtx-4090",
            f"moe decode {V3} --gpu h800 --precision fp8 --n-gpus {MANY}",
        ),
        ("4", "4,096", "4090", "140", "80", "512", str(MANY), "685", "671", "14",
         str(len(small)), str(len(MODELS))),
    )  # fmt: skip


def _rivals() -> Statement:
    r1, o1 = leads()
    return Statement(
        "It rivals the best.",
        "Nothing: scores are cited below, from the publisher's own tests.",
        f"Cannot be checked here. Of the {len(r1) + len(o1)} cited tests with results of both, R1 "
        f"leads in {len(r1)} and o1-1217 in {len(o1)}.",
        "",
    )


def _learning() -> Statement:
    r1 = {check.what: check for check in check_numbers()}["DeepSeek-R1: 147K H800 hours x $2"]
    return Statement(
        "It learned by distillation and reinforcement learning.",
        f"The money: R1's steps on top of V3, 147K H800 hours at $2 = "
        f"${short(r1.computed)} (quoted by others). And in miniature, in bits for each character: "
        f"{_caption('teacher.students')} Stages and scores of DeepSeek's are cited below.",
        "Published, and cited with the version. Both ways to learn work in models that train here "
        "in minutes; that says nothing of theirs.",
        f"{FIVE_MILLION}, {DISTIL}, [lesson on distillation]({COURSE}teacher.md), "
        f"[its runs]({reasoning.PAGE}#a-teacher), `moe lm distil`",
        ("moe check-numbers",),
        tuple(re.findall(r"\d+(?:\.\d+)?", _caption("teacher.students"))),
    )


def _reflects() -> Statement:
    return Statement(
        "By reinforcement learning it began to reflect.",
        "A tiny model of this package gets rewards for right answers only. In every seed they rise "
        "from chance to nearly all, together with thinking and with the answers' length.",
        "Partly true: with rewards for right answers alone, thinking, length and right answers "
        "rise together. But they select what the start had already; from a start whose "
        "thinking does not help yet, right answers stay at chance.",
        f"{THINK}, [lesson on thinking]({COURSE}thinking.md), "
        f"[its runs]({reasoning.PAGE}#thinking-that-pays), `moe lm reason`",
    )


def _caption(figure: str) -> str:
    """The words below a lesson's figure, which hold its figures."""
    return " ".join(show(figure).caption.split())
