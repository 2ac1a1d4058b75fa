"""The page on published checkpoints: its tables come from `moe/checkpoints/families.py`."""

from __future__ import annotations

from moe.checkpoints.families import COUNTABLE, LOADABLE, PARTS
from moe.checkpoints.family import Family, Key, no_layer
from moe.checkpoints.lineages import NULLS
from moe.checkpoints.refused import REFUSED
from moe.cost.mixing import MIXING, PLAIN

from .methods import page_text, table

PAGE = "checkpoints.md"
NESTED_NOTE = (
    "a larger model's type that is not in the table counts as the one in its "
    + ", ".join(f"`{key}`" for key in PARTS[:-1])
    + f" or `{PARTS[-1]}`"
)

INTRO = """\
Point `load_layer` at the folder of a published model, `config.json` and `*.safetensors`, and get
one of its MoE layers as numpy arrays. Here it stands beside the same block of transformers:

```python
import moe, torch, transformers

folder = "tests/parity/models/qwen3_moe"  # a tiny model of this repository, or any of yours
model = transformers.AutoModelForCausalLM.from_pretrained(folder, experts_implementation="eager")
x_ND = torch.randn(7, model.config.hidden_size)
theirs_ND = model.model.layers[1].mlp(x_ND[None])[0].detach().numpy()
ours_ND, ctx = moe.load_layer(folder, layer=1).forward(x_ND.numpy())
print("equal" if abs(ours_ND - theirs_ND).max() < 1e-4 else "different")
```

```text
equal
```

`make parity` runs these lines. The name of the block (`mlp`) is that of the library's memory, which
`print(model)` shows. Gradients go the same way, under published names:

```python
layer = moe.load_layer(folder, layer=1)
y_ND, ctx = layer.forward(x_ND.numpy())
dx_ND, grads = layer.backward(y_ND, ctx)
print(len(moe.export_layer(layer, grads)), "tensors, among them", min(moe.export_layer(layer)))
```

```text
13 tensors, among them model.layers.1.mlp.experts.0.down_proj.weight
```

- `moe.moe_layers(folder)` lists the numbers of the MoE layers.
- `moe.export_layer(layer)` gives the weights under their published names and in their published
  shapes, `moe.export_layer(layer, grads)` gradients the same way.
- `moe.save_layer(layer, folder)` writes a folder that `load_layer` reads back bit for bit; it
  refuses a layer whose router, capacity or arrays its `config.json` cannot express any more.
  `layer.save(file)` keeps [any layer](own-weights.md).
- `moe params FOLDER` counts the parameters of the whole model, by part, total and active, and says
  whether the files' headers agree.
- Only the tensors of the asked layer are read, also out of shards with an index.
- What does not fit (a dense layer, a missing tensor, a wrong shape, NaN or infinity, an unknown
  `model_type`) is a `moe.CheckpointError` that says what, and which layers are MoE.\
"""
LAYOUTS = """\
Published files have a matrix for each expert, or all experts in one tensor, by family. Files that
transformers 5 writes with `save_original_format=False` (`experts.gate_up_proj`) are read like
published ones; which layout a file has is told from its tensors, and a layer is saved in the layout
that it came in.\
"""
EXACT = """\
The committed cases in `tests/parity/` are tiny random models of every family, made with settings
that matter: groups, scaling, correction bias, a shared gate, biases, dense layers. Outputs agree to
1e-5 and gradients, in float64, to 1e-6 of each array's largest value. `make parity` makes the
cases again and compares with the live library. It computes routing in float32 even in float64
models, which is what is left of the difference.\
"""
TIES = """\
Where scores are equal to the last bit, the layer chooses the lower expert. The reference library
asks torch.topk, whose order among equals is nobody's promise and differs by size and device. So it
may choose others, and outputs then differ wholly though both are right:

- a gate that starts as zeros gives every expert the same score for every token;
- an upcycled model has experts whose gate columns are copies of each other, and equal scores in
  pairs;
- saturated scores (a sigmoid of a large logit) are equal though the logits are not.

Compare such a model with a little noise on the gate, or after its first steps of training.\
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
        "## Which types load, and which are counted",
        f"{len(LOADABLE)} types load, those of the next table, and {len(COUNTABLE)} are counted by "
        "`moe params` and `moe cost`. `make parity` compares the counts with the models that the "
        "library builds, small and at full size: total to 0.1 %, active to 1 %. Where all is not "
        "as simple:",
        table(["`model_type`", "Layers load", "Counted"], _types()),
        "Of what stands after “with” the parameters are counted; its operations and its state have "
        "no price here, and the output says so.",
        "These types of the reference library have experts and are refused by name; what they have "
        "that no row of the table says:",
        table(["`model_type`", "Why not"], _refused()),
        "## Families",
        f"By the `model_type` of `config.json`; {NESTED_NOTE}.",
        table(["`model_type`", "Block", "Experts", "Router", "Shared expert"], _names()),
        "E, D and F are experts, model width and expert width. In memory, gate and up "
        "projection share one array, gate half first, whatever the file does.",
        "## Layouts and prefixes",
        LAYOUTS,
        "Tensors stand below `model.layers.N.` and the block's name in most files. The prefixes "
        "of larger models are known, and any other can be told: `load_layer(folder, layer, "
        'prefix="my_model.")`. A missing tensor is answered with the nearest name that is there.',
        "## Layers, keys and traps",
        table(["`model_type`", "MoE layers", "Keys of E, k, F", "Mind"], _keys()),
        "A missing key means what it means to the reference library: its configuration "
        "class's default; `moe cost` reads the same table by the same rules. `null` is not a "
        "missing key. It is refused where the class does not allow it, and of a layer's keys "
        f"it allows a list of layers, which null leaves out, and {_nulls()}.",
        "## How exact",
        EXACT,
        "## Ties",
        TIES,
        "## Quantised files and element types",
        TYPES,
        "## Limits",
        LIMITS,
    )


def _types() -> list[list[str]]:
    """Types whose layers do not load, or that mix tokens otherwise than by attention."""
    rows = [
        [f"`{name}`", "yes" if name in LOADABLE else f"no: {_why_not(name, family)}", _mixes(name)]
        for name, family in COUNTABLE.items()
    ]
    return [row for row in rows if row[1:] != ["yes", "all"]]


def _refused() -> list[list[str]]:
    """Types that are not counted either, and why their layers do not load."""
    return [[f"`{name}`", why] for name, why in REFUSED.items() if name not in COUNTABLE]


def _why_not(name: str, family: Family) -> str:
    return "none has experts" if family.is_moe is no_layer else REFUSED[name]


def _mixes(name: str) -> str:
    mixing = MIXING.get(name, PLAIN)
    kinds = [*mixing.kinds.values(), *([mixing.beside] if mixing.beside else [])]
    titles = dict.fromkeys(kind.title for kind in kinds if kind.title)
    return f"all, with {' and '.join(titles)}" if titles else "all"


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
