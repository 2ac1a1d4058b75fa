"""The page on the cluster model: its tables are computed."""

from __future__ import annotations

from moe.cluster.calibration import HELD_OUT, REFERENCE, Calibration, calibrate
from moe.cluster.published import copies_rows

from .methods import page_text, table

PAGE = "cluster.md"

INTRO = """\
Experts too many for one GPU live on many. Each layer then sends every token to its experts'
GPUs (*dispatch*) and the results back (*combine*). `moe cluster simulate` counts what each link
carries, from who was routed where, and says how long that takes:

```
moe cluster simulate                                   # DeepSeek-V3's layer on 8 nodes of 8 H800
moe cluster simulate --n-nodes 40 --redundant 64 --copies expert --kernels "low latency" --batch 128
moe cluster simulate --skew 0.5 --placement balanced   # uneven experts, placed as EPLB does
moe cluster simulate --traffic v2-lite --placement balanced --redundant 64 # popular as measured
moe cluster simulate --trace trace.npz --n-experts 16 --n-group 1 --topk-group 1 --n-nodes 2
```

From Python, `moe.cluster.traffic(routing, device_E, cluster)` gives rows and bytes between each two
GPUs for a `Routing` of any router, or for chosen experts (N, K).\
"""
COUNTED = """\
- **Rows per link.** `copies="expert"` sends a copy for each chosen expert straight to its GPU, as
  DeepEP's low-latency kernels do; `"gpu"` one per distinct GPU; `"node"` one per distinct node over
  the network, to the GPU there that has the sender's index, which passes it on over NVLink (the
  normal kernels). The combine takes the same ways back and sums at each stop.
- **Bytes.** A dispatched row is FP8 with one float32 scale per 128 values (7,392 bytes for 7,168
  values), a combined one BF16 (14,336).
- **Time.** A fixed time per call plus the bytes of the slowest GPU over its busier link, NVLink or
  network. All GPUs wait for the slowest.
- **Placement.** Experts anywhere, also several copies of one; which copy a token takes is `spread`
  (in turn) or `near` (own GPU, else own node).
- **What hides it.** Two batches at once: one computes while the other's rows travel, 20 of 132
  multiprocessors lost to communication. Bubbles of the pipeline schedules: `moe cluster bubbles`.\
"""
COPIES = """\
256 experts on 8 nodes, 8 experts a token; the own node counts. The formula is this package's own
(`moe.cluster.sampling.expected_copies`): the expected number of nodes that k experts drawn at
random lie on. KB are dispatch and combine together; milliseconds those of 4,096 tokens at 50 GB/s.\
"""
GATE = """\
The {formula:.2f} by formula takes the four nodes as drawn at random. DeepSeek-V3's gate draws the
nodes whose two best experts score highest, and these experts are then mostly among the eight: on
random logits a token goes to {gate:.2f} of its four nodes.\
"""
FIT = """\
Five numbers are fitted to the rows marked *calibrate*: the time of a call, and for either family of
kernels the reached shares of both line rates (H800: NVLink 200 GB/s, network 50 GB/s a GPU, one
direction). The rows marked *held out* were not looked at by the fit. Times in the normal table are
what the printed bandwidth says. Every row is simulated with the routing of DeepEP's benchmark.

The low-latency rows for 128 and 256 GPUs stand unchanged since before the kernels used NVLink
(commit de8cfca of the repository), so they are modelled without it.\
"""
OTHERS = """\
Other versions, kernels and hardware, with the figures fitted above and the line rates of that
hardware. UCCL's kernels on EFA take up to {longer:.1f} times what the model says: neither they nor
that network are what was fitted.\
"""
SOURCES = """\
Sources: [DeepEP](https://github.com/deepseek-ai/DeepEP), docs/legacy.md and README, the latter also
before commit de8cfca; [UCCL](https://github.com/uccl-project/uccl), ep/README.md. All rows stand in
`moe/cluster/deepep.csv`.\
"""
LEFT_OUT = """\
- Congestion, routes through the switches, and other jobs on the network.
- The exchange of counts before a dispatch, and top-k weights and indices (DeepEP's 16 bytes a row).
- Differences between kernels' settings: one share per link stands for all chunk sizes.
- Computing is a given ratio of the communication (1 as in DeepSeek-V3, section 3.2.1) and grows
  with the busiest GPU's rows as if all of it were experts: the most that imbalance can cost.
- Skewed popularity is one number for all layers and does not change over time.\
"""


def page() -> str:
    """Return the page."""
    found = calibrate()
    rows = list(copies_rows(tokens=65_536))
    copies = [
        [
            row.rule,
            "–" if row.formula is None else f"{row.formula:.2f}",
            f"{row.simulated:.2f}",
            f"{row.kb_per_token:.1f}",
            f"{row.ms:.1f}",
        ]
        for row in rows
    ]
    shares = [
        [name, f"{k.call_us:.1f}", f"{k.nvlink_share:.3f}", f"{k.network_share:.3f}"]
        for name, k in found.kernels.items()
    ]
    return page_text(
        "docs/generator/cluster.py",
        "# Where the data moves",
        INTRO,
        "## What is counted",
        COUNTED,
        "## Copies of a token",
        COPIES,
        table(["A copy", "formula", "simulated", "KB per token", "ms"], copies),
        GATE.format(formula=rows[-2].formula, gate=rows[-1].simulated),
        "## Against DeepEP's measurements",
        FIT,
        table(["kernels", "call, µs", "share of NVLink", "share of network"], shares),
        f"Median error on the rows held out: **{found.median_error(HELD_OUT):.1%}**. "
        "`moe cluster calibrate` fits again.",
        _errors(found, reference=False),
        OTHERS.format(longer=_longest(found, "EFA")),
        _errors(found, reference=True),
        SOURCES,
        "## What is left out",
        LEFT_OUT,
    )


def _longest(found: Calibration, words: str) -> float:
    """Most that a row whose note has these words takes longer than the model says."""
    return max(row.published_us / row.us for row in found.rows if words in row.measured.note)


def _errors(found: Calibration, reference: bool) -> str:
    """Table of rows beside the model."""
    rows = []
    for row in found.rows:
        measured = row.measured
        if (measured.role == REFERENCE) == reference:
            rows.append(
                [
                    f"{measured.table}, {measured.phase}, EP{measured.ep}",
                    (measured.note or measured.source) if reference else measured.role,
                    f"{row.published_us:,.0f}",
                    f"{row.us:,.0f}",
                    f"{measured.gb_s:.0f}",
                    f"{row.gb_s:.0f}",
                    f"{row.error:+.1%}",
                ]
            )
    names = ["row", "what" if reference else "role", "µs", "model", "GB/s", "model", "error"]
    return table(names, rows)
