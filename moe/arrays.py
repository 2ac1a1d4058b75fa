"""Which arrays a layer may hold, checked at each call before a kernel sees any of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np

from .capacity import Capacity
from .errors import FLOAT_TYPES, check_array
from .experts import check_activation, dense_name, n_matrices, up_bias_name, up_name
from .latent_experts import DOWN, UP
from .routers import Router, check_router
from .specials import init_specials

Shapes = dict[str, tuple[int, ...]]

C_ALIGNED = 0x0101  # C_CONTIGUOUS and ALIGNED in `flags.num`, tested at once (ndarraytypes.h)
TAKEN = frozenset({"logits_NE", "previous_NE", "rng", "token_ids"})  # other keywords of `choose`


class Held(Protocol):
    """The part of a layer that a contract checks: its options and arrays."""

    router: Router
    activation: str
    capacity: Capacity
    params: dict[str, np.ndarray]
    buffers: dict[str, np.ndarray]
    _mark: bytes


class Known(NamedTuple):
    """What is kept of a checked array, to compare with at the next call."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Contract:
    """What a layer was found to hold when it was checked.

    A check of everything at each call would cost more than a small layer, so that a call only
    compares with this, and checks again if something is different.

    Attributes
    ----------
    owner
        Signature of the layer's contexts: its mark, and all that backward depends on.
    router, activation, capacity, params, buffers
        The options and arrays that were checked.
    d_model, n_experts, dtype
        D; E, with experts that compute nothing; the type that the layer computes in.
    widths
        Columns of the logits and of other projections, by the names that `project` gives them.
    shapes
        Shapes of the parameters, by name.
    by
        Name of the router, for messages about what it returned.
    """

    owner: tuple[Any, ...]
    router: Router
    activation: str
    capacity: Capacity
    params: tuple[Known, ...]
    buffers: tuple[Known, ...]
    d_model: int
    n_experts: int
    dtype: np.dtype[Any]
    widths: Mapping[str, int]
    shapes: Mapping[str, tuple[int, ...]]
    by: str

    def still_holds(self, layer: Held) -> bool:
        """Whether nothing but the arrays' numbers changed; most calls check no more than this."""
        return (
            layer.router is self.router
            and layer.capacity is self.capacity
            and layer.activation == self.activation
            and _unchanged(layer.params, self.params)
            and _unchanged(layer.buffers, self.buffers)
        )


def _unchanged(arrays: Mapping[str, np.ndarray], known: tuple[Known, ...]) -> bool:
    if type(arrays) is not dict or len(arrays) != len(known):
        return False
    for name, shape, dtype in known:
        array = arrays.get(name)
        if (
            type(array) is not np.ndarray
            or array.shape != shape
            or array.dtype != dtype
            or array.flags.num & C_ALIGNED != C_ALIGNED
        ):
            return False
    return True


def contract_of(layer: Held) -> Contract:
    """Check all that a layer holds.

    Raises
    ------
    ValueError
        Naming the first array that is missing, unknown, or of another shape, type or layout than
        the router, the activation and `w_down_EFD` say; or an option that is not allowed.
    """
    router, capacity = check_router(layer.router), layer.capacity
    activation = check_activation(layer.activation)
    if not isinstance(capacity, Capacity):
        raise ValueError(f"capacity: got {capacity!r}, allowed is a Capacity")
    params = _dict("params", layer.params)
    down_EFD = _present(params, "w_down_EFD")
    check_plain("w_down_EFD", down_EFD)
    if down_EFD.ndim != 3 or 0 in down_EFD.shape:
        raise ValueError(f"w_down_EFD: got shape {down_EFD.shape}, allowed is (E, F, D), all >= 1")
    n_computing, d_expert, d_routed = down_EFD.shape
    specials = router.specials
    d_model, latent = d_routed, {}
    if DOWN in params or UP in params:
        latent = _latent_shapes(params, d_routed, specials)
        d_model = latent[DOWN][0]
    n_experts = n_computing + len(specials)
    router.check(n_experts)
    capacity.check(router, n_experts)
    limit = sum(array.size for array in params.values() if isinstance(array, np.ndarray))
    allowed = router_shapes(router, d_model, n_experts, limit)
    needed = [*allowed, up_name(activation), "w_down_EFD"]
    allowed |= special_shapes(specials, d_model, limit)
    needed += [name for name in allowed if name not in needed]
    allowed |= expert_shapes(activation, d_routed, d_expert, n_computing) | latent
    needed += latent
    shared_down = f"shared_{dense_name('w_down_EFD')}"
    if shared_down in params:
        check_plain(shared_down, params[shared_down])
        shared = shared_shapes(activation, d_model, len(params[shared_down]))
        allowed |= shared
        needed += [name for name in shared if name != "shared_gate_D1"]
    axis, also = ("L", f"; {DOWN} says D = {d_model}") if latent else ("D", "")
    says = f"w_down_EFD says E = {n_computing}, F = {d_expert}, {axis} = {d_routed}{also}"
    for name in needed:
        _present(params, name)
    for name, array in params.items():
        if name not in allowed:
            raise ValueError(f"params: got {name!r}, allowed are {', '.join(sorted(allowed))}")
        check_plain(name, array)
        if array.dtype != down_EFD.dtype:
            raise ValueError(
                f"{name}: got {array.dtype}, allowed is {down_EFD.dtype}, as w_down_EFD is"
            )
        _check_shape(name, array, allowed[name], says)
    buffers = _dict("buffers", layer.buffers)
    _check_buffers(router, buffers, n_experts)
    known = tuple(Known(name, array.shape, array.dtype) for name, array in params.items())
    widths = {"logits_NE": n_experts}
    for name in router.projections:
        if f"{name}_DE" in params:
            columns = params[f"{name}_DE"].shape[1]
            if name == "gate":
                widths["logits_NE"] = router.n_logits(columns)
            else:
                widths[f"{name}_NE"] = columns
    return Contract(
        owner=(layer._mark, router, activation, known),
        router=layer.router,
        activation=layer.activation,
        capacity=capacity,
        params=known,
        buffers=tuple(Known(name, array.shape, array.dtype) for name, array in buffers.items()),
        d_model=d_model,
        n_experts=n_experts,
        dtype=down_EFD.dtype,
        widths=widths,
        shapes={name: array.shape for name, array in params.items()},
        by=f"router {router.name!r}",
    )


def _latent_shapes(
    params: Mapping[str, np.ndarray], d_latent: int, specials: tuple[str, ...]
) -> Shapes:
    """Shapes of the products around latent experts, of which the first says D."""
    check_latent(DOWN, specials)
    down_DL = _present(params, DOWN)
    check_plain(DOWN, down_DL)
    if down_DL.ndim != 2 or 0 in down_DL.shape:
        raise ValueError(f"{DOWN}: got shape {down_DL.shape}, allowed is (D, L), both >= 1")
    return {DOWN: (len(down_DL), d_latent), UP: (d_latent, len(down_DL))}


def check_latent(name: str, specials: tuple[str, ...]) -> None:
    """Raise ValueError if a pool with such experts cannot be latent."""
    if any(kind != "zero" for kind in specials):
        # Whether such an expert would return x or its latent vector, no publication says.
        raise ValueError(
            f"{name}: got latent experts and a router with the experts "
            f"{', '.join(sorted(set(specials)))}, allowed is one whose experts compute, or give 0"
        )


def model_width(params: Mapping[str, np.ndarray]) -> int:
    """Width of x and y, D: that of the experts, unless they are latent."""
    down = params.get(DOWN)
    return int(params["w_down_EFD"].shape[2] if down is None else down.shape[0])


def check_dense(params: Mapping[str, np.ndarray], activation: str) -> tuple[np.ndarray, np.ndarray]:
    """Return both arrays of one network, (D, H) and (F, D).

    Raises
    ------
    ValueError
        Naming the array that is missing, unknown, or of another shape, type or layout.
    """
    up, down = dense_name(up_name(check_activation(activation))), "w_down_FD"
    down_FD, up_DH = _present(_dict("params", params), down), _present(params, up)
    if len(params) != 2:
        extra = next(name for name in params if name not in (up, down))
        raise ValueError(f"params: got {extra!r}, allowed are {up}, {down}")
    check_plain(down, down_FD)
    check_plain(up, up_DH)
    if down_FD.ndim != 2 or 0 in down_FD.shape:
        raise ValueError(f"{down}: got shape {down_FD.shape}, allowed is (F, D), both >= 1")
    if up_DH.dtype != down_FD.dtype:
        raise ValueError(f"{up}: got {up_DH.dtype}, allowed is {down_FD.dtype}, as {down} is")
    d_hidden, d_model = down_FD.shape
    wanted = (d_model, d_hidden * (n_matrices(activation) - 1))
    if up_DH.shape != wanted:
        _check_shape(up, up_DH, wanted, f"{down} says F = {d_hidden}, D = {d_model}")
    check_layout(up, up_DH)
    check_layout(down, down_FD)
    return up_DH, down_FD


def router_shapes(router: Router, d_model: int, n_experts: int, limit: int) -> Shapes:
    """Shapes of a router's parameters, by name.

    Raises
    ------
    ValueError
        If one of them has more numbers than `limit`.
    """
    try:
        return dict(_router_shapes(router, d_model, n_experts, limit))
    except TypeError:  # options that cannot be hashed cannot be looked up either
        return _router_shapes.__wrapped__(router, d_model, n_experts, limit)


@lru_cache(maxsize=64)
def _router_shapes(router: Router, d_model: int, n_experts: int, limit: int) -> Shapes:
    with np.errstate(all="ignore"):
        params = router.init_params(d_model, n_experts, _Zeros(limit))
    if not isinstance(params, dict):
        raise ValueError(f"init_params of {router!r}: got {params!r}, allowed is a dict of arrays")
    return {name: np.shape(array) for name, array in params.items()}


class _Zeros(np.random.Generator):
    """Draws zeros, at most `limit` at once: only the shapes of the parameters are needed.

    The options of a file could ask for any size; no more memory is allocated than its arrays take.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(np.random.PCG64(0))
        self._limit = limit

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Return zeros of the given shape."""
        if np.prod(() if size is None else size, dtype=np.float64) > self._limit:
            raise ValueError(
                f"router: got options for a parameter of shape {size}, allowed are no more "
                f"numbers than params hold, {self._limit}"
            )
        return np.zeros(() if size is None else size, dtype)


def special_shapes(kinds: tuple[str, ...], d_model: int, limit: int) -> Shapes:
    """Shapes of the parameters of experts that compute nearly nothing; see `router_shapes`."""
    params = init_specials(kinds, d_model, _Zeros(limit))
    return {name: array.shape for name, array in params.items()}


def expert_shapes(activation: str, d_model: int, d_expert: int, n_computing: int) -> Shapes:
    """Shapes of the experts' weights and of their biases, which they may have."""
    width = d_expert * (n_matrices(activation) - 1)
    return {
        up_name(activation): (n_computing, d_model, width),
        "w_down_EFD": (n_computing, d_expert, d_model),
        up_bias_name(activation): (n_computing, width),
        "b_down_ED": (n_computing, d_model),
    }


def shared_shapes(activation: str, d_model: int, d_shared: int) -> Shapes:
    """Shapes of the shared experts, one network of that width, and of the gate it may have."""
    width = d_shared * (n_matrices(activation) - 1)
    return {
        f"shared_{dense_name(up_name(activation))}": (d_model, width),
        f"shared_{dense_name('w_down_EFD')}": (d_shared, d_model),
        "shared_gate_D1": (d_model, 1),
    }


def check_plain(name: str, array: object) -> None:
    """Raise ValueError unless it is a plain array of float32 or float64."""
    if type(array) not in (np.ndarray, np.memmap):
        raise ValueError(
            f"{name}: got a {type(array).__name__}, allowed is a numpy.ndarray; "
            "MoELayer.from_arrays copies from lists and tensors"
        )
    assert isinstance(array, np.ndarray)
    if array.dtype not in FLOAT_TYPES:
        raise ValueError(
            f"{name}: got dtype {array.dtype}, allowed are float32 and float64 of this machine's "
            "byte order"
        )


def check_layout(name: str, array: np.ndarray) -> None:
    """Raise ValueError unless kernels may step through the numbers.

    Strided arrays would be copied at every call.
    """
    if array.flags.num & C_ALIGNED != C_ALIGNED:
        raise ValueError(
            f"{name}: got an array whose numbers do not lie one after another in C order, allowed "
            "is one where they do: np.ascontiguousarray makes it"
        )


def _check_shape(name: str, array: np.ndarray, wanted: tuple[int, ...], says: str) -> None:
    if array.shape != wanted:
        turned = array.shape == (*wanted[:-2], *wanted[:-3:-1])
        hint = "; MoELayer.from_arrays takes other orders" if turned else ""
        raise ValueError(f"{name}: got shape {array.shape}, allowed is {wanted} ({says}){hint}")
    check_layout(name, array)


def _check_buffers(router: Router, buffers: Mapping[str, np.ndarray], n_experts: int) -> None:
    """Check that the router's buffers are there, and that a balancer's take no reserved name.

    Balancers' buffers may have any shape. They are passed to the router's `choose` as keywords, so
    that they must not have the names of its other keywords.
    """
    for name in router.buffers:
        if name not in buffers:
            raise ValueError(f"buffers: got no {name}, allowed are all of the router's")
    taken = TAKEN.union(router.choice_params, (f"{name}_NE" for name in router.projections))
    for name, array in buffers.items():
        if not isinstance(name, str) or name in taken:
            raise ValueError(
                f"buffers: got {name!r}, allowed is a name other than {', '.join(sorted(taken))}"
            )
        check_plain(name, array)
        check_layout(name, array)
        if name in router.buffers or name.endswith("_E"):
            check_array(name, array, (n_experts,), finite=False)


def _dict(name: str, arrays: object) -> dict[str, np.ndarray]:
    if not isinstance(arrays, dict):
        raise ValueError(f"{name}: got a {type(arrays).__name__}, allowed is a dict of arrays")
    return arrays


def _present(params: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in params:
        given = ", ".join(map(repr, params)) or "none"
        raise ValueError(f"params: got no {name}, allowed is what the layer needs; it has {given}")
    return params[name]
