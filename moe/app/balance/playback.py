"""Playback: two finished training runs packed for the player that shows them in the browser."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...pictures.experts import expert_name

if TYPE_CHECKING:
    from ...training import TrainRecord

NBSP = "\u00a0"
MEAN_STEPS = 20  # the running mean of the loss covers at most this many steps
WARM_UP = 0.1  # share of the steps whose high loss may leave the axis at the top


def playback(
    records_a: Sequence[TrainRecord],
    records_b: Sequence[TrainRecord],
    *,
    titles: tuple[str, str] = ("A", "B"),
) -> dict[str, Any]:
    """Pack two runs of S steps each, with every axis worked out, into a JSON-able dictionary.

    Parameters
    ----------
    records_a, records_b
        One record per step with `step, loss, load (E,), max_vio, dead, dropped`. Both runs have
        the same steps; their numbers of experts E may differ.
    titles
        What to call the runs.

    Returns
    -------
    dict
        - `id`: hash of all the rest, the same for the same runs
        - `steps`: the S step numbers, the first being 1
        - `step_ticks`: [index, text] under the step axis
        - `share_axis`, `loss_axis`: each `min, max` and `ticks`, pairs of [value, text]
        - `loss_note`: what the two kinds of loss curve are
        - `runs`: two of `title, n_experts, fair` (1 / E), `fair_text, heat_text`,
          `expert_ticks, row_ticks` ([expert, name] under bars, beside rows), `sentences` (S;
          each step's numbers in words) and `series`, base64 little-endian float32: `share`
          (S, E), each expert's share of the work that was kept, `loss` (S,), `loss_mean` (S,)

    Raises
    ------
    ValueError
        If a run is empty, a load changes its shape within a run, or the steps differ.
    """
    shares = [_shares("records_a", records_a), _shares("records_b", records_b)]
    steps = [_counted(record) for record in records_a]
    if steps != [_counted(record) for record in records_b]:
        raise ValueError(
            f"records_b: got {len(records_b)} steps, allowed are the same "
            f"{len(steps)} step numbers as in records_a"
        )
    runs = [
        _run(str(title), records, share_SE)
        for title, records, share_SE in zip(titles, (records_a, records_b), shares, strict=True)
    ]
    losses = [np.array([record.loss for record in run]) for run in (records_a, records_b)]
    top_share = max(float(share_SE.max()) for share_SE in shares)
    index = {step: i for i, step in enumerate(steps)}
    payload: dict[str, Any] = {
        "steps": steps,
        "step_ticks": [
            [index[int(t)], f"{t:.0f}"] for t in nice_ticks(steps[0], steps[-1], 5) if t in index
        ],
        "share_axis": {
            "min": 0.0,
            "max": top_share or 1.0,
            "ticks": [[t, f"{100 * t:g}%"] for t in nice_ticks(0, top_share or 1.0, 4)],
        },
        "loss_axis": _loss_axis(losses),
        "loss_note": f"Thin: each step. Bold: mean of {_mean_steps(len(steps))} steps.",
        "runs": runs,
    }
    digest = hashlib.blake2b(json.dumps(payload, sort_keys=True).encode(), digest_size=8)
    return {"id": digest.hexdigest()} | payload


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round numbers (1, 2, 2.5 or 5 times a power of ten) in [low, high]."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    gap = power * min(m for m in (1, 2, 2.5, 5, 10) if m * power >= 0.999 * rough)
    first, last = math.ceil(low / gap - 1e-9), math.floor(high / gap + 1e-9)
    return [round(i * gap, 10) for i in range(first, last + 1)]


def _counted(record: TrainRecord) -> int:
    """Number of a step, counted from 1; records count from 0."""
    return int(record.step) + 1


def _shares(name: str, records: Sequence[TrainRecord]) -> np.ndarray:
    """Return each expert's share of the work that was kept at each step, shape (S, E)."""
    if not records:
        raise ValueError(f"{name}: got no records, allowed is one or more")
    shapes = {np.shape(record.load) for record in records}
    if len(shapes) > 1 or len(min(shapes)) != 1 or min(shapes) == (0,):
        raise ValueError(f"{name}: got loads of shape {sorted(shapes)}, allowed is one shape (E,)")
    load_SE = np.array([record.load for record in records], dtype=np.float64)
    # a step without any assignment has no shares; it is shown as all idle
    share_SE: np.ndarray = load_SE / np.maximum(load_SE.sum(axis=1, keepdims=True), 1)
    return share_SE


def _run(title: str, records: Sequence[TrainRecord], share_SE: np.ndarray) -> dict[str, Any]:
    """Pack the series and the words of one run."""
    n_experts = share_SE.shape[1]
    loss_S = np.array([record.loss for record in records], dtype=np.float64)
    return {
        "title": title,
        "n_experts": n_experts,
        "fair": 1 / n_experts,
        "fair_text": _fair(n_experts),
        "heat_text": f"Work of {n_experts} experts, steps "
        f"{_counted(records[0])} to {_counted(records[-1])}.",
        "expert_ticks": _named(n_experts, 16),
        "row_ticks": _named(n_experts, 8),
        "sentences": [
            _sentence(record, share_E) for record, share_E in zip(records, share_SE, strict=True)
        ],
        "series": {
            "share": _pack(share_SE),
            "loss": _pack(loss_S),
            "loss_mean": _pack(_running_mean(loss_S)),
        },
    }


def _named(n_experts: int, most: int) -> list[list[Any]]:
    """Return [expert, name] of each expert, or of every so many where there is no room for all."""
    return [[e, expert_name(e)] for e in range(0, n_experts, math.ceil(n_experts / most))]


def _sentence(record: TrainRecord, share_E: np.ndarray) -> str:
    """Put the numbers of one step in words."""
    busiest = int(share_E.argmax())
    times = share_E[busiest] * len(share_E)
    does = (
        f"busiest expert ({expert_name(busiest)}) does {share_E[busiest]:.1%}, "
        f"{times:.1f} times the fair share"
    )
    if not share_E.any():
        does = "no expert does anything"
    dropped = f"; {record.dropped:.1%} of the work turned away" if record.dropped > 0 else ""
    return (
        f"Step {_counted(record)}: {does}; {record.dead} of {len(share_E)} idle{dropped}; "
        f"loss{NBSP}{record.loss:.3f}."
    )


def _fair(n_experts: int) -> str:
    """Return the fair share in words."""
    return f"fair share {1 / n_experts:.1%}"


def _running_mean(value_S: np.ndarray) -> np.ndarray:
    """Return at each step the mean over it and the steps before it, `_mean_steps` in all."""
    span = _mean_steps(len(value_S))
    return np.array([value_S[max(0, i + 1 - span) : i + 1].mean() for i in range(len(value_S))])


def _mean_steps(n_steps: int) -> int:
    """Return how many steps the running mean covers: fewer in a short run."""
    return min(MEAN_STEPS, max(1, n_steps // 15))


def _loss_axis(losses: list[np.ndarray]) -> dict[str, Any]:
    """Fit the loss axis to the steps after the warm-up, whose high loss would flatten the rest."""
    start = math.ceil(WARM_UP * (len(losses[0]) - 1))
    loss = np.concatenate([loss_S[start:] for loss_S in losses])
    loss = loss[np.isfinite(loss)]
    low, high = (float(loss.min()), float(loss.max())) if loss.size else (0.0, 1.0)
    pad = 0.05 * (high - low) or 0.05
    low, high = low - pad, high + pad
    ticks = nice_ticks(low, high, 4)
    digits = max(len(f"{tick}".partition(".")[2].rstrip("0")) for tick in ticks)
    return {"min": low, "max": high, "ticks": [[tick, f"{tick:.{digits}f}"] for tick in ticks]}


def _pack(array: np.ndarray) -> str:
    """Return the values as base64 little-endian float32."""
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode("ascii")
