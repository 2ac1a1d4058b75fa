"""Compare with the live reference library: `python -m tests.parity` (`make parity`).

Makes all cases again in a temporary folder and checks them like the committed ones; holds the
table's defaults against the library's configuration classes, and FP8 and MXFP4 against its
readers; compares whole models, both ways; and counts the parameters of all types on the meta
device. With a FOLDER, checks the cases in it. The last line counts what passed and failed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import moe
from moe.checkpoints.dequantise import E4M3, from_fp8_blocks, from_mxfp4
from moe.checkpoints.families import FAMILIES, LOADABLE
from moe.cost import MODELS, model_from_config
from moe.cost.mixing import MIXING, PLAIN
from moe.lm.layouts import LAYOUTS, family_of_layout

from ..test_parity import (
    CASES,
    LAYER,
    fingerprints,
    forward_error,
    gradient_errors,
    in_memory,
    stored_in_memory,
)

FORWARD, GRADIENT = 1e-5, 1e-6
# Set to the last layer when a configuration is made.
DERIVED = {"moe_layer_end_index", "mamba_dt_rank", "mamba_d_head"}
OVERWRITTEN = {("bailing_hybrid", "head_dim")}  # by that of the rotary positions
TOTAL, ACTIVE = 1e-3, 1e-2  # of parameters
# Its class has one that its model cannot run with; its default has no expert.
WITHOUT_DEFAULT = {"deepseek_v2", "gemma4_text"}


def check_cases(root: Path) -> list[bool]:
    """Check each case below a folder and say how far it is off."""
    results = []
    for folder in sorted(path.parent for path in root.glob("*/config.json")):
        try:
            forward, gradient = forward_error(folder), max(gradient_errors(folder).values())
            exported = fingerprints(moe.export_layer(in_memory(folder)))
            assert exported == stored_in_memory(folder), "another layout in memory"
            check_round_trip(folder)
        except (AssertionError, KeyError, ValueError) as error:
            print(f"{folder.name:16} FAILED {error}")
            results.append(False)
            continue
        results.append(forward <= FORWARD and gradient <= GRADIENT)
        word = "ok" if results[-1] else "FAILED"
        print(
            f"{folder.name:20} {word}: forward {forward:.1e}, gradients {gradient:.1e}; published "
            "layout, the library's own, and what is saved equal bit for bit"
        )
    print(
        f"{len(LOADABLE)} model types, {len(results)} cases, {len(results) - sum(results)} failed"
    )
    return results


def check_round_trip(folder: Path) -> None:
    """Check that a layer which is saved and loaded again is the same, bit for bit."""
    layer = moe.load_layer(folder, LAYER)
    with tempfile.TemporaryDirectory() as scratch:
        moe.save_layer(layer, Path(scratch) / "saved")
        assert moe.load_layer(Path(scratch) / "saved", LAYER) == layer, "another layer comes back"


def check_spellings() -> list[bool]:
    """Check that the library knows every other name of a key that a layer reads."""
    import transformers

    from .generate import RENAMED

    results = []
    for model_type, family in LOADABLE.items():
        make = transformers.CONFIG_MAPPING[RENAMED.get(model_type, model_type)]
        for key, others in family.spellings.items():
            for other in (
                others if key in (family.n_experts, family.k, *family.shared_width) else ()
            ):
                results.append(getattr(make(**{other: 7}), key) == 7)
                if not results[-1]:
                    print(f"{model_type:20} FAILED: {other} is no other name of {key}")
    return results


def check_committed(root: Path) -> list[bool]:
    """Hold the committed cases against fresh ones: the same library gives the same numbers."""
    results = []
    for folder in sorted(root.iterdir()):
        same = moe.load_layer(folder, 1).params["gate_DE"]
        ok = np.array_equal(same, moe.load_layer(CASES / folder.name, 1).params["gate_DE"])
        committed = CASES / folder.name / "golden.npz"
        with np.load(folder / "golden.npz") as new, np.load(committed) as old:
            ok &= new.files == old.files
            ok &= all(
                np.allclose(new[n], old[n], 1e-6, 1e-6 * abs(old[n]).max()) for n in old.files
            )
        ok &= stored_in_memory(folder) == stored_in_memory(CASES / folder.name)
        results.append(ok)
        if not ok:
            print(f"{folder.name:16} FAILED: the committed case is not what the library makes now")
    return results


def value_of(config: object, key: str) -> object:
    """Return what stands under a key, a dot of which leads into a part; None if nothing does."""
    for name in key.split("."):
        config = getattr(config, name, None)
    return config


def check_defaults() -> list[bool]:
    """Compare the table's defaults with those of the configuration classes."""
    import transformers

    results = []
    for model_type, family in FAMILIES.items():
        if model_type not in transformers.CONFIG_MAPPING:
            continue
        config = transformers.CONFIG_MAPPING[model_type]()
        config.allow_global_per_layer_attribute_access = True  # what no layer has otherwise
        wrong = {
            key: (default, value)
            for key, default in {
                **family.defaults,
                **MIXING.get(model_type, PLAIN).defaults,
            }.items()
            if key not in DERIVED
            and (model_type, key) not in OVERWRITTEN
            and default is not None
            and (value := value_of(config, key)) is not None
            and value != default
        }
        if wrong:
            print(f"{model_type:16} FAILED: defaults (ours, theirs): {wrong}")
        results.append(not wrong)
    return results


def check_counts() -> list[bool]:
    """Compare counted parameters with those that the library builds, small and at full size."""
    from ..cost.count_with_transformers import HYBRIDS, NOT_THERE, SMALL, count, published

    results = []
    for name, model in MODELS.items():
        if model.name in NOT_THERE:
            continue
        theirs = published(model.name)
        mine = {"total": model.total_params, "active": model.active("with_input")}
        results.append(mine == theirs)
        print(f"{name:16} {'ok' if mine == theirs else 'FAILED'}: {mine}, {theirs}")
    for model_type in SMALL | HYBRIDS:
        fresh = count(model_type)
        known = {"small": (fresh["config"], fresh)}
        if fresh["default"] and model_type not in WITHOUT_DEFAULT:
            known["default"] = ({"model_type": model_type}, fresh["default"])
        words = []
        for size, (config, theirs) in known.items():
            mine = model_from_config(config)
            total = mine.total_params / theirs["total"] - 1
            active = mine.active("with_input") / theirs["active"] - 1
            results.append(abs(total) <= TOTAL and abs(active) <= ACTIVE)
            words.append(f"{size} {theirs['total']:,} {total:+.4%}, active {active:+.4%}")
        ok = all(results[-len(known) :])
        print(f"{model_type:16} {'ok' if ok else 'FAILED'}: parameters {'; '.join(words)}")
    return results


def check_layouts() -> list[bool]:
    """Compare what whole models' missing keys mean with the configuration classes."""
    import transformers

    results = []
    for model_type, layout in LAYOUTS.items():
        config = transformers.CONFIG_MAPPING[model_type]()
        mine = family_of_layout(model_type).defaults
        keys = ("rms_norm_eps", "max_position_embeddings", *layout.defaults)
        wrong = {key: mine[key] for key in keys if mine[key] != getattr(config, key)}
        wrong |= {k: v[0] for k, v in layout.only.items() if getattr(config, k) != v[0]}
        if config.rope_parameters["rope_theta"] != layout.theta:
            wrong["rope_theta"] = layout.theta
        if layout.architecture != type_of_model(model_type):
            wrong["architectures"] = layout.architecture
        if wrong:
            print(f"{model_type:16} FAILED: defaults of whole models: {wrong}")
        results.append(not wrong)
    return results


def type_of_model(model_type: str) -> str:
    """Name of the library's class of causal models."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]


def check_dequantise() -> list[bool]:
    """Compare all FP8 values, blocks of them, and MXFP4 blocks with torch and the library."""
    import torch
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    rng = np.random.default_rng(0)
    bits = np.arange(256, dtype=np.uint8)
    values = torch.from_numpy(bits).view(torch.float8_e4m3fn).float().numpy()
    matrix = rng.integers(0, 127, (256, 384), dtype=np.uint8)
    scale = rng.random((2, 3)).astype(np.float32)
    theirs = Fp8Dequantize(None)._dequantize_one(
        torch.from_numpy(matrix).view(torch.float8_e4m3fn), torch.from_numpy(scale)
    )
    blocks = rng.integers(0, 256, (2, 6, 3, 16), dtype=np.uint8)
    scales = rng.integers(1, 240, (2, 6, 3), dtype=np.uint8)
    plain = convert_moe_packed_tensors(torch.from_numpy(blocks), torch.from_numpy(scales))
    results = {
        "FP8 values": np.array_equal(E4M3, values, equal_nan=True),
        "FP8 blocks": np.array_equal(from_fp8_blocks(matrix, scale), theirs.float().numpy()),
        "MXFP4": np.array_equal(from_mxfp4(blocks, scales).swapaxes(1, 2), plain.float().numpy()),
    }
    for name, ok in results.items():
        print(f"{name:16} {'ok: equal bit for bit' if ok else 'FAILED'}")
    return list(results.values())


def main() -> int:
    """Run all checks; the exit status says whether they passed."""
    if len(sys.argv) > 1:
        results = check_cases(Path(sys.argv[1]))
    else:
        from .generate import main as generate
        from .larger import check_larger
        from .models import check_models

        with tempfile.TemporaryDirectory() as scratch:
            generate(Path(scratch))
            results = check_cases(Path(scratch)) + check_committed(Path(scratch))
        results += (
            check_larger() + check_models() + check_defaults() + check_spellings() + check_counts()
        )
        results += check_layouts() + check_dequantise()
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return int(not all(results) or not results)


if __name__ == "__main__":
    sys.exit(main())
