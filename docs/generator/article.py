"""The page on the news article: each technical statement, what the package computes, a verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from moe.cluster.schedule import overlap
from moe.cluster.timing import NORMAL
from moe.cost import GPUS, MODELS, TrainingCost, check_numbers, decode, find_gpu
from moe.cost.checks import V3_HOURS
from moe.lab.cost import short
from moe.lab.moving import MovingSettings, before_after, experts_per_row, links, ways
from moe.lab.myths import PUBLISHED, topic_specialists
from moe.lab.samples import SAMPLES

from .docstrings import to_cell
from .methods import MADE, table

PAGE = "article.md"
APP = "http://localhost:8501/"
FIVE_MILLION = f"[The $5M question]({APP}five-million)"
REAL_MODELS = f"[Real models]({APP}real-models)"
MOVING_DATA = f"[Moving data]({APP}moving-data)"
YOUR_MODEL = f"[Your model]({APP}your-model)"
V3_REPORT = "arXiv 2412.19437"
ISCA = "arXiv 2505.09343"
R1_README = "[R1 README](https://github.com/deepseek-ai/DeepSeek-R1)"
MACHINES = ("rtx-4090-laptop", "rtx-4090", "m3-ultra")
MANY = 16  # H800s of two nodes
UNEVEN = MovingSettings(skew=0.6)

INTRO = """\
# The article, statement by statement

The news of January 2025 about DeepSeek made technical claims. Here each one stands beside what
this package computes, with the range that the assumptions leave, and a verdict. "Try it" names the
command, and the page of the app (start it with `moe app`, then the links work) where every
assumption can be changed. Figures in this table are computed when the page is made; what is only
cited says so, with its source."""

CITED = """\
## Cited, not computed

Scores of models are results of their publishers' own tests. This package runs none of these models,
so it can neither confirm nor deny them. Pass rates at the first answer in per cent, and Codeforces
ratings, from the {readme}:

{scores}

- Of these five tests R1 is ahead of o1-1217 in three by little (AIME 2024, MATH-500, LiveCodeBench)
  and behind in two (GPQA Diamond, Codeforces). The publisher chose the tests.
- *Reinforcement learning*: R1-Zero, trained by it alone, went from 15.6 to 71.0 per cent on AIME
  2024 in the preprint of January 2025 (arXiv 2501.12948v1); the later version of the same paper
  prints 77.9. Rewards were rules, right or wrong and the format, with no learned judge.
- *Distillation*: Qwen and Llama models were trained further on about 800,000 answers, most of them
  R1's own. The 32B Qwen model then reached 72.6 on AIME 2024; the same model with reinforcement
  learning instead reached 47.0 (arXiv 2501.12948v2, table 16, quoted by others).

## How to read a verdict

*True with this reading*: the figure follows from published numbers, if the words mean what the row
says. *Partly true*: it holds for the parts that the row names. *Within reach*: the computed range
holds the claim, and so much else that it proves little. *Depends on the model*: several
measured it, with different answers. *Cannot be checked*: no formula and no published figure decides
it."""

SCORES = [
    ["DeepSeek-R1", "79.8", "97.3", "71.5", "65.9", "2029"],
    ["OpenAI o1-1217", "79.2", "96.4", "75.7", "63.4", "2061"],
    ["OpenAI o1-mini", "63.6", "90.0", "60.0", "53.8", "1820"],
    ["R1-Distill-Qwen-32B", "72.6", "94.3", "62.1", "57.2", "1691"],
    ["R1-Distill-Qwen-1.5B", "28.9", "83.9", "33.8", "16.9", "954"],
    ["GPT-4o", "9.3", "74.6", "49.9", "32.9", "759"],
]


@dataclass(frozen=True)
class Statement:
    """A row: what was said, what is computed, the verdict, and where to try it."""

    said: str
    computed: str
    verdict: str
    page: str
    command: str

    def cells(self) -> list[str]:
        """Markdown of the row."""
        tried = f"{self.page}<br>`{self.command}`" if self.page else f"`{self.command}`"
        return [to_cell(self.said), to_cell(self.computed), to_cell(self.verdict), tried]


def page() -> str:
    """Return the page."""
    scores = table(
        ["Model", "AIME 2024", "MATH-500", "GPQA Diamond", "LiveCodeBench", "Codeforces"], SCORES
    )
    parts = [
        MADE.format(source="docs/generator/article.py"),
        INTRO,
        table(
            ["Statement", "What we compute", "Verdict", "Try it"],
            [statement.cells() for statement in statements()],
        ),
        CITED.format(readme=R1_README, scores=scores),
    ]
    return "\n\n".join(parts) + "\n"


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
    )


def _dollars(value: float) -> str:
    return f"${value / 1e6:.3g}M"


def _five_million() -> Statement:
    hours, price = sum(V3_HOURS), 2.0
    result = TrainingCost("deepseek-v3", extra_hours=sum(V3_HOURS[1:])).result()
    exact = {check.what: check for check in check_numbers()}
    rate = exact["DeepSeek-V3: H800 hours from 272.8B tokens a day on 2,048 GPUs"]
    return Statement(
        "Training cost about $5M.",
        f"Published hours ({V3_REPORT}, table 1): {hours / 1e6:.3f}M on H800s at an assumed "
        f"${price:.0f} an hour = ${hours * price / 1e6:.3f}M. Computed from the model's shape and "
        f"tokens: {_dollars(result.dollars.low)} to {_dollars(result.dollars.high)}, middle "
        f"{_dollars(result.dollars.mid)}. Hours from the published speed: "
        f"{rate.computed / 1e6:.3f}M for pre-training, {rate.comparison} off.",
        "True with this reading: rent of the GPUs for the final run. Research, trial runs, people, "
        "data and the machines themselves are not in it, as the report itself says.",
        FIVE_MILLION,
        "moe cost deepseek-v3",
    )


def _experts_dispute() -> Statement:
    result = TrainingCost("deepseek-v3").result()
    wide = result.dollars.high / result.dollars.low
    return Statement(
        "Experts dispute the figure.",
        f"Utilisation of 25 to 43 % and a rent of $1.5 to $4 alone spread the final run by a "
        f"factor of {wide:.1f}. A published estimate of the rest (SemiAnalysis, 31 January 2025) "
        "is $1.6B for servers, which serve much else.",
        "Both are right about different things: the run fits its published hours, and the whole "
        "undertaking costs more. How much more cannot be checked.",
        FIVE_MILLION,
        "moe cost deepseek-v3 --json",
    )


def _fifty_to_hundred() -> Statement:
    llama = MODELS["llama-3.1-405b"]
    ours, dense = TrainingCost("deepseek-v3"), TrainingCost("llama-3.1-405b")
    result = dense.result()
    price = 2.0
    ratio = dense.train_flops / ours.train_flops
    return Statement(
        "The other figure: closer to $50–100M.",
        f"Llama-3.1-405B, dense, with its published {llama.gpu_hours / 1e6:.2f}M H100 hours at "
        f"${price:.0f}: {_dollars(llama.gpu_hours * price)}; computed "
        f"{_dollars(result.dollars.low)} to {_dollars(result.dollars.high)}. It takes {ratio:.1f} "
        "times DeepSeek-V3's operations.",
        "Within reach: a dense model of that size lands there. No source was found for the sum, "
        "nor what it covers. The difference to V3 is almost all operations, hardly better use of "
        "the hardware.",
        FIVE_MILLION,
        "moe cost llama-3.1-405b",
    )


def _h800() -> Statement:
    h800, h100 = find_gpu("h800"), find_gpu("h100")
    even = MovingSettings(skew=0.0)
    asked = (even, UNEVEN, replace(even, nodes=1))
    cost = [pair[0].ms / pair[1].ms for pair in map(links, asked)]
    return Statement(
        "It ran on H800s, far weaker than H100s.",
        f"BF16 peak {h800.bf16_tflops:.0f} and {h100.bf16_tflops:.0f} TFLOP/s, memory "
        f"{h800.memory_gb_s:,.0f} and {h100.memory_gb_s:,.0f} GB/s, NVLink {h800.nvlink_gb_s:.0f} "
        f"and {h100.nvlink_gb_s:.0f} GB/s each way, network {h800.network_gb_s:.0f} and "
        f"{h100.network_gb_s:.0f}. One layer's exchange takes {cost[0]:.2f} times as long on "
        f"H800s over eight nodes if experts are even, {cost[1]:.2f} if uneven, and {cost[2]:.2f} "
        "inside one node.",
        "Partly true: equal for matrix products and memory, and equal on the network. Weaker by "
        f"{h100.nvlink_gb_s / h800.nvlink_gb_s:.2f} times between GPUs of a node (and in FP64, "
        f"which language models do not use; {ISCA}, section 4.1).",
        MOVING_DATA,
        "moe hardware",
    )


def _moving_data() -> Statement:
    settings = MovingSettings()
    made = ways(settings)
    even = ways(MovingSettings(skew=0.0))
    faster = [one[0].moved.ms / one[-1].moved.ms for one in (even, made)]
    chance = ", ".join(f"{way.by_chance:.2f}" for way in made)
    before, after = before_after(UNEVEN)
    hidden = overlap(1.0, 1.0)
    return Statement(
        "It got far by reducing the time spent moving data around.",
        f"One layer's exchange, 64 GPUs: {made[0].moved.ms:.2f} ms with a copy per expert, "
        f"{made[-1].moved.ms:.2f} ms once per node and four nodes at most "
        f"({faster[0]:.1f} times less with even experts, {faster[1]:.1f} with uneven ones). "
        f"Copies per token by formula {chance}. NVLink passes on "
        f"{experts_per_row(settings):.1f} rows while the network brings one (the report: 3.2). "
        f"Placing very uneven experts (EPLB): {before.ms:.2f} to {after.ms:.2f} ms. If computing "
        f"and moving take as long as each other ({V3_REPORT}, section 3.2.1), two overlapping "
        f"batches make a layer {hidden.speed_up:.1f} times as fast.",
        f"True, {min(faster):.1f} to {max(faster):.1f} times less time by fewer copies alone, by a "
        f"model that reaches {NORMAL.network_share:.0%} of the network's line rate, calibrated on "
        "DeepEP's published tables.",
        MOVING_DATA,
        "moe cluster simulate --skew 0.3",
    )


def _mixture() -> Statement:
    v3 = MODELS["deepseek-v3"]
    share = v3.active_params / v3.total_params
    flops = TrainingCost("deepseek-v3").flops_per_token / 1e9
    dense = TrainingCost("llama-3.1-405b").flops_per_token / 1e9
    return Statement(
        "Mixture of experts spreads the work across sub-networks.",
        f"{v3.top_k} of {v3.experts} experts a token: {short(v3.active_params)} of "
        f"{short(v3.total_params)} parameters ({share:.1%}) at work. {flops:.0f} GFLOP per "
        f"training token ({ISCA} prints 250) against {dense:,.0f} for Llama-3.1-405B.",
        "True: about a twentieth of the weights per token, and all of them in memory.",
        f"{REAL_MODELS}, [Savings]({APP}savings)",
        "moe models",
    )


def _specialised() -> Statement:
    sample = SAMPLES[0]
    check = topic_specialists(sample.load())
    return Statement(
        "The sub-networks are specialised.",
        "In this package's own small text model, whose router sees "
        f"{sample.settings.context} bytes at a time and can know no topic beyond them: "
        f"{check.answer}",
        f"Depends on the model: {PUBLISHED} No trace of DeepSeek-V3 itself is here.",
        f"{YOUR_MODEL}, [Traces](traces.md)",
        "moe analyze trace.npz",
    )


def _open_weights() -> Statement:
    v3 = MODELS["deepseek-v3"]
    fits = {key: decode(v3, find_gpu(key), precision="4-bit") for key in MACHINES}
    needed = fits[MACHINES[0]].needed_bytes / 1e9
    said = "; ".join(
        f"{GPUS[key].name}: "
        + (f"fits, at most {one.tokens_per_s:.0f} tokens/s" if one.fits else "does not fit")
        for key, one in fits.items()
    )
    servers = decode(v3, find_gpu("h800"), precision="fp8", n_gpus=MANY)
    small = [
        MODELS[name].name
        for name in MODELS
        if decode(MODELS[name], find_gpu("rtx-4090"), precision="4-bit").fits
    ]
    return Statement(
        "Open weights: anyone can run it locally.",
        f"Weights at 4 bits and a cache of 4,096 tokens: {needed:.0f} GB. {said}. As published, in "
        f"FP8, {servers.needed_bytes / 1e9:.0f} GB: {MANY} H800s "
        f"{'hold' if servers.fits else 'do not hold'} it. {len(small)} of {len(MODELS)} models of "
        "our table fit on the desktop card at 4 bits.",
        "True for the licence, not for most machines. A workstation with 512 GB runs it at 4 bits; "
        "the distilled small ones are other models.",
        REAL_MODELS,
        "moe decode --gpu m3-ultra",
    )


def _rivals() -> Statement:
    return Statement(
        "It rivals the best.",
        "Nothing: scores are cited below, from the publisher's own tests.",
        "Cannot be checked here. By the cited figures R1 and o1-1217 lead in some tests each.",
        "",
        "moe check-numbers",
    )


def _learning() -> Statement:
    r1 = {check.what: check for check in check_numbers()}["DeepSeek-R1: 147K H800 hours x $2"]
    return Statement(
        "It learned by distillation and reinforcement learning.",
        f"Only the money: R1's steps on top of V3, 147K H800 hours at $2 = "
        f"${r1.computed / 1e3:.0f}K (quoted by others). Scores are cited below.",
        "Published, and cited with the version. Nothing of it is computed here.",
        FIVE_MILLION,
        "moe check-numbers",
    )
