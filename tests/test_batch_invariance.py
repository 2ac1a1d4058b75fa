"""A token's numbers have the same bits whoever else is in the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import moe
from moe import kernels
from moe.kernels import experts

BATCHES = (1, 2, 3, 7, 17, 31, 33, 64, 100, 321)
N = 600
# One block of hidden columns and several, odd widths, one expert, experts of one column.
SHAPES = [(1, 1, 4, 2), (33, 2 * experts.BLOCK + 5, 3, 1), (650, 40, 1, 1)]
# The code of docs/how-fast.md, which is run as a test, goes through these.
SHAPES_OF_THE_PAGE = [(64, 128, 8, 2), (256, 512, 8, 2), (512, 256, 64, 8), (96, 9, 5, 3)]


def outputs(layer: moe.MoELayer, x_ND: np.ndarray, dy_ND: np.ndarray, ids_N: np.ndarray) -> dict:
    y_ND, ctx = layer.forward(x_ND, token_ids=ids_N)
    routing = ctx.routing
    found = {"y": y_ND, "dx": layer.backward(dy_ND, ctx)[0], "weights": routing.combine()}
    return found | {"logits": routing.logits_NE} if routing.logits_NE is not None else found


def changed(layer: moe.MoELayer, batches: tuple[int, ...] = BATCHES) -> dict[str, int]:
    """Tokens, of all batches, whose bits differ from those among all tokens, by output."""
    rng = np.random.default_rng(0)
    x_ND = rng.standard_normal((N, layer.d_model)).astype(layer.dtype)
    dy_ND, ids_N = rng.standard_normal(x_ND.shape).astype(layer.dtype), rng.integers(0, 256, N)
    whole = outputs(layer, x_ND, dy_ND, ids_N)
    found = dict.fromkeys(whole, 0)
    for n in batches:
        some = rng.permutation(N)[:n]
        for name, part in outputs(layer, x_ND[some], dy_ND[some], ids_N[some]).items():
            if part.shape[1] == whole[name].shape[1]:
                bits = part.view(np.uint8) != whole[name][some].view(np.uint8)
                found[name] += int(bits.any(axis=1).sum())
            else:  # Soft MoE has more slots, the more tokens there are
                found[name] += n
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("d", "f", "e", "k"),
    [*SHAPES, *(pytest.param(*one, marks=pytest.mark.soak) for one in SHAPES_OF_THE_PAGE)],
)
def test_no_token_changes_with_its_batch(d: int, f: int, e: int, k: int, dtype: str) -> None:
    layer = moe.MoELayer.init(d, f, e, k=k, dtype=dtype)
    assert changed(layer) == {"y": 0, "dx": 0, "weights": 0, "logits": 0}


def test_no_token_of_latent_experts_changes_with_its_batch() -> None:
    layer = moe.MoELayer.init(33, 40, 4, n_shared=1, d_latent=17)
    assert changed(layer) == {"y": 0, "dx": 0, "weights": 0, "logits": 0}


def test_the_page_goes_through_its_shapes() -> None:
    page = (Path(__file__).parents[1] / "docs" / "how-fast.md").read_text("utf-8")
    assert f"for D, F, E, k in {str(SHAPES_OF_THE_PAGE)[1:-1]}:" in page


@pytest.mark.parametrize("activation", ["relu", "gelu", "clamped_swiglu"])
def test_nor_with_other_activations_and_shared_experts(activation: str) -> None:
    layer = moe.MoELayer.init(40, 300, 8, n_shared=2, activation=activation)
    assert not any(changed(layer).values())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", moe.ROUTERS)
def test_a_router_is_as_batch_invariant_as_it_claims(name: str, dtype: str) -> None:
    layer = moe.MoELayer.init(24, 20, 16, router=name, n_shared=1, dtype=dtype)
    rng = np.random.default_rng(1)
    for buffer_E in layer.buffers.values():
        buffer_E[:] = rng.normal(0, 0.1, buffer_E.shape)
    found = changed(layer)
    claims = moe.ROUTERS[name].batch_invariant
    assert claims == (not any(found.values())), found
    assert not claims or moe.ROUTERS[name].causal


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_nor_with_the_number_of_threads(threads: int) -> None:
    layer, rng = moe.MoELayer.init(96, 200, 8), np.random.default_rng(0)
    x_ND, dy_ND = rng.standard_normal((2, 3000, 96), np.float32)
    ids_N = np.arange(3000)
    whole = outputs(layer, x_ND, dy_ND, ids_N)
    with kernels.using(threads=threads):
        for name, part in outputs(layer, x_ND[:1500], dy_ND[:1500], ids_N[:1500]).items():
            assert part.tobytes() == whole[name][:1500].tobytes()


def test_what_is_kept_for_backward_changes_no_bit() -> None:
    layer = moe.MoELayer.init(64, 300, 8)
    x_ND = np.random.default_rng(0).standard_normal((N, 64), np.float32)
    assert layer(x_ND).tobytes() == layer.forward(x_ND)[0].tobytes()
    assert layer(x_ND[:3]).tobytes() == layer(x_ND)[:3].tobytes()


def test_nan_in_one_token_leaves_every_bit_of_the_others() -> None:
    layer = moe.MoELayer.init(48, 40, 8)
    layer.check_finite = False
    x_ND = np.random.default_rng(0).standard_normal((40, 48), np.float32)
    clean, others = layer(x_ND), np.arange(40) != 7
    x_ND[7, 3] = np.nan
    assert layer(x_ND)[others].tobytes() == clean[others].tobytes()


def test_a_router_that_looks_at_the_batch_is_found() -> None:
    layer = moe.MoELayer.init(24, 20, 16, capacity=moe.Capacity(1.0))
    assert changed(layer)["y"] > 0  # who is dropped depends on who else is there
