"""The page on golden vectors: its tables come from `moe/porting/`, and it shows the readers."""

from __future__ import annotations

from moe.checkpoints.families import LOADABLE
from moe.gates.bugs import GATE_BUGS
from moe.porting.caught import CAUGHT_BY
from moe.porting.document import LOSS_OF_EVEN, SCHEMA, golden

from .methods import page_text, table
from .tables import HERE

PAGE = "golden.md"
READERS = {"JavaScript": ("reader.js", "javascript"), "C": ("reader.c", "c")}

INTRO = """\
You write a mixture-of-experts layer in another language or framework: it has to choose the same
experts, with the same weights, and give the same numbers as the reference. `moe golden` writes
what that means for one family of models, as one JSON file:

```
moe golden deepseek_v3 --out deepseek_v3.json
moe golden deepseek_v3 --out deepseek_v3.json --checkpoint tiny   # and the layer itself
moe golden qwen3_moe --out qwen3.json --set norm_topk_prob=true   # as the published models have it
```

The file holds a tiny layer, 64 tokens, and for each of them logits, choices, weights and result,
then gradients. Every token has a name that says what it tests, so that a wrong port is told where
it is wrong.\
"""
PYTHON = """\
A port that Python can call needs no file. This one scores a group by its best expert, where
DeepSeek-V3 takes the two best:

```python
from moe.gates.bugs import OwnGate
from moe.porting.document import golden

vectors = golden("deepseek_v3")
gate = OwnGate(vectors.layer.router, "group_score")
choices, weights = gate(vectors.arrays["logits_NE"], bias_E=vectors.arrays["select_bias_E"])
failures = vectors.failures(choices, weights)
print(len(failures), "fail:", *(name for name in failures if "group" in name), sep="\\n")
```

```text
15
fail:
the best expert is in a group out of reach (1 of 2)
the best expert is in a group out of reach (2 of 2)
one of the k best is in a group out of reach (1 of 2)
one of the k best is in a group out of reach (2 of 2)
groups rank by the sum of their two best (1 of 2)
groups rank by the sum of their two best (2 of 2)
two equal groups: the one of lower numbers is in reach (2 of 2)
```\
"""
SCHEMA_WORDS = f"""\
The first key is `schema`, here `{SCHEMA}`: its number changes when the meaning of a key does.
Numbers are in the `dtype` that the file names (float64, or `--dtype float32`), with as many
digits as give the same bits back. Arrays are flat lists in C order; `shapes` has their shapes,
and their names say them too: N tokens, D model width, F expert width, E experts, K choices.
`null` in an array is NaN.

Same family, seed and dtype, same bits. Weights are multiples of 1/32 that bfloat16 holds; logits
are sums of few binary digits, exact in float32 in any order. Where two experts or groups are
compared they are equal to the last bit or at least {{clear}} apart, so no rounding decides.
`tolerance` is what a different exponential and order of sums may cost, relative to the largest
number of a row.\
"""
KEYS = [
    (
        "`names`",
        "What each of the 64 tokens tests.",
    ),
    (
        "`x_ND`, `mask_N`",
        "The tokens; 0 marks padding and the token of NaN, which count in no loss.",
    ),
    (
        "`gate_DE`, `w_gate_up_ED2F`, `w_down_EFD`, …",
        "The layer's arrays, gate half first; `select_bias_E` is the correction bias, "
        "`gate_bias_E` the gate's own.",
    ),
    (
        "`router`, `score`, `softmax_order`, `renormalize`, `norm_eps`, `norm_min`, "
        "`scale`, `n_group`, `topk_group`, `group_score_of`, `weigh_input`, `jitter_eps`, "
        "`n_identity`",
        "What the gate computes, in one formula for all families; the readers below are "
        "that formula.",
    ),
    (
        "`activation`, `gated`, `alpha`, `limit`, `plus`",
        "What an expert computes between its products: with a gate, min(g, limit) · "
        "sigmoid(alpha · g) · (clip(u, limit) + plus); `limit` null is none.",
    ),
    (
        "`logits_NE`, `choices_NK`, `weights_NK`, `y_ND`",
        "Forward, choices best first; of equal ones the lower number is chosen. The "
        "choices of the token of NaN mean nothing, its result is NaN.",
    ),
    (
        "`losses`",
        "Balance losses E Σ f P, f the share of choices and P the mean share of scores, "
        "of the layers whose tokens are listed; of several layers the mean.",
    ),
    (
        "`dy_ND`, `d_x_ND`, `d_gate_DE`, …",
        "The gradient at y that is handed in, and what comes back for Σ y · dy plus the "
        "last of the losses, without the token of NaN.",
    ),
    (
        "`config`",
        "The config.json of the layer, which comes last.",
    ),
]


def page() -> str:
    """Return the page."""
    return page_text(
        "docs/generator/golden.py, moe/porting/ and docs/golden/",
        "# Golden vectors",
        INTRO,
        f"There are vectors for all {len(LOADABLE)} families of the table on "
        "[published checkpoints](checkpoints.md), which are compared with transformers.",
        PYTHON,
        "## The named tokens",
        "These are DeepSeek-V3's. What a family does not have (groups, a bias, a limit) has no "
        "token, and plain ones take the place.",
        table(["Tokens", "What is tested"], [list(row.values()) for row in _kinds()]),
        "## Known bugs, and where they show",
        f"The {len(GATE_BUGS)} known bugs that [`moe check-gate`](check-gate.md) looks for, "
        "each planted in a port, fail at least here. The tests plant them in the port in "
        "JavaScript below, in the library's own gate, and those of the gate in C too.",
        table(
            ["Bug", "Fails at"], [[_title(bug), f"*{where}*"] for bug, where in CAUGHT_BY.items()]
        ),
        "## The file",
        SCHEMA_WORDS.format(clear="a ten-thousandth"),
        table(["Key", "Meaning"], [list(row) for row in KEYS]),
        *[part for language in READERS for part in _reader(language)],
    )


def _kinds() -> list[dict[str, str]]:
    rows = golden("deepseek_v3").rows()
    assert rows[-4]["what is tested"] == LOSS_OF_EVEN
    return rows


def _title(bug: str) -> str:
    return f"`{bug}`: {GATE_BUGS[bug].title}"


def _reader(language: str) -> list[str]:
    name, fence = READERS[language]
    text = (HERE / "golden" / name).read_text("utf-8")
    lines = text.count("\n")
    return [
        f"## A port in {language}",
        f"[{name}](golden/{name}) needs no library and has {lines} lines for all families. The "
        "tests run it on every one.",
        f"```{fence}\n{text.rstrip()}\n```",
    ]
