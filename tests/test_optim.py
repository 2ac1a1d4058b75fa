"""Adam: the published update, one kernel for all arrays, every bit the oracle's; and others."""

from __future__ import annotations

import numpy as np
import pytest

from moe import kernels
from moe.kernels import adam
from moe.optim import SGD, Adam, Split

SHAPES = ((3,), (7, 5), (), (0, 4), (2, 3, 4), (adam.CHUNK,), (adam.CHUNK + 1,), (5, adam.CHUNK))


def arrays(seed: int, dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape)).astype(dtype) for shape in SHAPES]


def states(dtype: str, backend: str, threads: int, steps: int = 4) -> list[list[bytes]]:
    """All arrays after each of some steps."""
    params = dict(enumerate(arrays(0, dtype)))
    optimiser, seen = Adam(rate=0.01), []
    with kernels.using(backend, threads=threads):
        for step in range(steps):
            optimiser.step(params, dict(enumerate(arrays(step + 1, dtype))))
            both = [params, optimiser.mean, optimiser.square]
            seen.append([kept[i].tobytes() for kept in both for i in params])
    return seen


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_kernel_has_the_oracles_bits(dtype: str, threads: int) -> None:
    assert states(dtype, "numba", threads) == states(dtype, "numpy", 1)


def test_arrays_of_both_types_in_one_step() -> None:
    params = {"a": np.ones(5, np.float32), "b": np.ones(3), "c": np.ones((2, 2), np.float32)}
    alone = {name: param.copy() for name, param in params.items()}
    grads = {name: np.full_like(param, 0.5) for name, param in params.items()}
    Adam().step(params, grads)
    for name, param in alone.items():
        Adam().step({name: param}, {name: grads[name]})
        assert param.tobytes() == params[name].tobytes()


def test_the_first_step_is_the_rate_times_the_sign() -> None:
    param, grad = np.zeros(5), np.array([3.0, -2.0, 1e-3, -1e3, 7.0])
    Adam(rate=0.1).step({"p": param}, {"p": grad})
    assert np.allclose(param, -0.1 * np.sign(grad), atol=1e-5)


def test_a_gradient_may_lie_anyhow_and_a_parameter_may_not() -> None:
    grad = np.arange(12.0).reshape(3, 4)
    straight, turned = np.ones((3, 4)), np.ones((3, 4))
    Adam().step({"p": straight}, {"p": grad})
    Adam().step({"p": turned}, {"p": np.asfortranarray(grad)})
    assert np.array_equal(straight, turned)
    with pytest.raises(ValueError, match=r"param: got float64 \(3, 4\), not contiguous"):
        Adam().step({"p": np.ones((4, 3)).T}, {"p": grad})
    with pytest.raises(ValueError, match=r"grad: got float64 \(2, 4\)"):
        Adam().step({"p": straight}, {"p": grad[:2]})
    frozen = np.ones(3)
    frozen.setflags(write=False)
    with pytest.raises(ValueError, match="not read-only"):
        Adam().step({"p": frozen}, {"p": np.ones(3)})


def test_sgd_goes_down_the_gradient_by_its_rate() -> None:
    params = {"a": np.array([1.0, 2.0], np.float32), "b": np.array([[3.0]])}
    before = params["a"]
    SGD(0.5).step(params, {"a": np.array([2.0, -4.0], np.float32), "b": np.array([[1.0]])})
    assert params["a"] is before and params["a"].tolist() == [0.0, 4.0]
    assert params["b"].tolist() == [[2.5]]
    with pytest.raises(ValueError, match=r"learning_rate: got 0\.0"):
        SGD(0.0)


def test_split_steps_each_array_once_by_its_own_optimiser() -> None:
    grads = {name: np.full(3, 2.0) for name in "abc"}
    params, alone = ({name: np.ones(3) for name in "abc"} for _ in range(2))
    split, adam = Split({"b"}, SGD(0.25), Adam(0.1)), Adam(0.1)
    for _ in range(2):
        split.step(params, grads)
        adam.step(alone, grads)
    assert params["b"].tolist() == [0.0] * 3
    assert all(np.array_equal(params[name], alone[name]) for name in "ac")
    everything = {"b": np.ones(3)}
    Split({"b"}, SGD(1.0), adam).step(everything, {"b": np.ones(3)})  # nothing for the other
    assert everything["b"].tolist() == [0.0] * 3 and adam.steps == 2
