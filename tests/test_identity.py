"""A layer in a line, as a table, and beside another one."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

import moe
from moe.capacity import Capacity
from moe.layer import MoELayer
from moe.routers.topk import TopK


def test_the_words_for_a_layer_fit_a_line() -> None:
    layer = MoELayer.init(16, 24, 6, k=3, n_shared=1, capacity=Capacity(1.5, "score"))
    assert repr(layer) == (
        "MoELayer(topk(k=3), swiglu, Capacity(factor=1.5, drop='score'): E=6, F=24, D=16, "
        "float32, 8,160 numbers)"
    )
    assert repr(moe.DenseFFN.init(4, 8, "relu")) == "DenseFFN(relu: F=8, D=4, float32, 64 numbers)"
    assert len(repr(MoELayer.init(256, 512, 64))) < 100


@pytest.mark.parametrize("params", [{}, {"w_down_EFD": None}, {"w_down_EFD": np.zeros(3)}])
def test_a_broken_layer_has_words_too(params: dict[str, np.ndarray]) -> None:
    layer = replace(MoELayer.init(4, 4, 4), params=params)
    assert repr(layer).endswith(f"{sum(a is not None for a in params.values())} arrays)")
    assert "<table>" in layer._repr_html_()


def test_a_notebook_gets_a_table_with_a_row_per_array() -> None:
    layer = MoELayer.init(16, 24, 6)
    layer.params["<b>"] = np.zeros(3)
    html = layer._repr_html_()
    assert html.count("<tr>") == 1 + len(layer.params) + len(layer.buffers)
    assert "(6, 24, 16)" in html and "&lt;b&gt;" in html and "<b>'" not in html
    assert moe.DenseFFN.init(4, 8)._repr_html_().count("<tr>") == 3


def test_layers_are_equal_if_they_compute_the_same() -> None:
    layer = MoELayer.init(4, 5, 6, seed=1)
    assert layer == copy.deepcopy(layer) == MoELayer.init(4, 5, 6, seed=1)
    assert layer != MoELayer.init(4, 5, 6, seed=2)
    assert layer != replace(layer, router=moe.make_router("topk", k=3))
    assert layer != replace(layer, activation="gelu")
    assert layer != replace(layer, capacity=Capacity())
    assert layer != replace(layer, buffers={"select_bias_E": np.ones(6, np.float32)})
    assert layer != layer.astype("float64") and layer != "layer" and layer != None  # noqa: E711
    nan, same = copy.deepcopy(layer), copy.deepcopy(layer)
    nan.params["gate_DE"][0, 0] = same.params["gate_DE"][0, 0] = np.nan
    assert nan == same != layer


def test_dense_layers_are_equal_if_they_compute_the_same() -> None:
    dense = moe.DenseFFN.init(4, 5, seed=1)
    assert dense == copy.deepcopy(dense) and dense != moe.DenseFFN.init(4, 5, seed=2)
    assert dense != dense.astype("float64") and dense != MoELayer.init(4, 5, 6)


def test_an_array_among_a_router_s_options_does_not_break_equality() -> None:
    @dataclass(frozen=True)
    class Mine(TopK):
        name = "mine"
        table: np.ndarray = field(default_factory=lambda: np.ones(3))

    layer = MoELayer.init(4, 5, 6, router=Mine())
    assert layer == replace(layer, router=Mine())
    assert layer != replace(layer, router=Mine(table=np.zeros(3)))
    y_ND, ctx = layer.forward(np.ones((2, 4)))
    assert layer.backward(y_ND, ctx)[0].shape == (2, 4)


def test_a_layer_that_may_change_has_no_hash() -> None:
    for layer in (MoELayer.init(4, 4, 4), moe.DenseFFN.init(4, 4)):
        with pytest.raises(TypeError, match="unhashable"):
            hash(layer)
