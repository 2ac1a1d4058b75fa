"""Checks of what a router returned: the indices and pairs of a routing, and gradients.

Kernels index without bounds checks, so that a wrong index of a user's router would read or write
foreign memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from . import kernels
from .errors import FLOAT_TYPES, GateWarning, check_array
from .routers import Router
from .routing import Routing

INDEX, FLAG = np.dtype(np.int32), np.dtype(bool)
C_ORDER = 1  # in numpy's `flags.num`


def check_routing(
    routing: Any, n_tokens: int, n_experts: int, dtype: np.dtype[Any], by: str
) -> Routing:
    """Return a routing that kernels may follow.

    It passes over the assignments twice. Indices of other integer types become int32, weights get
    the layer's dtype, strided arrays become contiguous, and everything else is returned as it is.

    Parameters
    ----------
    routing
        The result of the router, or of the capacity.
    n_tokens, n_experts, dtype
        N, E and the layer's dtype.
    by
        Name of the object that returned it, for messages.

    Raises
    ------
    ValueError
        If it is not a routing of N tokens to E experts: an index is out of range, a pair occurs
        twice, or arrays have different lengths or wrong types.
    """
    if not isinstance(routing, Routing):
        raise ValueError(f"{by}: got a {type(routing).__name__}, allowed is a Routing")
    if routing.n_tokens != n_tokens or routing.n_experts != n_experts:
        raise ValueError(
            f"{by}: got a routing of {routing.n_tokens} tokens to {routing.n_experts} experts, "
            f"allowed is {n_tokens} to {n_experts}"
        )
    if not _is_straight(routing, dtype):
        routing = _straightened(routing, n_experts, dtype, by)
    check_pairs(routing, by)
    _check_tables(routing, dtype, by)
    return routing


def check_pairs(routing: Routing, by: str) -> None:
    """Raise ValueError if an index is out of range or a pair occurs twice."""
    fault, place = kernels.pair_fault(
        routing.token_A, routing.expert_A, routing.n_tokens, routing.n_experts
    )
    if fault:
        _refuse(routing, fault, place, by)


def _is_straight(routing: Routing, dtype: np.dtype[Any]) -> bool:
    """Whether no array needs conversion, as is true of this library's routers."""
    token_A, expert_A, rank_A = routing.token_A, routing.expert_A, routing.rank_A
    weight_A, kept_A = routing.weight_A, routing.kept_A
    return (
        type(token_A) is type(expert_A) is type(rank_A) is np.ndarray
        and type(weight_A) is type(kept_A) is np.ndarray
        and routing.asked_A is None
        and token_A.dtype == expert_A.dtype == rank_A.dtype == INDEX
        and weight_A.dtype == dtype
        and kept_A.dtype == FLAG
        and token_A.shape == expert_A.shape == rank_A.shape == weight_A.shape == kept_A.shape
        and len(token_A.shape) == 1
        and bool(
            token_A.flags.num
            & expert_A.flags.num
            & rank_A.flags.num
            & weight_A.flags.num
            & kept_A.flags.num
            & C_ORDER
        )
    )


def _straightened(routing: Routing, n_experts: int, dtype: np.dtype[Any], by: str) -> Routing:
    """The routing with its arrays converted to the right dtypes, if that changes no value."""
    length = np.shape(routing.token_A)
    wanted: list[tuple[str, str, np.dtype[Any]]] = [
        ("token_A", "iu", INDEX), ("expert_A", "iu", INDEX), ("rank_A", "iu", INDEX),
        ("weight_A", "f", dtype), ("kept_A", "b", FLAG),
    ]  # fmt: skip
    if routing.asked_A is not None:
        wanted.append(("asked_A", "iu", INDEX))
    arrays = {}
    for name, kinds, kind in wanted:
        array = getattr(routing, name)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds:
            got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise ValueError(f"{by}: got {name} of {got}, allowed is an array of {kind}")
        if kinds == "f" and array.dtype not in FLOAT_TYPES:
            raise ValueError(f"{by}: got {name} of {array.dtype}, allowed are float32 and float64")
        if array.ndim != 1 or array.shape != length:
            raise ValueError(
                f"{by}: got {name} of shape {array.shape}, allowed is (A,), A as in token_A: "
                f"{length}"
            )
        if (
            kinds == "iu"
            and array.size
            and not -(2**31) <= int(array.min()) <= int(array.max()) < 2**31
        ):
            raise ValueError(f"{by}: got {name} with numbers beyond int32, allowed are indices")
        arrays[name] = np.ascontiguousarray(array, kind)
    asked_A = arrays.get("asked_A")
    if asked_A is not None and asked_A.size and (asked_A.min() < 0 or asked_A.max() >= n_experts):
        raise ValueError(f"{by}: got asked_A out of range, allowed are 0..{n_experts - 1}")
    return replace(routing, **arrays)  # type: ignore[arg-type]


def _refuse(routing: Routing, fault: int, place: int, by: str) -> None:
    from .kernels.checking import EXPERT, TOKEN, TWICE  # imported here, since it loads numba

    token, expert = routing.token_A[place], routing.expert_A[place]
    what = {
        TOKEN: f"token {token}, allowed are 0..{routing.n_tokens - 1}",
        EXPERT: f"expert {expert}, allowed are 0..{routing.n_experts - 1}; a choice that does not "
        "exist is left out of the list, not marked",
        TWICE: f"token {token} with expert {expert} a second time, allowed is each pair once",
    }
    raise ValueError(f"{by}: got assignment {place} of {what[fault]}")


def _check_tables(routing: Routing, dtype: np.dtype[Any], by: str) -> None:
    """Check that logits and scores are (N, E), and Soft MoE's matrices (N, S), S = E slots."""
    size = (routing.n_tokens, routing.n_experts)
    for name, table in (("logits_NE", routing.logits_NE), ("scores_NE", routing.scores_NE)):
        if table is not None and (
            type(table) is not np.ndarray or table.shape != size or table.dtype not in FLOAT_TYPES
        ):
            raise ValueError(
                f"{by}: got {name} of shape {np.shape(table)}, allowed is {size}, floats, or None"
            )
    dispatch_NS, combine_NS = routing.dispatch_NS, routing.combine_NS
    if dispatch_NS is None and combine_NS is None:
        return
    both: tuple[int, ...] = getattr(dispatch_NS, "shape", ())
    for name, matrix in (("dispatch_NS", dispatch_NS), ("combine_NS", combine_NS)):
        shape: tuple[int, ...] = getattr(matrix, "shape", ())
        if (
            type(matrix) is not np.ndarray
            or matrix.dtype != dtype
            or len(shape) != 2
            or shape != both
            or shape[0] != routing.n_tokens
            or not shape[1]
            or shape[1] % routing.n_experts
        ):
            raise ValueError(
                f"{by}: got {name} of shape {shape}, allowed is {dtype} of ({routing.n_tokens}, "
                f"S) for both matrices, S a multiple of {routing.n_experts}"
            )


def check_weighs_results(router: Router) -> None:
    """Raise ValueError if the router's weights multiply what experts get, not what they give."""
    if router.weigh_input:
        raise ValueError(
            "router: got weigh_input=True, allowed is a router that weighs the experts' results"
        )


_WARNED: set[str] = set()


def gate_words(router: Router) -> str:
    """Warning that the gate gets no gradient from the task's loss; '' if it does, or has no gate.

    It is derived from the router's `gate_learns`.
    """
    if router.gate_learns or "gate" not in router.projections:
        return ""
    return (
        f"router {router.name!r}: every weight is a constant, as a single choice's is that is "
        "renormalised, so that the gate gets no gradient from the task; it learns with k >= 2, or "
        "with a weight that is not renormalised, as in 'switch'"
    )


def warn_of_gate(router: Router) -> None:
    """Warn if the gate gets no gradient from the task's loss, once per router and process."""
    words = gate_words(router)
    key = repr(router) if words else ""
    if key not in _WARNED and words:
        _WARNED.add(key)
        warnings.warn(words, GateWarning, stacklevel=3)


def check_projections(outputs: Any, n_tokens: int, width: int, by: str) -> dict[str, np.ndarray]:
    """Return what `project` returned; raise ValueError unless the logits are (N, width) floats."""
    if not isinstance(outputs, dict) or "logits_NE" not in outputs:
        raise ValueError(
            f"{by}: got {type(outputs).__name__} of project, allowed is a dict with logits_NE"
        )
    outputs["logits_NE"] = check_array(
        f"{by}: logits_NE", outputs["logits_NE"], (n_tokens, width), finite=False
    )
    return outputs


def check_added(
    dlogits_NE: Any,
    extra: Any,
    sizes: Mapping[str, tuple[int, ...]],
    routing: Routing,
    dtype: np.dtype[Any],
) -> dict[str, np.ndarray]:
    """Return the gradients that a caller adds, by name, in the layer's dtype.

    Parameters
    ----------
    dlogits_NE, extra
        As in `MoELayer.backward`.
    sizes
        Shapes of the logits, which only `dlogits_NE` may give, and of the other projections.
    routing
        It determines the number of weights; gradients cannot be added to Soft MoE's matrices.

    Raises
    ------
    ValueError
        If a name is unknown or a shape differs: nothing is broadcast.
    """
    added: dict[str, np.ndarray] = {}
    if dlogits_NE is not None:
        added["logits_NE"] = check_array(
            "dlogits_NE", dlogits_NE, sizes["logits_NE"], finite=False
        ).astype(dtype, copy=False)
    if extra is None:
        return added
    if not isinstance(extra, Mapping):
        raise ValueError(f"extra: got a {type(extra).__name__}, allowed are arrays by name")
    sizes = dict(sizes)
    if routing.dispatch_NS is None:
        sizes["weight_A"] = routing.weight_A.shape
    allowed = [name for name in sizes if name != "logits_NE"]
    for name, array in extra.items():
        if name not in allowed:
            words = f"is one of {', '.join(allowed)}" if allowed else "are none with this router"
            raise ValueError(f"extra: got {name!r}, allowed {words}")
        added[name] = check_array(f"extra[{name!r}]", array, sizes[name], finite=False).astype(
            dtype, copy=False
        )
    return added


def check_gradients(
    given: Any, sizes: Mapping[str, tuple[int, ...]], dtype: np.dtype[Any], by: str
) -> dict[str, np.ndarray]:
    """Return a router's gradients, by name, in the layer's dtype; others than `sizes` are left out.

    Raises
    ------
    ValueError
        If a gradient is missing, or differs in shape from the array that it belongs to.
    """
    if not isinstance(given, dict):
        raise ValueError(f"{by}: got {type(given).__name__}, allowed is a dict of gradients")
    checked = {}
    for name, size in sizes.items():
        array = given.get(name)
        if type(array) is not np.ndarray or array.shape != size or array.dtype != dtype:
            if array is None:
                raise ValueError(f"{by}: got no gradient of {name}, allowed is one of each")
            array = check_array(f"{by}: gradient of {name}", array, size, finite=False)
        checked[name] = array.astype(dtype, copy=False)
    return checked
