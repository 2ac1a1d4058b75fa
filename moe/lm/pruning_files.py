"""Pruning of files: a folder with a language model, or one layer's file, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints.npz import read_npy
from ..data.documents import read_documents
from ..errors import check_choice, check_int
from ..pruning import CRITERIA, ExpertUse, experts_to_keep, prune
from ..saved import load
from .checkpoint import save_model
from .data import ByteWindows
from .pruning import expert_use, kept_experts, prune_model
from .run_folder import model_of, windows_of
from .training import evaluate


@dataclass(frozen=True)
class PrunedLayer:
    """One layer's part.

    Attributes
    ----------
    layer
        Its number in the model.
    kept, dropped
        Numbers of its experts, as they were.
    reap
        Saliency of each expert before.
    tokens
        Calibration tokens that each expert had.
    """

    layer: int
    kept: tuple[int, ...]
    dropped: tuple[int, ...]
    reap: tuple[float, ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Pruned:
    """What was taken away, and what it cost.

    Attributes
    ----------
    out
        Where the rest was written.
    by
        Which experts stayed.
    calibration_tokens
        Of the text that said so.
    layers
        Of each layer with experts.
    params_before, params_after
        Numbers in all arrays.
    bits_before, bits_after
        Per byte of held-out text; None of a layer's file.
    """

    out: str
    by: str
    calibration_tokens: int
    layers: tuple[PrunedLayer, ...]
    params_before: int
    params_after: int
    bits_before: float | None = None
    bits_after: float | None = None

    def rows(self) -> list[dict[str, Any]]:
        """A row for each layer."""
        return [
            {
                "layer": one.layer,
                "experts_that_stay": ", ".join(map(str, one.kept)),
                "least_saliency_that_stays": min(one.reap[e] for e in one.kept),
                "largest_that_goes": max((one.reap[e] for e in one.dropped), default=None),
            }
            for one in self.layers
        ]

    def words(self) -> str:
        """What it came to, in two sentences."""
        kept, all_ = len(self.layers[0].kept), len(self.layers[0].reap)
        said = (
            f"{kept} of {all_} experts stay in each layer, {self.params_after:,} of "
            f"{self.params_before:,} parameters; written to {self.out}."
        )
        if self.bits_before is None or self.bits_after is None:
            return said
        return (
            f"{said} Held-out text: {self.bits_before:.3f} bits a byte before, "
            f"{self.bits_after:.3f} after."
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return asdict(self)


def prune_folder(
    folder: Path, out: Path, n_keep: int, by: str, text: Sequence[str], n_pieces: int, seed: int
) -> Pruned:
    """Prune the language model of a folder, write the rest as a checkpoint, and judge both.

    Parameters
    ----------
    folder
        Of a run, or a checkpoint whose tokens are bytes.
    out
        A new folder, which is not there yet.
    n_keep, by, seed
        As in `prune_model`.
    text
        Files to calibrate by; without them it is text that the run learnt.
    n_pieces
        Pieces of text, of the model's context, at most: of longer text some at equal distances, of
        what the run learnt some at random, and no more than fill it once.

    Raises
    ------
    ValueError
        If a file or argument is not allowed, no layer can be pruned, or no published layout can
        hold the model.
    """
    _check_new(out, "folder")
    check_choice("by", by, CRITERIA)
    model = model_of(folder)
    if model.config.n_experts:  # before all the text is run
        check_int("n_keep", n_keep, 1, model.config.n_experts, "experts of a layer")
        replace(model.config, n_experts=n_keep)
    if model.config.n_vocab < 256:
        raise ValueError(f"model: got {model.config.n_vocab} tokens, allowed are the 256 bytes")
    windows = windows_of(folder, model.config.context)
    pieces = _pieces(text, windows, model.config.context, n_pieces, seed)
    uses = expert_use(model, pieces)
    kept = kept_experts(uses, n_keep, by, seed)
    smaller = prune_model(model, kept)
    save_model(smaller, out)
    numbers = [n for n in range(model.config.n_layers) if model.config.is_moe(n)]
    return Pruned(
        str(out), by, sum(piece_BT.size for piece_BT in pieces),
        tuple(map(_layer, numbers, uses, kept)), model.n_params, smaller.n_params,
        evaluate(model, windows).bits_per_byte, evaluate(smaller, windows).bits_per_byte,
    )  # fmt: skip


def prune_layer_file(
    path: Path, out: Path, inputs: Path, n_keep: int, by: str, seed: int
) -> Pruned:
    """Prune the layer of a file that `layer.save` wrote, and write the rest to another.

    Parameters
    ----------
    path, out
        The file, and a new one.
    inputs
        A .npy with tokens to calibrate by, (N, D) floats.
    n_keep, by, seed
        As in `moe.experts_to_keep`.

    Raises
    ------
    ValueError
        If a file or argument is not allowed, or the layer cannot be pruned.
    """
    _check_new(out, "file")
    layer, x_ND = load(path), read_npy(inputs)
    use = ExpertUse.of(layer, x_ND)
    keep_M = experts_to_keep(use, n_keep, by, seed)
    smaller = prune(layer, keep_M)
    smaller.save(out)
    return Pruned(
        str(out), by, len(x_ND), (_layer(0, use, keep_M),), layer.n_params, smaller.n_params
    )


def _check_new(out: Path, what: str) -> None:
    if out.exists():
        raise ValueError(f"out: got {str(out)!r}, which is there; allowed is a new {what}")


def _layer(number: int, use: ExpertUse, keep_M: np.ndarray) -> PrunedLayer:
    dropped = np.setdiff1d(np.arange(len(use.count_E)), keep_M)
    return PrunedLayer(
        number,
        tuple(keep_M.tolist()),
        tuple(dropped.tolist()),
        tuple(use.reap_E.tolist()),
        tuple(use.count_E.tolist()),
    )


def _pieces(
    text: Sequence[str], windows: ByteWindows, context: int, most: int, seed: int
) -> list[np.ndarray]:
    """Tokens of whole sequences, (B, T): text that is given, or some that the run learnt."""
    if not text:
        most = min(most, windows.corpus.n_bytes // context)  # no more than the text has
        return [windows.draw(np.random.default_rng(seed), most)[:, :-1]]
    texts = [document.text for document in read_documents(text)]
    pieces = [t[at : at + context] for t in texts for at in range(0, len(t), context)]
    places = np.linspace(0, len(pieces) - 1, min(most, len(pieces))).astype(int)
    byte_PT = [np.frombuffer(pieces[place], np.uint8) for place in places]
    whole = [byte_T for byte_T in byte_PT if len(byte_T) == context]
    rest = [byte_T[None] for byte_T in byte_PT if len(byte_T) < context]
    return ([np.stack(whole)] if whole else []) + rest
