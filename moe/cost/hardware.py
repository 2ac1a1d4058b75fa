"""Accelerators and machines: peaks, memory and bandwidths, each figure with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import check_choice
from .tables import rows_of

FIGURES = (
    "bf16_tflops", "fp8_tflops", "fp4_tflops", "memory_gb", "memory_gb_s",
    "nvlink_gb_s", "network_gb_s", "power_w",
)  # fmt: skip
PRECISIONS = ("bf16", "fp8", "fp4")
ALIASES = {
    "a100": "a100-sxm",
    "h100": "h100-sxm",
    "h800": "h800-sxm",
    "h20": "h20-sxm",
    "h200": "h200-sxm",
    "b200": "b200-sxm",
}


@dataclass(frozen=True)
class Gpu:
    """One accelerator, dense peaks; bandwidths in one direction.

    Attributes
    ----------
    key, name, kind
        Short name, full name, and 'data centre', 'desktop', 'laptop' or 'apple'.
    bf16_tflops, fp8_tflops, fp4_tflops
        Peak of dense matrix products in 10^12 operations a second; 0 if it has no such units.
    memory_gb, memory_gb_s
        Memory in 10^9 bytes, and its bandwidth.
    nvlink_gb_s, network_gb_s
        Towards other GPUs in the node, and out of the node, 10^9 bytes a second per GPU; 0
        without such a link.
    power_w
        Board power; of the whole machine for Apple's.
    sources
        Source of each figure by its name.
    checks
        'verified', 'second-hand' or 'unverified' for each figure.
    """

    key: str
    name: str
    kind: str
    bf16_tflops: float
    memory_gb: float
    memory_gb_s: float
    power_w: float
    fp8_tflops: float = 0.0
    fp4_tflops: float = 0.0
    nvlink_gb_s: float = 0.0
    network_gb_s: float = 0.0
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)
    checks: Mapping[str, str] = field(default_factory=dict, compare=False)

    def peak_flops(self, precision: str = "bf16") -> float:
        """Peak operations per second at a precision.

        Where the hardware has no units for it, the next wider precision's peak: narrow weights
        are widened before they are multiplied.

        Raises
        ------
        ValueError
            If the precision is none of 'bf16', 'fp8', 'fp4'.
        """
        check_choice("precision", precision, PRECISIONS)
        peaks = (self.bf16_tflops, self.fp8_tflops, self.fp4_tflops)
        return 1e12 * max(peaks[: PRECISIONS.index(precision) + 1])

    @property
    def memory_bytes(self) -> float:
        """Memory in bytes."""
        return 1e9 * self.memory_gb

    @property
    def memory_bytes_per_s(self) -> float:
        """Memory bandwidth in bytes per second."""
        return 1e9 * self.memory_gb_s


def _read_gpus() -> dict[str, Gpu]:
    cells: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows_of("hardware"):
        cells.setdefault(row["key"], {})[row["field"]] = row
    return {key: _from_cells(key, rows) for key, rows in cells.items()}


def _from_cells(key: str, rows: Mapping[str, Mapping[str, str]]) -> Gpu:
    figures = {name: float(rows[name]["value"]) for name in FIGURES if name in rows}
    return Gpu(
        key=key,
        name=rows["name"]["value"],
        kind=rows["kind"]["value"],
        sources={name: rows[name]["source"] for name in figures},
        checks={name: rows[name]["check"] for name in figures},
        **figures,
    )


GPUS: dict[str, Gpu] = _read_gpus()


def find_gpu(key: str) -> Gpu:
    """Return a GPU by its key or a short alias such as 'h800'.

    Raises
    ------
    ValueError
        If there is none; the message lists the keys.
    """
    name = ALIASES.get(key.lower(), key.lower()) if isinstance(key, str) else key
    return GPUS[check_choice("gpu", name, GPUS)]
