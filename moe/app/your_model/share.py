"""What a visitor takes along from the page: its run as JSON, and what reproduces it."""

from __future__ import annotations

from collections.abc import Sequence

from ...traces.samples import SAMPLES
from ..shared.sharing import json_document
from .story import YourModel
from .upload import is_ratings


def document(model: YourModel) -> bytes:
    """Every figure of a trace, and both beliefs."""
    return json_document("your-model", model.as_json())


def sample_code(title: str, at: int) -> str:
    """Code of the page on your own model for a sample, by its title."""
    path = f"SAMPLES[{[sample.title for sample in SAMPLES].index(title)}].path"
    loading = "from moe.traces.samples import SAMPLES", "from moe.traces import load_trace"
    return _trace_code(loading, f"load_trace({path})", at)


def own_file_code(file: str, k: int, at: int, is_part: bool = False) -> str:
    """Code of the page on your own model for a visitor's file.

    Parameters
    ----------
    file
        Its name.
    k
        Experts per token, where the file holds ratings only.
    is_part
        Whether it holds more than what the page analyses.
    """
    loading = ["from moe.traces import load_trace"]
    trace = f"load_trace({file!r})"
    if is_ratings(file):
        loading = ["from moe.routers import make_router", "from moe.traces import read_logits_csv"]
        trace = f'read_logits_csv({file!r}, make_router("topk", k={k}))'
    if is_part:
        trace = f"shortened({trace})"
    return _trace_code(loading, trace, at, is_part)


def _trace_code(loading: Sequence[str], trace: str, at: int, shortens: bool = False) -> str:
    """Figures of a trace, and both beliefs."""
    asking = (
        "from moe.traces.report import analyse_trace",
        f"from moe.app.your_model.upload import {'beliefs, shortened' if shortens else 'beliefs'}",
    )
    imports = "\n".join(sorted([*loading, *asking], key=lambda line: line.split()[1]))
    return f"""\
{imports}

trace = {trace}
layer = analyse_trace(trace).layers[{at}]
print(layer.load)  # tokens per expert
print(layer.max_vio, layer.dead_share, layer.repeat_first, layer.chance_repeat_first)
for check in beliefs(trace):
    print(check.claim, check.answer)
"""
