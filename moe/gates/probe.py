"""Asking a user's gate: calls with inputs that make each known bug show, recorded."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import shown
from .convention import Convention
from .recording import Recording, as_array, error_line, make_recording

Call = Callable[..., Any]
TAKES = ("bias_E", "k", "n_group", "topk_group", "scale", "experts", "n_experts")
N_TOKENS = 256
N_LAYERS = 3


def named_gate(name: str) -> Call | Path:
    """What a user names: a .npz file, or a function as 'package.module:function'.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if os.path.isfile(name) or name.endswith(".npz"):  # which no name can make fail
        return Path(name)
    return named_callable("gate", name)


def named_callable(argument: str, name: str) -> Call:
    """Import 'package.module:function', also from the current folder.

    Raises
    ------
    ValueError
        If there is no such module or function, or it is not callable.
    """
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        target = getattr(importlib.import_module(module), attribute)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the user's module may fail in any way, and even exit
        raise ValueError(
            f"{argument}: got {shown(name)} ({error_line(error)}), "
            "allowed is package.module:function or the path of a .npz file"
        ) from error
    if not callable(target):
        raise ValueError(
            f"{argument}: got {shown(name)}, a {type(target).__name__}, allowed is a function"
        )
    return target


def taken_by(call: Call) -> frozenset[str]:
    """Names out of `TAKES` that a callable takes as arguments.

    A PyTorch module takes anything and hands it on, so its `forward` says what it takes.
    """
    parameters = _parameters(call)
    if _takes_anything(parameters) and callable(forward := getattr(call, "forward", None)):
        parameters = _parameters(forward)
    if _takes_anything(parameters):
        return frozenset(TAKES)
    return frozenset(p.name for p in parameters) & set(TAKES)


def _parameters(call: Call) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(call).parameters.values())
    except Exception:  # some compiled functions don't say
        return []


def _takes_anything(parameters: list[inspect.Parameter]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def ask(gate: Call, logits_NE: np.ndarray, **wanted: Any) -> tuple[np.ndarray, np.ndarray]:
    """Call a gate with those of the wanted arguments that it takes; None stands for its default.

    Raises
    ------
    ValueError
        If it fails, or doesn't return experts and weights.
    """
    answer = _call("gate", gate, logits_NE, wanted)
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        kind = type(answer).__name__
        kind += f" of {len(answer)}" if isinstance(answer, (tuple, list)) else ""
        raise ValueError(f"gate: returned a {kind}, allowed is (experts, weights)")
    experts, weights = as_array("experts", answer[0]), as_array("weights", answer[1])
    if experts.dtype.kind == "f" and weights.dtype.kind in "iu":
        raise ValueError(
            f"gate: returned {experts.dtype} and then {weights.dtype}, allowed is "
            "(experts, weights): did you return (weights, experts)?"
        )
    return experts, weights


def _call(name: str, call: Call, first: Any, wanted: dict[str, Any]) -> Any:
    takes = taken_by(call)
    given = {n: value for n, value in wanted.items() if n in takes and value is not None}
    try:
        # Copies: a gate may compute in place.
        return call(deepcopy(first), **deepcopy(given))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the user's code may fail in any way, and even exit
        raise ValueError(
            f"{name}: failed ({error_line(error)}) when called with logits"
            + "".join(f", {n}" for n in given)
        ) from error


def probe_logits(n_experts: int, n_layers: int = 1) -> np.ndarray:
    """Random logits in float32, (L, N, E), each layer fond of other experts."""
    rng = np.random.default_rng(0)
    logits_LNE = rng.normal(0.0, 1.5, (n_layers, N_TOKENS, n_experts))
    for layer in range(n_layers):
        fond_E = np.roll(np.linspace(1.5, -1.5, n_experts), layer * n_experts // n_layers)
        logits_LNE[layer] += fond_E
    return logits_LNE.astype(np.float32)


def settings_of(convention: Convention) -> dict[str, Any]:
    """Arguments that say to a gate what it is meant to be."""
    return {
        "k": convention.k,
        "scale": convention.scale,
        "n_group": convention.n_group,
        "topk_group": convention.topk_group,
    }


def bias_recordings(
    gate: Call, convention: Convention, settings: dict[str, Any]
) -> list[Recording]:
    """Routing under a mild bias and, if groups can be masked, under one below every score."""
    takes = taken_by(gate)
    if "bias_E" not in takes or not convention.takes_bias:
        return []
    n_experts = settings["n_experts"]
    logits_NE = probe_logits(n_experts)[0]
    rng = np.random.default_rng(1)
    mild_E = rng.uniform(0.05, 0.2, n_experts).astype(np.float32)
    # The gate can be asked for two of four groups if they hold its k experts.
    fits_groups = n_experts % 4 == 0 and convention.k <= n_experts // 2
    asked: list[tuple[np.ndarray, tuple[int, int] | None]] = [(mild_E, None)]
    if convention.masks:
        asked.append((mild_E - 10.0, None))
    elif fits_groups and {"n_group", "topk_group"} <= takes and convention.chooser is None:
        asked.append((mild_E - 10.0, (4, 2)))
    recordings = []
    for bias_E, groups in asked:
        limit = {} if groups is None else {"n_group": groups[0], "topk_group": groups[1]}
        answer = ask(gate, logits_NE, **settings | limit | {"bias_E": bias_E})
        recordings.append(make_recording(logits_NE, *answer, bias=bias_E, groups=groups))
    return recordings


def loss_recordings(
    gate: Call, aux_loss: Call, convention: Convention, settings: dict[str, Any]
) -> list[Recording]:
    """The balance loss of one layer, and of several."""
    recordings = []
    for n_layers in (1, N_LAYERS):
        layers = list(probe_logits(settings["n_experts"], n_layers))
        answers = [ask(gate, logits_NE, **settings) for logits_NE in layers]
        experts, weights = [expert_NK for expert_NK, _ in answers], [w_NK for _, w_NK in answers]
        wanted = settings | {"experts": experts}
        value = as_array("aux_loss", _call("aux_loss", aux_loss, layers, wanted))
        if value.size != 1 or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
            raise ValueError(
                f"aux_loss: returned {value.dtype} of shape {value.shape}, "
                "allowed is one finite number"
            )
        for parts in (experts, weights):
            if len({part.shape for part in parts}) > 1:
                raise ValueError(
                    f"gate: returned shapes {[part.shape for part in parts]} for layers of one "
                    "shape, allowed is the same"
                )
        plain = make_recording(np.stack(layers), np.stack(experts), np.stack(weights))
        recordings.append(replace(plain, aux_loss=float(value.reshape(-1)[0])))
    return recordings
