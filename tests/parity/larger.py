"""Text models inside larger ones, as the live library saves those: `make parity` calls it.

The larger model's other parts keep their sizes but for the number of layers, and are not committed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import moe

from ..test_parity import LAYER, relative_error
from . import generate
from .settings import tiny

INNER = {
    "qwen3_5_moe": "qwen3_5_moe_text", "qwen3_vl_moe": "qwen3_vl_moe_text",
    "glm4v_moe": "glm4v_moe_text", "qwen3_omni_moe_thinker": "qwen3_omni_moe_text",
    "minimax_m3_vl": "minimax_m3_vl_text", "aria": "aria_text", "mistral3": "mistral4",
    "llava": "mixtral",
}  # fmt: skip


def make_larger(outer: str) -> torch.nn.Module:
    """An untrained model whose text model is the tiny one of its type."""
    make = transformers.CONFIG_MAPPING[outer]
    vision = make().vision_config.to_dict()
    few = {key: 1 for key in ("depth", "num_hidden_layers") if isinstance(vision.get(key), int)}
    text = tiny(INNER[outer]) | {"model_type": INNER[outer]}
    config = make(text_config=text, vision_config={"model_type": vision["model_type"]} | few)
    mapping: Any = transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    if type(config) not in mapping:
        mapping = transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    model: torch.nn.Module = mapping[type(config)]._from_config(config).eval()
    return model


def check_larger() -> list[bool]:
    """Load the layer of each out of both layouts and compare its output."""
    results = []
    x = np.random.default_rng(7).standard_normal((11, 8)).astype(np.float32)
    for outer in INNER:
        model = make_larger(outer)
        places = [m for name, m in model.named_modules() if f".{name}".endswith(f".layers.{LAYER}")]
        block = next(m for place in places for m in place.modules() if hasattr(m, "experts"))
        torch.manual_seed(0)
        generate.randomise(block)
        with torch.no_grad():
            y = generate.run(block, torch.tensor(x)).numpy()
        said = []
        for original in (True, False):
            with tempfile.TemporaryDirectory() as scratch:
                model.save_pretrained(scratch, save_original_format=original)
                layer = moe.load_layer(Path(scratch), LAYER)
            error = relative_error(layer(x), y)
            results.append(error <= 1e-5)
            said.append(f"{layer.origin.prefix} {error:.1e}")  # type: ignore[attr-defined]
        word = "ok" if all(results[-2:]) else "FAILED"
        print(f"{outer:20} {word}: forward of its text model, {'; '.join(said)}", flush=True)
    return results
