"""Rows of tokens that cross each link when experts live on many GPUs.

The count is a kernel because deduplication depends on each token's own set of destinations. numpy
has to sort all (token, GPU) pairs for it, while a compiled loop over tokens needs one mark per GPU.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .backend import choose, inner, njit


class Copies(NamedTuple):
    """Rows on each link between G GPUs; the first index is the sender.

    `nvlink_GG`, `network_GG`: rows sent inside nodes and between nodes, zero on the diagonal;
    `local_G`: rows that a GPU keeps for its own experts; `load_G`: rows that its experts compute;
    `n_copies`: destinations summed over tokens, with a token's home GPU or node counted too.
    """

    nvlink_GG: np.ndarray
    network_GG: np.ndarray
    local_G: np.ndarray
    load_G: np.ndarray
    n_copies: int


def count_copies_oracle(
    start_N1: np.ndarray,
    expert_S: np.ndarray,
    home_N: np.ndarray,
    slot_start_E1: np.ndarray,
    device_P: np.ndarray,
    n_nodes: int,
    gpus_per_node: int,
    mode: str,
    replica: str,
) -> Copies:
    """Count the rows that each link carries.

    Parameters
    ----------
    start_N1, expert_S
        Token n is sent to the experts expert_S[start[n]..start[n + 1]].
    home_N
        GPU where each token lives.
    slot_start_E1, device_P
        Expert e has copies on the GPUs device_P[slot_start[e]..slot_start[e + 1]].
    mode
        'expert': one copy for each chosen expert, straight to its GPU. 'gpu': one copy for each
        distinct GPU. 'node': one copy for each distinct node, over the network to the GPU there
        with the sender's index, which passes it on to each distinct GPU over NVLink, as in
        DeepSeek-V3 (arXiv 2412.19437, section 3.2.2).
    replica
        Which copy of an expert a token takes: 'spread' takes turns by token; 'near' prefers the
        token's GPU, then its node, and takes turns among equals.
    """
    n_gpus = n_nodes * gpus_per_node
    token_S = np.repeat(np.arange(home_N.size), np.diff(start_N1))
    gpu_S = _replicas(token_S, expert_S, home_N, slot_start_E1, device_P, gpus_per_node, replica)
    load_G = np.bincount(gpu_S, minlength=n_gpus)
    token_C, gpu_C = token_S, gpu_S
    if mode != "expert":
        token_C, gpu_C = np.divmod(np.unique(token_S * n_gpus + gpu_S), n_gpus)
    home_C = home_N[token_C].astype(np.int64)
    node_C = gpu_C // gpus_per_node
    nvlink_GG = np.zeros((n_gpus, n_gpus), np.int64)
    network_GG = np.zeros((n_gpus, n_gpus), np.int64)
    from_C, n_copies = home_C, token_C.size
    if mode == "node":  # in the home node, the GPU with the sender's index is the sender itself
        from_C = node_C * gpus_per_node + home_C % gpus_per_node
        token_M, node_M = np.divmod(np.unique(token_C * n_nodes + node_C), n_nodes)
        home_M, n_copies = home_N[token_M].astype(np.int64), token_M.size
        relay_M = node_M * gpus_per_node + home_M % gpus_per_node
        away_M = relay_M != home_M
        np.add.at(network_GG, (home_M[away_M], relay_M[away_M]), 1)
    inside_C = (from_C // gpus_per_node == node_C) & (from_C != gpu_C)
    outside_C = from_C // gpus_per_node != node_C
    np.add.at(nvlink_GG, (from_C[inside_C], gpu_C[inside_C]), 1)
    np.add.at(network_GG, (from_C[outside_C], gpu_C[outside_C]), 1)
    local_G = np.bincount(gpu_C[gpu_C == home_C], minlength=n_gpus)
    return Copies(nvlink_GG, network_GG, local_G, load_G, int(n_copies))


def _replicas(
    token_S: np.ndarray,
    expert_S: np.ndarray,
    home_N: np.ndarray,
    slot_start_E1: np.ndarray,
    device_P: np.ndarray,
    gpus_per_node: int,
    replica: str,
) -> np.ndarray:
    """GPU of the replica that computes each assignment, (S,) int64."""
    count_E = np.diff(slot_start_E1)
    if expert_S.size == 0:
        return np.zeros(0, np.int64)
    r_R = np.arange(count_E.max())
    exists_SR = r_R < count_E[expert_S][:, None]
    slot_SR = np.minimum(slot_start_E1[expert_S][:, None] + r_R, device_P.size - 1)
    gpu_SR = device_P[slot_SR].astype(np.int64)
    home_S1 = home_N[token_S].astype(np.int64)[:, None]
    # Distance of a replica: 0 on the token's GPU, 1 in its node, 2 elsewhere, 3 no replica.
    far_SR = np.where(gpu_SR == home_S1, 0, 2)
    far_SR[(far_SR == 2) & (gpu_SR // gpus_per_node == home_S1 // gpus_per_node)] = 1
    if replica == "spread":
        far_SR[:] = 0
    far_SR[~exists_SR] = 3
    best_SR = far_SR == far_SR.min(axis=1, keepdims=True)
    turn_S1 = token_S[:, None] % best_SR.sum(axis=1, keepdims=True)
    taken_SR = best_SR & (np.cumsum(best_SR, axis=1) - 1 == turn_S1)
    return np.asarray(gpu_SR[taken_SR])


@inner
def _replica(n, home, first, last, device_P, gpus_per_node, near):
    """GPU of the replica that computes token n, among the slots first..last of its expert."""
    count = last - first
    if count == 1:
        return device_P[first]
    if not near:
        return device_P[first + n % count]
    in_node = 0
    for p in range(first, last):
        if device_P[p] == home:
            return device_P[p]
        in_node += device_P[p] // gpus_per_node == home // gpus_per_node
    if in_node == 0:
        return device_P[first + n % count]
    turn = n % in_node
    for p in range(first, last):
        if device_P[p] // gpus_per_node == home // gpus_per_node:
            if turn == 0:
                return device_P[p]
            turn -= 1
    return device_P[first]


@njit
def _count_copies(
    start_N1, expert_S, home_N, slot_start_E1, device_P, n_nodes, gpus_per_node, by_gpu, by_node,
    near, nvlink_GG, network_GG, local_G, load_G,
):  # fmt: skip
    # The last token that was sent to each GPU and node: a mark that need not be cleared for the
    # next token.
    seen_G = np.full(n_nodes * gpus_per_node, -1, np.int64)
    seen_M = np.full(n_nodes, -1, np.int64)
    node_G = np.arange(n_nodes * gpus_per_node) // gpus_per_node
    n_copies = np.int64(0)
    for n in range(home_N.size):
        home = np.int64(home_N[n])
        home_node, index = node_G[home], home % gpus_per_node
        for s in range(start_N1[n], start_N1[n + 1]):
            e = expert_S[s]
            gpu = np.int64(
                _replica(
                    n, home, slot_start_E1[e], slot_start_E1[e + 1], device_P, gpus_per_node, near
                )
            )
            load_G[gpu] += 1
            # What is not sent adds 0: which way an assignment goes cannot be predicted, and a
            # wrong guess takes longer than an addition.
            copy = np.int64((not by_gpu) | (seen_G[gpu] != n))
            seen_G[gpu] = n
            node, sender = node_G[gpu], home
            if by_node:
                sender = node * gpus_per_node + index
                first = np.int64(seen_M[node] != n)
                seen_M[node] = n
                n_copies += first
                network_GG[home, sender] += first * np.int64(node != home_node)
            else:
                n_copies += copy
                network_GG[home, gpu] += copy * np.int64(node != home_node)
            local_G[home] += copy * np.int64(gpu == home)
            inside = (node_G[sender] == node) & (sender != gpu) & (gpu != home)
            nvlink_GG[sender, gpu] += copy * np.int64(inside)
    return n_copies


def _count_copies_fast(
    start_N1: np.ndarray,
    expert_S: np.ndarray,
    home_N: np.ndarray,
    slot_start_E1: np.ndarray,
    device_P: np.ndarray,
    n_nodes: int,
    gpus_per_node: int,
    mode: str,
    replica: str,
) -> Copies:
    n_gpus = n_nodes * gpus_per_node
    links = np.zeros((2, n_gpus, n_gpus), np.int64)
    counts = np.zeros((2, n_gpus), np.int64)
    n_copies = _count_copies(
        start_N1, expert_S, home_N, slot_start_E1, device_P, n_nodes, gpus_per_node,
        mode != "expert", mode == "node", replica == "near",
        links[0], links[1], counts[0], counts[1],
    )  # fmt: skip
    return Copies(links[0], links[1], counts[0], counts[1], int(n_copies))


count_copies = choose(count_copies_oracle, _count_copies_fast)
