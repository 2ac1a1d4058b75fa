"""vLLM's routed experts: what `--enable-return-routed-experts` adds to each answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ...checkpoints.npz import read_npy
from .base import Imported, Importer, experts_or_highest
from .routed_experts import ARRAY_LIMITS, read_arrays, trace_of_arrays


@dataclass(frozen=True)
class Vllm(Importer):
    """`CompletionOutput.routed_experts`, [tokens, layers, k], saved with numpy, or an answer.

    In an answer (JSON, or one a line) a choice's `routed_experts` is a .npy file in base64.
    """

    name: ClassVar[str] = "vllm"
    title: ClassVar[str] = "vLLM's routed experts"
    reads: ClassVar[str] = ".npy, .npz with an array for each request, or answers as JSON"
    source: ClassVar[str] = "https://github.com/vllm-project/vllm/pull/28284"

    n_experts: int = experts_or_highest()

    def read_path(self, path: Path) -> Imported:
        """Read one file; see `Importer.read_path`."""
        found = read_arrays(path)
        if isinstance(found, list):
            found = {f"request {i}": read_npy(raw, ARRAY_LIMITS) for i, raw in enumerate(found)}
        return trace_of_arrays(found, self.n_experts, path.stem)
