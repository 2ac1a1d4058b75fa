"""SGLang's routed experts: what `--enable-return-routed-experts` adds to each answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...checkpoints.strict_json import quoted
from ...errors import CheckpointError
from ...settings import option
from ..trace import MAX_EXPERTS, MAX_LAYERS
from .base import Imported, Importer, experts_or_highest
from .routed_experts import read_arrays, trace_of_arrays


@dataclass(frozen=True)
class Sglang(Importer):
    """`meta_info["routed_experts"]`: int32 in base64, in the order (tokens, layers, k) without it.

    An answer does not say how many layers and choices it has, so both are asked for; arrays that
    were given their three axes say it themselves.
    """

    name: ClassVar[str] = "sglang"
    title: ClassVar[str] = "SGLang's routed experts"
    reads: ClassVar[str] = ".npy, .npz with an array for each request, or answers as JSON"
    source: ClassVar[str] = "https://github.com/sgl-project/sglang/pull/12162"

    n_experts: int = experts_or_highest()
    n_layers: int = option(
        0, "Layers of the model, where the file does not say it.", low=0, high=MAX_LAYERS
    )
    k: int = option(
        0, "Experts of a token, where the file does not say it.", low=0, high=MAX_EXPERTS
    )

    def read_path(self, path: Path) -> Imported:
        """Read one file; see `Importer.read_path`."""
        found = read_arrays(path)
        if isinstance(found, list):
            found = {f"request {i}": self._whole(raw) for i, raw in enumerate(found)}
        shaped = {name: self._shaped(name, array) for name, array in found.items()}
        return trace_of_arrays(shaped, self.n_experts, path.stem)

    @staticmethod
    def _whole(raw: bytes) -> np.ndarray:
        if not raw or len(raw) % 4:
            raise CheckpointError(
                f"routed_experts: got {len(raw)} bytes, allowed are four for each number"
            )
        return np.frombuffer(raw, "<i4").astype(np.int32)

    def _shaped(self, name: str, array: np.ndarray) -> np.ndarray:
        """The array with three axes."""
        if array.ndim == 3:
            asked = self.n_layers or array.shape[1], self.k or array.shape[2]
            if array.shape[1:] != asked:
                raise CheckpointError(
                    f"{quoted(name)}: got (tokens, layers, k) of shape {quoted(array.shape)} with "
                    f"--n-layers {self.n_layers} and --k {self.k}, allowed are those of the file, "
                    "or none"
                )
            return array
        size = self.n_layers * self.k
        if not size or array.ndim > 2 or array.size % size:
            raise CheckpointError(
                f"{quoted(name)}: got {array.dtype} of shape {quoted(array.shape)} with --n-layers "
                f"{self.n_layers} and --k {self.k}, allowed are both, so that their product "
                "divides the numbers"
            )
        return array.reshape(-1, self.n_layers, self.k)
