"""Whole models in published layouts: the round trip bit for bit, and what no layout can express."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moe
from moe.capacity import Capacity
from moe.checkpoints.families import FAMILIES
from moe.checkpoints.files import open_checkpoint, write_checkpoint
from moe.lm import LanguageModel, LMConfig, load_model, save_model
from moe.lm.layouts import LAYOUTS
from moe.lm.tensors import block_shapes, shapes_around

SMALL = dict(
    n_vocab=11, context=32, d_model=16, n_heads=4, d_expert=6, n_experts=4, n_layers=3,
    norm_eps=1e-5,
)  # fmt: skip
LATENT = dict(kv_rank=5, head_size=6, rope_size=4, value_size=8)
DENSE = dict(n_experts=0, d_dense=9)
# By the layout that follows from what they are.
KINDS: dict[str, list[dict[str, Any]]] = {
    "mixtral": [dict(qk_norm="none", n_kv_heads=2, head_size=6)],
    "olmoe": [
        dict(qk_norm="width", n_kv_heads=2, router_options="renormalize=False", rope_theta=50.0)
    ],
    "qwen3_moe": [dict(), dict(n_dense=1, n_kv_heads=1, head_size=10, tied=True, k=3)],
    "dots1": [
        dict(router="deepseek_v3"),
        dict(
            router="deepseek_v3", n_kv_heads=2, n_shared=2, n_dense=1, d_dense=7,
            router_options="n_group=2,topk_group=1,scale=1.5,renormalize=False",
        ),
    ],
    "deepseek_v3": [
        LATENT | dict(router="deepseek_v3"),
        LATENT | dict(router="deepseek_v3", q_rank=7, interleaved=True, n_dense=1, n_shared=1),
        LATENT | DENSE,
    ],
    "qwen3": [DENSE | dict(n_kv_heads=2), DENSE | dict(tied=True, head_size=6)],
    "llama": [DENSE | dict(qk_norm="none")],
}  # fmt: skip
CASES = [pytest.param(kind, case, id=f"{kind}-{n}") for kind, cases in KINDS.items()
         for n, case in enumerate(cases)]  # fmt: skip


def model_of(dtype: str = "float32", **options: Any) -> LanguageModel:
    """A model whose arrays are all random, a selection bias too where the router is DeepSeek's."""
    model = LanguageModel.init(LMConfig(**SMALL | options), seed=1, dtype=dtype)
    rng = np.random.default_rng(2)
    bias = model.state() if model.config.router == "deepseek_v3" else {}
    for array in (*model.arrays().values(), *bias.values()):
        array += 0.3 * rng.standard_normal(array.shape).astype(dtype)
    return model


def saved(folder: Path, **options: Any) -> Path:
    save_model(model_of(**options), folder / "model")
    return folder / "model"


def test_every_layout_has_a_case_and_a_family() -> None:
    assert KINDS.keys() == LAYOUTS.keys() <= FAMILIES.keys()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kind", "options"), CASES)
def test_a_saved_model_loads_bit_for_bit(
    kind: str, options: dict, dtype: str, tmp_path: Path
) -> None:
    model = model_of(dtype, **options)
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["model_type"] == kind
    assert again.dtype == model.dtype
    for mine, theirs in ((model.arrays(), again.arrays()), (model.state(), again.state())):
        assert list(mine) == list(theirs)
        assert all(mine[name].tobytes() == theirs[name].tobytes() for name in mine)
    assert [layer.router for layer in again.moe_layers] == [
        layer.router for layer in model.moe_layers
    ]
    assert again.config.make_router() == model.config.make_router() or not model.moe_layers
    tokens_BT = np.random.default_rng(0).integers(0, 11, (2, 9))
    assert again.logits(tokens_BT).tobytes() == model.logits(tokens_BT).tobytes()
    save_model(again, tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        first, second = (tmp_path / folder / name for folder in ("model", "again"))
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_shapes_and_their_order_are_those_of_a_fresh_model(kind: str, options: dict) -> None:
    model = model_of(**options)
    found = shapes_around(model.config)
    for number in range(model.config.n_layers):
        dense = not model.config.is_moe(number)
        shapes = block_shapes(model.config, dense)
        found |= {f"blocks.{number}.{name}": shape for name, shape in shapes.items()}
    experts = {name for name in model.arrays() if ".ffn." in name} - set(found)
    assert bool(experts) == (model.config.n_experts > 0)
    arrays = {name: array.shape for name, array in model.arrays().items() if name not in experts}
    assert list(found.items()) == list(arrays.items())


def test_a_model_of_mixed_types_is_computed_in_the_widest(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    with open_checkpoint(folder) as checkpoint:
        tensors = {name: (checkpoint.read(name), "F32") for name in checkpoint.names}
        half = {n: (a.astype(np.float16), "F16") for n, (a, _) in tensors.items() if "gate" in n}
        write_checkpoint(tmp_path / "half", checkpoint.config, tensors | half)
        wide = {"model.norm.weight": (np.ones(16), "F64")}
        write_checkpoint(tmp_path / "wide", checkpoint.config, tensors | wide)
    assert load_model(tmp_path / "half").dtype == np.float32
    model = load_model(tmp_path / "wide")
    arrays = (model.arrays() | model.state()).values()
    assert {array.dtype for array in arrays} == {np.dtype(np.float64)}
    assert np.isfinite(model.logits(np.array([[1, 2, 3]]))).all()


# What no layout can express ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(activation="gelu"), "in layer 0 the activation 'gelu', allowed in the layout qwen3"),
        (dict(DENSE, activation="relu"), "the activation 'relu'"),
        (dict(router="noisy_topk"), "the router 'noisy_topk', allowed in the layout qwen3_moe is"),
        (dict(router="expert_choice"), "the router 'expert_choice'"),
        (
            dict(router="deepseek_v3", qk_norm="none"),
            "allowed in the layout mixtral is 'topk'; dots1 and deepseek_v3 have 'deepseek_v3'",
        ),
        (dict(LATENT), "allowed in the layout deepseek_v3 is 'deepseek_v3'"),
        (dict(router_options="score=sigmoid"), "the router's score='sigmoid'"),
        (dict(router_options="scale=2.0"), "the router's scale=2.0"),
        (
            dict(qk_norm="none", router_options="renormalize=False"),
            "renormalize=False, allowed in the layout mixtral is True",
        ),
        (dict(router_options="bias=True"), "the router's bias=True"),
        (dict(n_shared=1), "shared experts 1, allowed in the layout qwen3_moe is none; dots1 and"),
        (dict(qk_norm="none", n_dense=1), "dense layers 1, allowed in the layout mixtral is none"),
        (dict(qk_norm="width", n_dense=1), "dense layers 1, allowed in the layout olmoe is none"),
        (dict(DENSE, qk_norm="width"), "qk_norm 'width', allowed in the layout qwen3 is 'head'"),
        (dict(rope_size=2), "rope_size 2, allowed in the layout qwen3_moe is the width"),
        (dict(interleaved=True), "interleaved True"),
        (dict(qk_norm="width", head_size=6), "head_size 6, allowed in the layout olmoe"),
        (dict(DENSE, qk_norm="none", n_heads=3, head_size=4), "n_heads 3, allowed in the layout"),
        (
            dict(router="deepseek_v3", router_options="n_group=4,topk_group=2"),
            "4 experts in 4 groups",
        ),
    ],
)
def test_what_no_layout_can_express_is_refused(options: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        saved(tmp_path, **options)
    assert str(caught.value).startswith("model: got") and words in str(caught.value)
    assert not list(tmp_path.iterdir())


def refusal(model: LanguageModel, folder: Path, name: str | None = None) -> str:
    with pytest.raises(ValueError) as caught:
        save_model(model, folder / "refused", name)
    assert not list(folder.iterdir())
    return str(caught.value)


def test_changes_that_no_layout_can_express_are_refused(tmp_path: Path) -> None:
    def changed(number: int = 1, **parts: Any) -> LanguageModel:
        model = model_of()
        ffn = replace(model.blocks[number].ffn, **parts)
        blocks = list(model.blocks)
        blocks[number] = replace(blocks[number], ffn=ffn)
        return replace(model, blocks=tuple(blocks))

    assert "layer 1 the capacity" in refusal(changed(capacity=Capacity(1.0)), tmp_path)
    other = changed(router=moe.make_router("topk", k=1))
    assert "that of the layers before" in refusal(other, tmp_path)
    more = changed(params=changed().blocks[1].ffn.params | {"shared_gate_D1": np.ones((16, 1))})
    assert "'shared_gate_D1', which the layout qwen3_moe has not" in refusal(more, tmp_path)
    dense = replace(model_of(), blocks=model_of().blocks[:2] + model_of(**DENSE).blocks[2:])
    assert "behind layers with experts" in refusal(dense, tmp_path)
    wide = model_of()
    wide.params["gain_D"] = np.ones(17, np.float32)
    assert "gain_D: got the shape (17,), allowed is (16,)" in refusal(wide, tmp_path)


def test_a_bias_beside_softmax_scores_is_refused_and_one_of_zeros_is_none(tmp_path: Path) -> None:
    model = model_of()
    model.balance_by(moe.make_balancer("bias", rate=0.1))
    save_model(model, tmp_path / "zeros")
    assert not any(array.any() for array in load_model(tmp_path / "zeros").state().values())
    (tmp_path / "zeros").rename(tmp_path.parent / f"{tmp_path.name}-zeros")
    model.moe_layers[2].buffers["select_bias_E"][1] = 1e-9
    words = refusal(model, tmp_path)
    assert "in layer 2 a select_bias_E that is not 0" in words
    assert "dots1 and deepseek_v3 have such a bias" in words
    factor = model_of(router="deepseek_v3")
    factor.balance_by(moe.make_balancer("bias", form="multiplicative"))
    factor.moe_layers[0].buffers["select_factor_E"][0] = 2
    assert "in layer 0 a select_factor_E that is not 1" in refusal(factor, tmp_path)


def test_what_a_balancer_remembers_beside_the_bias_is_left_out(tmp_path: Path) -> None:
    model = model_of(router="deepseek_v3")
    model.balance_by(moe.make_balancer("bias", rate=0.1, freeze_after=3))
    tokens_BT = np.random.default_rng(0).integers(0, 11, (2, 9))
    model.steer(model.gradients(tokens_BT, tokens_BT).routings)
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.logits(tokens_BT).tobytes() == model.logits(tokens_BT).tobytes()
    assert {name.rpartition(".")[2] for name in again.state()} == {"select_bias_E"}


def test_nan_is_not_written(tmp_path: Path) -> None:
    model = model_of()
    model.arrays()["blocks.1.attention.q_gain"][0] = np.nan
    words = refusal(model, tmp_path)
    assert words.startswith("model.layers.1.self_attn.q_norm.weight: got NaN or infinity")


def test_a_layout_that_is_named_has_to_fit(tmp_path: Path) -> None:
    words = refusal(model_of(), tmp_path, "mixtral")
    assert words == "model: got qk_norm 'head', allowed in the layout mixtral is 'none'"
    assert "kv_rank 0, allowed in the layout deepseek_v3" in refusal(
        model_of(router="deepseek_v3"), tmp_path, "deepseek_v3"
    )
    assert "layers with experts 3, allowed in the layout qwen3 is none" in refusal(
        model_of(), tmp_path, "qwen3"
    )
    assert "name: got 'gpt_oss', allowed is one of" in refusal(model_of(), tmp_path, "gpt_oss")
    save_model(model_of(**DENSE), tmp_path / "named", "qwen3")
    assert load_model(tmp_path / "named").config.n_experts == 0


# The folder -------------------------------------------------------------------------------------


def test_a_checkpoint_is_not_overwritten_and_other_files_stay(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match="which holds a checkpoint; allowed is a new one"):
        save_model(model_of(tied=True), folder)
    assert (folder / "model.safetensors").read_bytes() == before
    beside = tmp_path / "run"
    beside.mkdir()
    (beside / "state.bin").write_bytes(b"mine")
    save_model(model_of(), beside)
    names = {"config.json", "model.safetensors", "state.bin"}
    assert {path.name for path in beside.iterdir()} == names
    assert load_model(beside).arrays().keys() == model_of().arrays().keys()
    for wrong, words in ((beside / "state.bin", "which is a file"), (None, "got None")):
        with pytest.raises(ValueError, match=words):
            save_model(model_of(), wrong)


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_is_written_whole_or_not_at_all(
    exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    if exists:
        folder.mkdir()

    def broken(path: Path, *_: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError("no space left")

    monkeypatch.setattr("moe.checkpoints.files.write_file", broken)
    with pytest.raises(OSError, match="no space left"):
        save_model(model_of(), folder)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.rglob("*")] == (["model"] if exists else [])
    save_model(model_of(), folder)
    assert load_model(folder).config.n_layers == 3


def test_the_package_loads_its_names_on_first_use() -> None:
    code = "import sys, moe.lm; print('numba' in sys.modules, 'moe.lm.model' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert set(moe.lm.__all__) <= set(dir(moe.lm))
    assert moe.lm.load_model is load_model
    with pytest.raises(AttributeError, match="nothing"):
        moe.lm.nothing  # noqa: B018
