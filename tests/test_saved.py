"""`layer.save` and `moe.load`: every bit comes back, and a stranger's file is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import strategies as st

import moe
from moe.capacity import DROP_POLICIES, Capacity
from moe.layer import MoELayer
from moe.routers.topk import TopK
from tests.checkpoints.test_hostile import BYTES, JSON, attempt, cases, scarred


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("router", moe.ROUTERS)
def test_every_router_s_layer_comes_back_bit_for_bit(
    router: str, dtype: str, tmp_path: Path
) -> None:
    layer = MoELayer.init(6, 5, 8, router, k=2, n_shared=1, dtype=dtype, seed=3)
    for array in layer.buffers.values():
        array[:] = np.linspace(-1, 1, array.size)
    layer.save(tmp_path / "layer.safetensors")
    again = moe.load(tmp_path / "layer.safetensors")
    assert again == layer and list(again.params) == list(layer.params)
    x_ND = np.random.default_rng(0).standard_normal((9, 6))
    (y_ND, ctx), (same_ND, context) = layer.forward(x_ND), again.forward(x_ND)
    assert y_ND.tobytes() == same_ND.tobytes()
    one, two = layer.backward(y_ND, ctx), again.backward(y_ND, context)
    assert list(one[1]) == list(two[1]) and one[0].tobytes() == two[0].tobytes()
    again.params["w_down_EFD"] += 1  # a copy in memory, not the file


OPTIONS: dict[str, Callable[[], MoELayer]] = {
    "options": lambda: MoELayer.init(
        4, 3, 6, moe.make_router("topk", k=np.int64(3), scale=1.5, renormalize=False)
    ),
    "a tuple": lambda: MoELayer.init(4, 3, 6, moe.make_router("hash", counts=(5, 3, 2))),
    "clamped": lambda: MoELayer.init(4, 3, 6, activation="clamped_swiglu(alpha=1.1,limit=3)"),
    "latent": lambda: MoELayer.init(4, 3, 6, n_shared=1, d_latent=2),
    "relu": lambda: MoELayer.init(4, 3, 6, activation="relu"),
    "nan": lambda: MoELayer.from_arrays(
        {n: np.full_like(a, np.nan) for n, a in MoELayer.init(4, 3, 6).params.items()}
    ),
}


def with_biases() -> MoELayer:
    layer = MoELayer.init(4, 3, 6, n_shared=2)
    layer.params |= {
        "b_gate_up_E2F": np.ones((6, 6), np.float32), "b_down_ED": np.ones((6, 4), np.float32),
        "shared_gate_D1": np.ones((4, 1), np.float32),
    }  # fmt: skip
    layer.buffers |= moe.make_balancer("aux+l1", scope="global").init_state(6)
    return layer


@pytest.mark.parametrize("case", [*OPTIONS, "biases", *DROP_POLICIES])
def test_options_biases_and_capacities_come_back(case: str, tmp_path: Path) -> None:
    if case in OPTIONS:
        layer = OPTIONS[case]()
    elif case == "biases":
        layer = with_biases()
    else:
        layer = MoELayer.init(4, 3, 6, capacity=Capacity(1.1, case, min_capacity=2))
    layer.save(tmp_path / "layer")
    assert moe.load(str(tmp_path / "layer")) == layer


def test_a_file_is_replaced_whole_and_is_plain_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "layer.safetensors"
    for seed in (0, 1):
        layer = MoELayer.init(4, 3, 6, seed=seed)
        layer.save(path)
    assert moe.load(path) == layer and [p.name for p in tmp_path.iterdir()] == [path.name]
    tensors = safetensors.numpy.load_file(path)
    assert tensors["params.gate_DE"].tobytes() == layer.params["gate_DE"].tobytes()
    (tmp_path / "link").symlink_to(path)
    assert moe.load(tmp_path / "link") == layer


@pytest.fixture
def mine() -> Iterator[type]:
    @dataclass(frozen=True)
    class Mine(TopK):
        name, title, source = "mine", "Mine", "this test"
        table: Any = field(default=1)

    moe.register_router(Mine)
    yield Mine
    moe.ROUTERS.pop("mine", None)


def test_a_router_of_one_s_own_comes_back_once_it_is_registered(mine: type, tmp_path: Path) -> None:
    layer = MoELayer.init(4, 3, 6, router=mine(k=1))
    layer.save(tmp_path / "layer")
    assert moe.load(tmp_path / "layer") == layer
    del moe.ROUTERS["mine"]
    with pytest.raises(
        moe.CheckpointError, match=r"'mine', allowed is one of topk.*register_router"
    ):
        moe.load(tmp_path / "layer")
    with pytest.raises(ValueError, match=r"a Mine named 'mine', which is not in"):
        layer.save(tmp_path / "layer")


def test_what_a_file_cannot_keep_is_refused_and_nothing_is_written(
    mine: type, tmp_path: Path
) -> None:
    layer = MoELayer.init(4, 3, 6)

    class Wide(Capacity):
        pass

    refused = {
        "option table of router": replace(layer, router=mine(table=np.ones(3))),
        "allowed is a Capacity": replace(layer, capacity=Wide()),
        "gate_DE: got shape": replace(layer, params=layer.params | {"gate_DE": np.ones(3, "f4")}),
    }
    for message, broken in refused.items():
        with pytest.raises(ValueError, match=message):
            broken.save(tmp_path / "layer")
    for path in (tmp_path, tmp_path / "no" / "layer", 3, None):
        with pytest.raises(ValueError, match="path: got"):
            layer.save(path)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


# Files of strangers ------------------------------------------------------------------------------


SAYS = {
    "format": 1, "router": "topk",
    "options": moe.make_router("topk").options(), "activation": "swiglu",
    "capacity": {
        "factor": 1.25, "drop": "none", "min_capacity": 0, "n_devices": 0,
        "sequence_length": 128, "protected": 0.1,
    },
    "params": ["gate_DE", "w_gate_up_ED2F", "w_down_EFD"], "buffers": ["select_bias_E"],
}  # fmt: skip


def write(path: Path, says: Any, tensors: dict[str, np.ndarray] | None = None) -> Path:
    """A file with the tensors of a small layer, and what it says of itself."""
    layer = MoELayer.init(4, 3, 6)
    given = {f"params.{name}": array for name, array in layer.params.items()}
    given |= {f"buffers.{name}": array for name, array in layer.buffers.items()}
    text = says if isinstance(says, str) else json.dumps(says)
    body = safetensors.numpy.save(given if tensors is None else tensors, {"moescope": text})
    path.write_bytes(body)
    return path


def test_the_file_that_the_cases_change_is_good(tmp_path: Path) -> None:
    assert moe.load(write(tmp_path / "layer", SAYS)) == MoELayer.init(4, 3, 6)


def options(**changes: Any) -> dict[str, Any]:
    return SAYS | {"options": {**SAYS["options"], **changes}}  # type: ignore[dict-item]


WRONG: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "brackets that do not match"),
    "a list": ("[]", "allowed is a JSON object"),
    "another format": (SAYS | {"format": 2}, "got .*'format': 2"),
    "true for one": (SAYS | {"format": True}, "got .*'format': True"),
    "more words": (SAYS | {"note": "hello"}, "allowed are activation, buffers"),
    "fewer words": ({"format": 1}, "allowed are activation, buffers"),
    "a router": (SAYS | {"router": "magic"}, "router: got 'magic', allowed is one of topk"),
    "a list for a router": (SAYS | {"router": ["topk"]}, "router: got"),
    "an option": (options(temperature=1), "options: got .*allowed are k"),
    "a text for a number": (options(k="2"), "options: k: got '2', allowed is a int"),
    "a number for true": (options(renormalize=1), "options: renormalize: got 1, allowed is a bool"),
    "too large a number": (options(k=9), "k: got 9, allowed is a whole number in 1..6"),
    "a long list": (options(k=[1] * 9), r"options: k: got \(1, 1"),
    "infinity": (json.dumps(options(scale=float("inf"))), "scale"),
    "many specials": (
        SAYS | {"router": "longcat", "options": {**moe.make_router("longcat").options(),
                                                  "n_identity": 10**12}},
        "n_identity: got 1000000000000, allowed is a whole number in 0..4096",
    ),
    "many slots": (
        SAYS | {"router": "soft", "options": {"slots": 10**12}, "buffers": []},
        "got other tensors|no more numbers than params hold",
    ),
    "a capacity": (SAYS | {"capacity": 1.0}, "capacity: got 1.0, allowed are factor"),
    "a drop policy": (
        SAYS | {"capacity": SAYS["capacity"] | {"drop": "all"}},  # type: ignore[operator]
        "drop: got 'all'",
    ),
    "an activation": (SAYS | {"activation": ["swiglu"]}, "activation: got"),
    "another activation": (SAYS | {"activation": "relu"}, "params: got no w_up_EDF"),
    "fewer names": (SAYS | {"params": ["gate_DE"]}, "got other tensors"),
    "a name twice": (SAYS | {"params": [*SAYS["params"], "gate_DE"]}, "got other"),  # type: ignore[misc]
    "names that are none": (SAYS | {"params": {"gate_DE": 1}}, "params: got .*allowed is a list"),
    "a number for a name": (SAYS | {"buffers": [1]}, "buffers: got .*allowed is a list of"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_says_what_it_may_not_is_refused(case: str, tmp_path: Path) -> None:
    says, message = WRONG[case]
    path = write(tmp_path / "layer", says)
    assert attempt(lambda: moe.load(path)) is None
    with pytest.raises(moe.CheckpointError, match=message):
        moe.load(path)


def test_more_slots_than_numbers_are_refused_before_they_are_made(tmp_path: Path) -> None:
    layer = MoELayer.init(4, 3, 6, "soft")
    tensors = {f"params.{name}": array for name, array in layer.params.items()}
    says = SAYS | {"router": "soft", "options": {"slots": 10**12}, "buffers": []}
    path = write(tmp_path / "layer", says | {"params": list(layer.params)}, tensors)
    assert attempt(lambda: moe.load(path)) is None
    with pytest.raises(moe.CheckpointError, match="no more numbers than params hold"):
        moe.load(path)


def test_tensors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    layer = MoELayer.init(4, 3, 6)
    good = {f"params.{name}": array for name, array in layer.params.items()}
    good["buffers.select_bias_E"] = layer.buffers["select_bias_E"]
    for name, array, message in (
        ("params.gate_DE", np.ones((6, 4), np.float32), "gate_DE: got shape"),
        ("params.gate_DE", np.ones((4, 6)), "gate_DE: got float64, allowed is float32"),
        ("params.gate_DE", np.ones((4, 6), np.int32), "got dtype I32, allowed are F32 and F64"),
        ("buffers.select_bias_E", np.ones(7, np.float32), "select_bias_E: got shape"),
        ("params.w_down_EFD", np.ones((0, 3, 4), np.float32), "w_down_EFD: got shape"),
    ):
        path = write(tmp_path / "layer", SAYS, good | {name: array})
        with pytest.raises(moe.CheckpointError, match=message):
            moe.load(path)


def test_a_file_of_another_kind_or_none_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    safetensors.numpy.save_file({"a": np.ones(3)}, plain)
    for path, message in (
        (plain, "layer.save did not write"),
        (tmp_path / "none", "no such file"),
        (tmp_path, "not a plain file"),
        (3, "allowed is the path of a file"),
    ):
        with pytest.raises(moe.CheckpointError, match=message):
            moe.load(path)  # type: ignore[arg-type]


@cases(250)
def test_files_with_changed_bytes(tmp_path: Path, draw: Callable[..., Any]) -> None:
    path = write(tmp_path / "layer", SAYS)
    path.write_bytes(scarred(draw, path.read_bytes()))
    layer = attempt(lambda: moe.load(path))
    assert layer is None or isinstance(layer, MoELayer)


@cases(250)
def test_words_with_changed_values(tmp_path: Path, draw: Callable[..., Any]) -> None:
    says = json.loads(json.dumps(SAYS))
    for _ in range(draw(st.integers(1, 3))):
        part = draw(st.sampled_from([says, says["options"], says["capacity"]]))
        if isinstance(part, dict) and part:
            part[draw(st.sampled_from(sorted(part)))] = draw(JSON)
        if not isinstance(says["options"], dict) or not isinstance(says["capacity"], dict):
            break
    layer = attempt(lambda: moe.load(write(tmp_path / "layer", says)))
    assert layer is None or layer(np.ones((2, 4))).shape == (2, 4)


@cases(100)
def test_text_that_is_no_json(tmp_path: Path, draw: Callable[..., Any]) -> None:
    text = scarred(draw, json.dumps(SAYS).encode()).decode("latin-1")
    text += "".join(chr(draw(BYTES)) for _ in range(draw(st.integers(0, 3))))
    layer = attempt(lambda: moe.load(write(tmp_path / "layer", text)))
    assert layer is None or isinstance(layer, MoELayer)


@pytest.mark.parametrize("value", ["a" * 5000, ["a" * 5000], list(range(3000))])
def test_a_long_value_is_cut_in_the_message(tmp_path: Path, value: object) -> None:
    with pytest.raises(moe.CheckpointError, match=r"activation: got .*\.\.\..*allowed") as caught:
        moe.load(write(tmp_path / "layer", SAYS | {"activation": value}))
    assert len(str(caught.value)) < 400
