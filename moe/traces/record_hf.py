"""Record the routing of any MoE model of the reference library (transformers), by hooks.

Routers are recognised by what they return, not by their names: logits (N, E), weights (N, K) and
whole numbers (N, K); or, as in Llama 4, scores (N, E), 0 but at the chosen ones, and logits.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import token_text
from ..data.documents import Document
from ..errors import CheckpointError, check_int
from . import NO_EXPERT, Trace, make_trace
from .record import Recorded
from .trace import MAX_TOKEN_TEXT

if TYPE_CHECKING:
    import torch

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "spiece.model",
)  # fmt: skip
NUMBER = re.compile(r"\.(\d+)(?:\.|$)")


@dataclass(frozen=True, eq=False)
class RouterOutput:
    """A router's output for N tokens: experts and weights (N, K), best first; logits (N, E)."""

    expert_NK: np.ndarray
    weight_NK: np.ndarray
    logits_NE: np.ndarray


def record_hf(
    model: str | Path, documents: Sequence[Document], max_tokens: int = 4096, context: int = 1024
) -> Recorded:
    """Load a model from a folder, or from the local cache by name, and record it on texts.

    Nothing is downloaded and no code of the folder is run; weights are read from safetensors only.

    Parameters
    ----------
    max_tokens
        Most tokens of each document.
    context
        Tokens that the model sees at once; longer documents are cut into such pieces.

    Raises
    ------
    CheckpointError
        If the model cannot be loaded or has no router that is recognised.
    ValueError
        If torch and transformers are not installed, or a number is out of range.
    """
    check_int("max_tokens", max_tokens, 1)
    check_int("context", context, 1)
    _check_installed()
    loaded = _load(model)
    config = loaded.config.get_text_config()
    vocab = int(config.vocab_size)
    longest = getattr(config, "max_position_embeddings", None) or context
    encode, text_of, notes = _tokenizer(model, vocab)
    sequences = [encode(document.text)[:max_tokens] for document in documents]
    domains = tuple(document.domain for document in documents)
    trace = record_module(
        loaded.base_model,
        sequences,
        name=Path(model).name[-256:],
        context=min(context, longest),
        text_of=text_of,
        domains=domains if len(domains) > 1 else (),
    )
    return Recorded(trace, notes)


def record_module(
    module: torch.nn.Module,
    sequences: Sequence[np.ndarray],
    *,
    name: str = "",
    context: int = 1024,
    text_of: Callable[[int], str] = str,
    domains: Sequence[str] = (),
) -> Trace:
    """Run a model on token ids and record every router in it.

    Parameters
    ----------
    module
        A model that takes ids (1, T) as its first argument.
    sequences
        Token ids of each document, (T,) each.
    text_of
        Text of a token id.
    domains
        Domain of each document; each name once.

    Raises
    ------
    CheckpointError
        If no router is recognised, or routers differ in experts.
    """
    outputs = _listen(module, sequences, context)
    ids_N = np.concatenate([*sequences, np.zeros(0, np.int64)]).astype(np.int64)
    places = _routers(outputs, len(ids_N))
    expert_LNk, weight_LNk, logits_LNE = (
        [np.concatenate([getattr(output, field) for output in outputs[place]]) for place in places]
        for field in ("expert_NK", "weight_NK", "logits_NE")
    )
    numbers = [_layer_number(place) for place in places]
    rising = all(a < b for a, b in zip([-1, *numbers], numbers, strict=False))
    document_N = np.repeat(np.arange(len(sequences)), [len(ids_T) for ids_T in sequences])
    text = {number: _clean(text_of(number)) for number in np.unique(ids_N).tolist()}
    return make_trace(
        _padded(expert_LNk, NO_EXPERT),
        _padded(weight_LNk, 0.0),
        logits_LNE[0].shape[1],
        ids_N,
        model=name,
        layers=numbers if rising else None,
        logits_LNE=np.stack(logits_LNE),
        tokens=[text[number] for number in ids_N.tolist()],
        sequence_N=document_N,
        domain_N=document_N if domains else None,
        domains=tuple(domains),
        context=context,
    )


def _listen(
    module: torch.nn.Module, sequences: Sequence[np.ndarray], context: int
) -> dict[str, list[RouterOutput]]:
    """Run a model on token ids; what each of its modules returned that looks like routing."""
    import torch

    outputs: dict[str, list[RouterOutput]] = {}

    def listener(place: str) -> Callable[[Any, Any, Any], None]:
        def hook(_: Any, __: Any, returned: Any) -> None:
            output = router_output(returned)
            if output is not None:
                outputs.setdefault(place, []).append(output)

        return hook

    hooks = [part.register_forward_hook(listener(place)) for place, part in module.named_modules()]
    training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            for ids_T in sequences:
                for low in range(0, len(ids_T), context):
                    module(torch.from_numpy(ids_T[None, low : low + context]))
    finally:
        module.train(training)
        for handle in hooks:
            handle.remove()
    return outputs


def _layer_number(place: str) -> int:
    """The first whole number in a module's name: 3 of 'layers.3.mlp.gate'; -1 if there is none."""
    match = NUMBER.search(f".{place}")
    return int(match[1]) if match else -1


def router_output(output: Any) -> RouterOutput | None:
    """Return the routing in a module's output, best expert first; None if it is no router's."""
    import torch

    if not isinstance(output, tuple) or not 2 <= len(output) <= 4:
        return None
    tables = [part for part in output if torch.is_tensor(part) and part.ndim == 2]
    if len(tables) < 2 or len({len(table) for table in tables}) > 1:
        return None
    whole = [table for table in tables if not table.is_floating_point()]
    real = [_numpy(table) for table in tables if table.is_floating_point()]
    if len(whole) == 1 and len(real) >= 2:
        return _from_indices(_numpy(whole[0]), real)
    if not whole and len(real) == 2 and len(output) == 2 and real[0].shape == real[1].shape:
        return _from_scores(*real)
    return None


def _from_indices(expert_NK: np.ndarray, real: Sequence[np.ndarray]) -> RouterOutput | None:
    widest = max(range(len(real)), key=lambda place: real[place].shape[1])  # the first, if equal
    logits = real[widest]
    others = [table for place, table in enumerate(real) if place != widest]
    weights = next((table for table in others if table.shape == expert_NK.shape), None)
    if weights is None:
        return None
    if expert_NK.size and (expert_NK.min() < 0 or expert_NK.max() >= logits.shape[1]):
        return None
    order_NK = np.argsort(-weights, axis=1, kind="stable")
    return RouterOutput(
        np.take_along_axis(expert_NK, order_NK, axis=1).astype(np.int64),
        np.take_along_axis(weights, order_NK, axis=1),
        logits,
    )


def _from_scores(score_NE: np.ndarray, logits_NE: np.ndarray) -> RouterOutput | None:
    chosen_NE = score_NE != 0
    counts = np.unique(chosen_NE.sum(axis=1))
    if len(counts) != 1 or not 1 <= counts[0] < score_NE.shape[1] or score_NE.min() < 0:
        return None
    order_NK = np.argsort(-np.where(chosen_NE, score_NE, -1.0), axis=1, kind="stable")
    order_NK = order_NK[:, : int(counts[0])]
    least_N = np.where(chosen_NE, logits_NE, np.inf).min(axis=1)
    if (np.where(chosen_NE, -np.inf, logits_NE).max(axis=1) > least_N).any():
        return None  # two tables of something else
    return RouterOutput(order_NK, np.take_along_axis(score_NE, order_NK, axis=1), logits_NE)


def _numpy(table: torch.Tensor) -> np.ndarray:
    return np.array((table.float() if table.is_floating_point() else table).cpu().numpy())


def _routers(outputs: dict[str, list[RouterOutput]], n_tokens: int) -> list[str]:
    """Modules that routed every token, in the model's order."""
    places = [
        place
        for place, parts in outputs.items()
        if sum(len(part.expert_NK) for part in parts) == n_tokens
    ]
    # A module may return what the router inside it returned: only the inner one is a router.
    places = [p for p in places if not any(q != p and q.startswith(f"{p}.") for q in places)]
    experts = sorted({outputs[place][0].logits_NE.shape[1] for place in places})
    if not places or not n_tokens:
        raise CheckpointError(
            "model: got one without a router that is recognised, allowed is a mixture-of-experts "
            "model and some text"
        )
    if len(experts) > 1:
        raise CheckpointError(
            f"model: got layers of {experts} experts, allowed is one number for all"
        )
    return places


def _padded(tables: Sequence[np.ndarray], fill: float) -> np.ndarray:
    """Layers of up to K columns as one array, (L, N, K)."""
    k = max(table.shape[1] for table in tables)
    out = np.full((len(tables), len(tables[0]), k), fill, tables[0].dtype)
    for layer, table in enumerate(tables):
        out[layer, :, : table.shape[1]] = table
    return out


def _clean(text: str) -> str:
    """Text as a trace may hold it."""
    return text.replace("\0", "␀").encode("utf-8", "replace").decode()[:MAX_TOKEN_TEXT]


def _check_installed() -> None:
    missing = [name for name in ("torch", "transformers") if not importlib.util.find_spec(name)]
    if missing:
        raise ValueError(
            f"model: got one of the reference library, and {' and '.join(missing)} is missing; "
            "allowed after pip install 'moescope[hf]'"
        )


def _load(model: str | Path) -> Any:
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if not Path(model).is_dir() and (Path(model).is_absolute() or str(model).startswith(".")):
        raise CheckpointError(f"model: got {str(model)!r}, allowed is a folder that exists")
    try:
        return AutoModelForCausalLM.from_pretrained(
            str(model), local_files_only=True, use_safetensors=True, trust_remote_code=False,
            dtype="auto",
        ).eval()  # fmt: skip
    except Exception as error:  # a broken folder can fail in a hundred ways
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"model: got {str(model)!r}, allowed is a folder with config.json and safetensors, or "
            f"the name of a model in the local cache (nothing is downloaded): "
            f"{type(error).__name__}: {reason}"
        ) from error


def _tokenizer(
    model: str | Path, vocab: int
) -> tuple[Callable[[bytes], np.ndarray], Callable[[int], str], tuple[str, ...]]:
    """How to encode a text, the text of an id, and notes."""
    from transformers import AutoTokenizer

    folder = Path(model)
    if not folder.is_dir() or any((folder / name).is_file() for name in TOKENIZER_FILES):
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                str(model), local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # like the model's folder
            raise CheckpointError(
                f"tokenizer: got one in {str(model)!r} that cannot be read "
                f"({type(error).__name__}), allowed is one that transformers reads, or none"
            ) from error

        def encode(text: bytes) -> np.ndarray:
            ids = tokenizer(text.decode("utf-8", "replace"))["input_ids"]
            return np.array(ids, np.int64).reshape(-1)

        return encode, lambda number: str(tokenizer.decode([number])), ()

    def encode_bytes(text: bytes) -> np.ndarray:
        return np.frombuffer(text, np.uint8).astype(np.int64) % vocab

    note = f"the folder has no tokenizer: tokens are the text's bytes modulo {vocab}"
    return encode_bytes, lambda number: token_text(number % 256), (note,)
