"""The reference library's MoE block, each way it has to run experts, and a loop in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

from moe import kernels
from moe.speed.machine import Case

from .peer import LIBRARY_PREFIX, Gradients, Peer

LOOP = "PyTorch loop"
LIBRARY = {
    f"{LIBRARY_PREFIX}eager": "eager",
    f"{LIBRARY_PREFIX}batched": "batched_mm",
    f"{LIBRARY_PREFIX}grouped": "grouped_mm",
}
MOST_COPIED = 1 << 30  # bytes; batched_mm copies each token's experts' weights


def torch_peers(case: Case) -> tuple[list[Peer], list[str]]:
    """Peers with the layer's weights, and why one is left out."""
    torch.set_num_threads(kernels.num_threads())
    layer, x_ND = case.layer, case.x_ND
    k = layer.router.options()["k"]
    peers, left_out = [_loop(case, k)], []
    copied = 12 * len(x_ND) * k * layer.d_model * layer.d_expert
    for name, implementation in LIBRARY.items():
        if implementation == "batched_mm" and copied > MOST_COPIED:
            shape = (len(x_ND), layer.d_model, layer.d_expert, layer.n_experts, k)
            left_out.append(
                f"{name} at N, D, F, E, k = {', '.join(map(str, shape))}: it would copy "
                f"{copied / 1e9:.0f} GB of weights."
            )
            continue
        peers.append(_library(case, k, name, implementation))
    return peers, left_out


def _peer(
    case: Case,
    name: str,
    compute: Callable[[Any], Any],
    params: Sequence[Any],
    read_grads: Callable[[list[np.ndarray]], Gradients],
) -> Peer:
    x_ND, dy_ND = torch.from_numpy(case.x_ND), torch.from_numpy(case.dy_ND)
    leaf_ND = x_ND.clone().requires_grad_()

    def forward() -> Any:
        with torch.no_grad():
            return compute(x_ND)

    def both() -> Any:
        y_ND = compute(leaf_ND)
        return y_ND, *torch.autograd.grad(y_ND, [leaf_ND, *params], dy_ND)

    def read(result: Any) -> tuple[np.ndarray, np.ndarray, Gradients]:
        y_ND, dx_ND, *grads = (tensor.detach().numpy() for tensor in result)
        return y_ND, dx_ND, read_grads(grads)

    return Peer(name, forward, both, read)


def _loop(case: Case, k: int) -> Peer:
    names = ("gate_DE", "w_gate_up_ED2F", "w_down_EFD")
    gate_DE, up_ED2F, down_EFD = params = [
        torch.nn.Parameter(torch.from_numpy(case.layer.params[name])) for name in names
    ]

    def compute(x_ND: Any) -> Any:
        chosen_NK, expert_NK = torch.topk(x_ND @ gate_DE, k)
        weight_A = chosen_NK.softmax(-1).flatten()
        expert_A = expert_NK.flatten()
        order_A = torch.argsort(expert_A, stable=True)
        counts = torch.bincount(expert_A, minlength=len(up_ED2F)).tolist()
        y_ND = torch.zeros_like(x_ND)
        # unbind, since indexing expert by expert makes a gradient as large as all experts each.
        experts = zip(order_A.split(counts), up_ED2F.unbind(), down_EFD.unbind(), strict=True)
        for slots, up_D2F, down_FD in experts:
            if not len(slots):
                continue
            token = slots // k
            gate_TF, up_TF = (x_ND.index_select(0, token) @ up_D2F).chunk(2, -1)
            out_TD = (torch.nn.functional.silu(gate_TF) * up_TF) @ down_FD
            y_ND = y_ND.index_add_(0, token, out_TD * weight_A.index_select(0, slots)[:, None])
        return y_ND

    return _peer(case, LOOP, compute, params, lambda grads: dict(zip(names, grads, strict=True)))


def _library(case: Case, k: int, name: str, implementation: str) -> Peer:
    layer = case.layer
    config = MixtralConfig(
        hidden_size=layer.d_model,
        intermediate_size=layer.d_expert,
        num_local_experts=layer.n_experts,
        num_experts_per_tok=k,
    )
    config._experts_implementation = implementation
    with torch.device("meta"):  # no weights of its own
        block = MixtralSparseMoeBlock(config).eval()

    def parameter(array: np.ndarray) -> Any:
        return torch.nn.Parameter(torch.from_numpy(np.ascontiguousarray(array.swapaxes(-1, -2))))

    block.gate.weight = parameter(layer.params["gate_DE"])
    block.experts.gate_up_proj = parameter(layer.params["w_gate_up_ED2F"])
    block.experts.down_proj = parameter(layer.params["w_down_EFD"])
    params = [block.gate.weight, block.experts.gate_up_proj, block.experts.down_proj]

    def compute(x_ND: Any) -> Any:
        return block(x_ND[None])[0]

    def read_grads(grads: list[np.ndarray]) -> Gradients:
        names = ("gate_DE", "w_gate_up_ED2F", "w_down_EFD")
        return {n: grad.swapaxes(-1, -2) for n, grad in zip(names, grads, strict=True)}

    return _peer(case, name, compute, params, read_grads)
