"""Adam: the published update, one kernel for all arrays, every bit the oracle's; and others."""

from __future__ import annotations

import numpy as np
import pytest

from moe import kernels
from moe.kernels import adam
from moe.optim import SGD, Adam, AdamW, Muon, Split

SHAPES = ((3,), (7, 5), (), (0, 4), (2, 3, 4), (adam.CHUNK,), (adam.CHUNK + 1,), (5, adam.CHUNK))


def arrays(seed: int, dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape)).astype(dtype) for shape in SHAPES]


def states(
    dtype: str,
    backend: str,
    threads: int,
    steps: int = 4,
    kind: type[Adam] = Adam,
    **options: float,
) -> list[list[bytes]]:
    """All arrays after each of some steps."""
    params = dict(enumerate(arrays(0, dtype)))
    optimiser, seen = kind(rate=0.01, **options), []
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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_decay_is_in_the_kernel_with_the_oracles_bits(dtype: str) -> None:
    made = [
        states(dtype, backend, 2, kind=AdamW, weight_decay=0.1) for backend in ("numba", "numpy")
    ]
    assert made[0] == made[1] != states(dtype, "numba", 2)
    assert states(dtype, "numba", 2, kind=AdamW) == states(dtype, "numba", 2)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_adamw_is_the_published_update(backend: str) -> None:
    rng = np.random.default_rng(0)
    matrix, gain = rng.standard_normal((4, 5)), rng.standard_normal(5)
    params = {"matrix": matrix.copy(), "gain": gain.copy()}
    optimiser = AdamW(rate=0.1, beta1=0.8, beta2=0.9, eps=1e-6, weight_decay=0.2, clip=1.5)
    mean, square = ({"matrix": 0.0, "gain": 0.0} for _ in range(2))
    truth = {"matrix": matrix, "gain": gain}
    for step in range(1, 6):
        size = (30.0, 0.01)[step % 2]  # one is clipped, the next is not
        grads = {name: size * rng.standard_normal(p.shape) for name, p in params.items()}
        with kernels.using(backend):
            optimiser.step(params, grads)
        norm = np.sqrt(sum((grad**2).sum() for grad in grads.values()))
        for name, grad in grads.items():
            g = grad * min(1.0, 1.5 / norm)
            mean[name] = 0.8 * mean[name] + 0.2 * g
            square[name] = 0.9 * square[name] + 0.1 * g * g
            m, s = mean[name] / (1 - 0.8**step), square[name] / (1 - 0.9**step)
            decay = 0.1 * 0.2 * truth[name] if name == "matrix" else 0.0
            truth[name] = truth[name] - decay - 0.1 * m / (np.sqrt(s) + 1e-6)
            assert np.allclose(params[name], truth[name], rtol=1e-12, atol=1e-12)


def test_clipping_has_the_same_bits_on_any_threads() -> None:
    some = [states("float32", "numba", n, kind=AdamW, clip=0.5) for n in (1, 2, 5)]
    assert some[0] == some[1] == some[2]


def test_the_norm_of_no_numbers_and_of_zeros() -> None:
    for backend in kernels.backend_name(), "numpy":
        with kernels.using(backend):
            assert kernels.sum_squares([]) == kernels.sum_squares([np.zeros((0, 3))]) == 0
            assert kernels.sum_squares([np.full(3, 2.0), np.full(2, 1, np.float32)]) == 14
    params = {"p": np.ones(3)}
    AdamW(clip=1.0).step(params, {"p": np.zeros(3)})
    assert np.array_equal(params["p"], np.ones(3))


def muon_step(params: dict[str, np.ndarray], grads: dict[str, np.ndarray], **options: object):
    made = {name: param.copy() for name, param in params.items()}
    Muon(rate=0.1, **options).step(made, grads)
    return made


def test_muon_steps_by_orthogonal_matrices() -> None:
    rng = np.random.default_rng(0)
    grad = rng.standard_normal((6, 24))
    param = {"w": np.zeros((6, 24))}
    step = muon_step(param, {"w": grad}, steps=8)["w"] / -0.1
    values = np.linalg.svd(step, compute_uv=False)
    assert values.min() > 0.6 * 2 and values.max() < 1.3 * 2  # times the root of 24 / 6
    assert np.trace(step @ grad.T) > 0
    shrunk = muon_step({"w": np.ones((6, 24))}, {"w": grad}, steps=8, weight_decay=0.5)["w"]
    assert np.allclose(shrunk, 0.95 - 0.1 * step)


def test_muon_takes_experts_and_parts_one_by_one() -> None:
    rng = np.random.default_rng(1)
    grad = rng.standard_normal((3, 8, 20))
    params, grads = {"fused": np.zeros((3, 8, 20))}, {"fused": grad}
    made = muon_step(params, grads, parts={"fused": (12, 8)})["fused"]
    for e in range(3):
        for low, high in ((0, 12), (12, 20)):
            alone = {"part": np.ascontiguousarray(grad[e, :, low:high])}
            one = muon_step({"part": np.zeros((8, high - low))}, alone)["part"]
            assert np.array_equal(made[e, :, low:high], one)


def test_muon_remembers_its_momentum() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.standard_normal((2, 4, 4))
    for nesterov in (True, False):
        optimiser, param = Muon(rate=0.1, momentum=0.5, nesterov=nesterov), np.zeros((4, 4))
        optimiser.step({"w": param}, {"w": first})
        before = param.copy()
        optimiser.step({"w": param}, {"w": second})
        mean = 0.5 * first + second
        ahead = second + 0.5 * mean if nesterov else mean
        assert np.allclose(param - before, -0.1 * kernels.orthogonalize(ahead[None], 5)[0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Muon(momentum=1.5), "momentum: got 1.5, allowed is a number >= 0 and <= 1"),
        (lambda: Muon(steps=0), "steps: got 0, allowed is a whole number >= 1"),
        (lambda: AdamW(weight_decay=-1), "weight_decay: got -1, allowed is a number >= 0"),
        (lambda: AdamW(clip=0), "clip: got 0, allowed is a number > 0"),
        (lambda: muon_step({"g": np.ones(3)}, {"g": np.ones(3)}), "g: got 1 axes, allowed is 2"),
        (
            lambda: muon_step({"w": np.ones((2, 4))}, {"w": np.ones((2, 4))}, parts={"w": (3, 2)}),
            r"parts of w: got \(3, 2\), allowed is widths above 0 that add up to 4",
        ),
    ],
)
def test_what_optimisers_refuse(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


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
