"""Arrays in, arrays out: every operation as a numba kernel beside its plain numpy oracle.

Operations load on first use, so that `import moe` neither imports numba nor compiles.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "adam": ("adam_step", "sum_squares"),
    "assignment": ("balanced_assignment",),
    "attention_gradients": ("attention_backward",),
    "causal_attention": ("attention", "attention_step"),
    "backend": (
        "backend_name",
        "compiled",
        "must_compile",
        "stand_in",
        "standing_in",
        "steady",
        "unsaved",
        "using",
    ),
    "bandwidth": ("read_all",),
    "checking": ("pair_fault",),
    "classifier": ("classify", "token_losses"),
    "heads": ("SplitHeads", "split_heads", "split_heads_backward"),
    "newton_schulz": ("orthogonalize",),
    "normals": ("Normals",),
    "norms": ("add_rms_norm", "rms_norm", "rms_norm_backward"),
    "products": ("matmul", "matmul_nt", "matmul_tn"),
    "rerouting": ("reroute",),
    "residence": ("replay_cache",),
    "scores": ("sigmoid", "softmax", "softmax_backward"),
    "selection": ("mask_groups", "softmax_topk", "softmax_topk_backward", "topk"),
    "dispatch": ("Plan", "combine", "dispatch_plan"),
    "experts": ("experts_forward",),
    "expert_gradients": ("experts_backward",),
    "flop_count": ("count_flops", "counting"),
    "steering": ("steer",),
    "threads": ("num_threads", "prepare"),
    "traffic": ("count_copies",),
    "training": ("cross_entropy", "embed", "embed_backward"),
    "width": ("VECTOR_BYTES",),
    "within": ("topk_within",),
}
_OPERATIONS = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_OPERATIONS)


def __getattr__(name: str) -> Any:
    if name not in _OPERATIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_OPERATIONS[name]}", __name__), name)
    globals()[name] = value
    return value
