"""The cluster model against what is published: copies, measured times, pipeline bubbles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .calibration import ROLES, Calibration, RowError
from .sampling import expected_copies
from .schedule import BUBBLES, bubble
from .simulate import EVENLY, ClusterSettings, run


@dataclass(frozen=True)
class CopiesRow:
    """How often a token's row is sent: 256 experts on 8 nodes of 8 GPUs, 8 experts per token.

    Attributes
    ----------
    rule
        Who gets a copy.
    formula, simulated
        Copies per token, that for its own node included; None where no formula is known.
    kb_per_token
        Kilobytes of these copies in dispatch and combine, with DeepSeek-V3's rows.
    ms
        Milliseconds for 4,096 tokens of one GPU at 50 GB/s.
    """

    rule: str
    formula: float | None
    simulated: float
    kb_per_token: float
    ms: float


def copies_rows(tokens: int = 262_144, seed: int = 0) -> Iterator[CopiesRow]:
    """Yield the copies per token by formula and by simulation.

    The last row has no formula: a gate that picks groups by their best experts, and then takes
    those experts, reaches nearly all of its groups.
    """
    rules: list[tuple[str, float | None, dict[str, Any]]] = [
        ("per expert", 8.0, {"copies": "expert", "router": EVENLY, "topk_group": 8}),
        ("per node", expected_copies(256, 8, 8), {"router": EVENLY, "topk_group": 8}),
        ("per node, 4 random nodes", expected_copies(256, 8, 8, 4), {"router": EVENLY}),
        ("per node, 4 nodes chosen by DeepSeek-V3's gate", None, {}),
    ]
    for rule, formula, options in rules:
        sent = run(ClusterSettings(tokens=tokens, seed=seed, **options)).traffic
        row_bytes = sent.dispatch_row_bytes + sent.combine_row_bytes
        copies = sent.copies_per_token
        yield CopiesRow(
            rule=rule,
            formula=formula,
            simulated=copies,
            kb_per_token=copies * row_bytes / 1e3,
            ms=4096 * copies * row_bytes / sent.cluster.network_gb_s / 1e6,
        )


def error_row(row: RowError) -> dict[str, Any]:
    """Return one measurement beside the model, as a flat record."""
    measured = row.measured
    return {
        "table": measured.table,
        "role": measured.role,
        "phase": measured.phase,
        "ep": measured.ep,
        "published_us": row.published_us,
        "us": row.us,
        "published_gb_s": measured.gb_s,
        "gb_s": row.gb_s,
        "error": row.error,
        "bound_by": row.bound_by,
        "source": measured.source,
        "note": measured.note,
    }


def calibration_json(calibration: Calibration) -> dict[str, Any]:
    """Return the fitted figures, the median errors and every row."""
    return {
        "kernels": {name: asdict(kernels) for name, kernels in calibration.kernels.items()},
        "median_error": {role: calibration.median_error(role) for role in ROLES},
        "rows": [error_row(row) for row in calibration.rows],
    }


def bubble_rows(
    stages: int = 16,
    forward: float = 1.0,
    backward: float = 2.0,
    weight: float = 1.0,
    both: float | None = None,
    micro_batches: int | None = None,
) -> list[dict[str, Any]]:
    """Return idle time, its share, and memory per schedule; see `moe.cluster.schedule`."""
    rows = []
    for method in BUBBLES:
        schedule = bubble(method, stages, forward, backward, weight, both, micro_batches)
        rows.append({**asdict(schedule), "share": schedule.share})
    return rows
