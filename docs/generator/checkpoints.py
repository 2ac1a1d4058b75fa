"""The page on published checkpoints: its tables come from `moe/checkpoints/families.py`."""

from __future__ import annotations

from moe.checkpoints.families import LOADABLE, PARTS
from moe.checkpoints.family import Family, Key
from moe.checkpoints.lineages import NULLS

from .methods import page_text, table

PAGE = "checkpoints.md"
NESTED_NOTE = (
    "a larger model's type that is not in the table counts as the one in its "
    + ", ".join(f"`{key}`" for key in PARTS[:-1])
    + f" or `{PARTS[-1]}`"
)

INTRO = """\
Point `load_layer` at the folder of a published model, `config.json` and `*.safetensors`, and get
one of its MoE layers as numpy arrays, equal to the reference library's:

```python
layer = moe.load_layer("models/Mixtral-8x7B-v0.1", layer=1)
y_ND, ctx = layer.forward(x_ND)
dx_ND, grads = layer.backward(dy_ND, ctx)
```

- `moe.moe_layers(folder)` lists the numbers of the MoE layers.
- `moe.export_layer(layer)` gives the weights under their published names and in their published
  shapes, `moe.export_layer(layer, grads)` gradients the same way.
- `moe.save_layer(layer, folder)` writes a folder that `load_layer` reads back bit for bit; it
  refuses a layer whose router, capacity or arrays its `config.json` cannot express any more.
  `layer.save(file)` keeps [any layer](own-weights.md).
- Files that transformers 5 writes with `save_original_format=False` (`experts.gate_up_proj`) are
  read like published ones, and saved in the layout that they came in.
- Only the tensors of the asked layer are read, also out of shards with an index.
- What does not fit (a dense layer, a missing tensor, a wrong shape, NaN or infinity, an unknown
  `model_type`) is a `moe.CheckpointError` that says what, and which layers are MoE.\
"""
EXACT = """\
The committed cases in `tests/parity/` are tiny random models of every family, made with settings
that matter: groups, scaling, correction bias, a shared gate, biases, dense layers. Outputs agree to
1e-5 and gradients, in float64, to 1e-6 of each array's largest value. `make parity` makes the
cases again and compares with the live library. It computes routing in float32 even in float64
models, which is what is left of the difference.

**Ties.** Where scores are equal to the last bit, the layer chooses the lower expert. The reference
library asks torch.topk, whose order among equals is nobody's promise and differs by size and
device. So with a gate of zeros, or with experts whose gate columns are copies (a fresh gate, an
upcycled model), it may choose others, and outputs then differ wholly.\
"""
TYPES = """\
| In the file | In the layer | Saved as |
| --- | --- | --- |
| `F16`, `BF16` | float32, exactly | the same, if that still holds every value; else `F32` |
| `F32` | float32 | `F32` |
| `F64` | float64 | `F64` |
| `F8_E4M3` with `weight_scale_inv` | float32: value times its block's factor | `F32` |
| MXFP4: `_blocks` and `_scales` | float32: value times its block's power of two, exactly | `BF16` |

Quantised tensors are exported and saved plain, under the names and in the shapes that the reference
library gives them, and the saved `config.json` has no `quantization_config`.\
"""
LIMITS = """\
- Inference form: jitter, dropout and auxiliary losses of the families are not part of the layer.
- SwiGLU only (`hidden_act` silu), and gpt-oss's clamped form.
- No biases in linear layers but gpt-oss's (`mlp_bias`, `use_bias`).
- Tensors that the table does not account for are refused, not left out.
- Other quantisations (GPTQ, AWQ, NVFP4, compressed-tensors, bitsandbytes) are refused by name.
- DeepSeek-V3's extra layer for predicting two tokens ahead is out of range.\
"""


def page() -> str:
    """Return the page."""
    return page_text(
        "moe/checkpoints/families.py",
        "# Published checkpoints",
        INTRO,
        "## Families",
        f"By the `model_type` of `config.json`; {NESTED_NOTE}. Tensors stand below "
        "`model.layers.N.` and the block's name in most files; other prefixes of larger models are "
        "known, and any can be told (`load_layer(folder, layer, prefix=...)`).",
        table(["`model_type`", "Block", "Experts", "Router", "Shared expert"], _names()),
        "E, D and F are experts, model width and expert width. In memory, gate and up "
        "projection share one array, gate half first, whatever the file does.",
        "## Layers, keys and traps",
        table(["`model_type`", "MoE layers", "Keys of E, k, F", "Mind"], _keys()),
        "A missing key means what it means to the reference library: its configuration "
        "class's default; `moe cost` reads the same table by the same rules. `null` is not a "
        "missing key. It is refused where the class does not allow it, and of a layer's keys "
        f"it allows a list of layers, which null leaves out, and {_nulls()}.",
        "## How exact",
        EXACT,
        "## Element types",
        TYPES,
        "## Limits",
        LIMITS,
    )


def _nulls() -> str:
    """Where null has a meaning, in words."""
    return "; ".join(
        f"`{key}` of `{name}`, where it means {str(value).lower()}"
        for name, family in LOADABLE.items()
        for key, value in family.nulls.items()
        if key not in NULLS and value is not None
    )


def _names() -> list[list[str]]:
    return [
        [
            f"`{name}`",
            f"`{f.block}`",
            f.layout.title,
            _router(f),
            f"`{f.shared}`" if f.shared else "",
        ]
        for name, f in LOADABLE.items()
    ]


def _router(family: Family) -> str:
    options = ", ".join(
        f"`{value.name}`" if isinstance(value, Key) else f"{name}={value!r}"
        for name, value in family.options.items()
    )
    gate = f"[`{family.router}`](methods/routers/{family.router}.md) on `{family.gate}`"
    bias = f"; bias `{family.select_bias}`" if family.select_bias else ""
    return f"{gate}{bias}" + (f"; {options}" if options else "")


def _keys() -> list[list[str]]:
    return [
        [f"`{name}`", f.moe_rule, f"`{f.n_experts}`, `{f.k}`, `{f.d_expert}`", f.trap]
        for name, f in LOADABLE.items()
    ]
