"""Twelve steps by the text alone: a mistake in each is named, mended, and the layer trains."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from moe.lessons.steps import STEPS

from .given import PLAIN

Run = Callable[..., subprocess.CompletedProcess[str]]

# What a learner writes first in each step, and what the check calls it.
SLIPS = {
    "scores": ("exp_NE.sum(axis=1, keepdims=True)", "exp_NE.sum()", "sum_over_all"),
    "choose": ("np.argsort(-scores_NE", "np.argsort(scores_NE", "worst"),
    "weights": (
        "return chosen_NK / chosen_NK.sum(axis=1, keepdims=True)",
        "return chosen_NK",
        "not_renormalised",
    ),
    "forward": ("y_ND[n] += ", "y_ND[n] = ", "overwrites"),
    "gate_backward": (
        "weight_NK * (dweight_NK - mean_N1)",
        "weight_NK * dweight_NK * (1 - weight_NK)",
        "diagonal_only",
    ),
    "balance_loss": ("(n_tokens * k)", "n_tokens", "f_sums_to_k"),
    "bias_step": ("np.sign(load_E.mean() - load_E)", "(load_E.mean() - load_E)", "by_size"),
    "dispatch": (
        "np.argsort(expert_A, kind=\"stable\")",
        "np.argsort(expert_A, kind=\"stable\") // expert_NK.shape[1]",
        "tokens",
    ),
    "experts_backward": ("s * (1 + g * (1 - s))", "s", "silu_is_sigmoid"),
    "dx": ("return dx_ND + dlogits_NE @ gate_DE.T,", "return dx_ND,", "gate_path_forgotten"),
    "capacity": ("np.ceil(", "np.floor(", "floor"),
    "train": ("weights(scores_NE, expert_NK)", "weights(scores_NE + bias_E, expert_NK)",
              "bias_in_weights"),
}  # fmt: skip


def defined(source: str, names: set[str]) -> str:
    """The source with those of its functions only, as far as a learner has come."""
    parts = re.split(r"(?=^def )", source, flags=re.MULTILINE)
    return "".join(p for p in parts if not p.startswith("def ") or p[4:].split("(")[0] in names)


def planted(source: str, step: str) -> str:
    """The source with the slip of a step in the functions that the step is about."""
    before, after, _ = SLIPS[step]
    parts = re.split(r"(?=^def )", source, flags=re.MULTILINE)
    where = {"experts_backward": "run_backward", "dx": "layer_backward"}.get(step, step)
    places = ("layer", "layer_backward") if step == "train" else (where,)
    changed = [
        part.replace(before, after) if part[4:].split("(")[0] in places else part for part in parts
    ]
    assert changed != parts
    return "".join(changed)


def test_the_way_from_an_empty_file_to_a_layer_that_trains(run_moe: Run, tmp_path: Path) -> None:
    file = tmp_path / "my_layer.py"
    file.write_text("")
    helpers = {"silu", "run_backward"}
    known = set(re.findall(r"^def (\w+)", PLAIN, re.MULTILINE))
    written: set[str] = set()
    for name, step in STEPS.items():
        shown = json.loads(run_moe("step", name, "--json").stdout)
        functions = set(re.findall(r"(\w+)\(", shown["function"]))
        assert functions <= known
        if not written:
            said = json.loads(run_moe("step", name, str(file), "--json", code=1).stdout)
            assert said["mistake"] == "missing"
        written |= functions | helpers
        # The text of dx lets a learner write it as a part of layer_backward, as this one does.
        written |= {"layer_backward"} if name == "dx" else set()
        source = defined(PLAIN, written)
        file.write_text(planted(source, name))
        said = json.loads(run_moe("step", name, str(file), "--json", code=1).stdout)
        assert said["mistake"] == SLIPS[name][2], said
        assert said["says"] == next(m.says for m in step.mistakes if m.name == said["mistake"])
        file.write_text(source)
        said = json.loads(run_moe("step", name, str(file), "--json").stdout)
        assert said["right"], said
    alone, balanced = map(
        float, re.findall(r"MaxVio fell from ([\d.]+) to ([\d.]+)\.", said["says"])[0]
    )
    assert alone > 2 and balanced < 0.5
    assert file.read_text() == defined(PLAIN, known)
