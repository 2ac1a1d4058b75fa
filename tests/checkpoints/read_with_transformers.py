"""Write readings.json: what transformers makes of a key that is missing or null.

Run: python tests/checkpoints/read_with_transformers.py (transformers 5.24.0, torch 2.13.0, extra
parity). For every key of every parity case that the table of families reads, the file has the
value that the configuration class takes when the key is missing and when it is null, and the
parameters of the model that is built with it; null where the library refuses, when it reads the
configuration, builds the model or runs it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from test_config import CASES, text_part

from moe.checkpoints.families import FAMILIES


def reading(config: dict[str, Any], key: str) -> dict[str, Any] | None:
    """Return the value of the key and the parameters of the model, None if it is refused."""
    given = {k: v for k, v in config.items() if k not in ("model_type", "transformers_version")}
    try:
        read = transformers.AutoConfig.for_model(config["model_type"], **given)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(read)
        kept = sum(b.numel() for name, b in model.named_buffers() if "correction" in name)
        total = sum(p.numel() for p in model.parameters()) + kept
        model = transformers.AutoModelForCausalLM.from_config(read).eval()
        model.set_experts_implementation("eager")
        with torch.no_grad():
            model(torch.tensor([[3, 5, 4, 6, 3]]))
    except Exception as error:
        print(f"{config['model_type']}: {key}: refused ({type(error).__name__}: {error})"[:150])
        return None
    return {"value": getattr(read, key, None), "total": total}


def readings(case: str) -> dict[str, Any]:
    """Return a case's readings, by key: [missing, null]."""
    config = text_part(case)
    family = FAMILIES[config["model_type"]]
    found = {}
    for key in sorted((family.keys | set(family.only)) & set(config)):
        missing = {name: value for name, value in config.items() if name != key}
        found[key] = [reading(missing, key), reading(missing | {key: None}, key)]
    return found


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    cases = sorted(path.parent.name for path in CASES.glob("*/config.json"))
    answers = {case: readings(case) for case in cases}
    rows = [
        f'  "{name}": {{\n'
        + ",\n".join(f'    "{key}": {json.dumps(one)}' for key, one in keys.items())
        + "\n  }"
        for name, keys in answers.items()
    ]
    Path(__file__).with_name("readings.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
