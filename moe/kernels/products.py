"""Dense matrix products in fixed row tiles: the gate, shared experts, embedding and output."""

from __future__ import annotations

import numpy as np

from .backend import choose, njit, run_items, take_item

TILE = 256  # rows an item; fixed, so that the split (and every bit) never depends on the threads


def matmul_oracle(a_NM: np.ndarray, b_MP: np.ndarray) -> np.ndarray:
    """Product a @ b, shapes (N, M) and (M, P) to (N, P)."""
    return np.asarray(a_NM @ b_MP)


@njit
def _matmul(queue, n_items, a_NM, b_MP, out_NP):
    item = take_item(queue)
    while item < n_items:
        low, high = item * TILE, min((item + 1) * TILE, a_NM.shape[0])
        np.dot(a_NM[low:high], b_MP, out_NP[low:high])
        item = take_item(queue)


def _matmul_fast(a_NM: np.ndarray, b_MP: np.ndarray) -> np.ndarray:
    out_NP = np.empty((a_NM.shape[0], b_MP.shape[1]), a_NM.dtype)
    tiles = -(-a_NM.shape[0] // TILE)
    run_items(_matmul, tiles, float(a_NM.size) * b_MP.shape[1], a_NM, b_MP, out_NP)
    return out_NP


matmul = choose(matmul_oracle, _matmul_fast)


def matmul_nt_oracle(a_NM: np.ndarray, b_PM: np.ndarray) -> np.ndarray:
    """Product a @ b.T, shapes (N, M) and (P, M) to (N, P): gradients of inputs."""
    return np.asarray(a_NM @ b_PM.T)


@njit
def _matmul_nt(queue, n_items, a_NM, b_PM, out_NP):
    item = take_item(queue)
    while item < n_items:
        low, high = item * TILE, min((item + 1) * TILE, a_NM.shape[0])
        np.dot(a_NM[low:high], b_PM.T, out_NP[low:high])
        item = take_item(queue)


def _matmul_nt_fast(a_NM: np.ndarray, b_PM: np.ndarray) -> np.ndarray:
    out_NP = np.empty((a_NM.shape[0], b_PM.shape[0]), a_NM.dtype)
    tiles = -(-a_NM.shape[0] // TILE)
    run_items(_matmul_nt, tiles, float(a_NM.size) * b_PM.shape[0], a_NM, b_PM, out_NP)
    return out_NP


matmul_nt = choose(matmul_nt_oracle, _matmul_nt_fast)


def matmul_tn_oracle(a_NM: np.ndarray, b_NP: np.ndarray) -> np.ndarray:
    """Product a.T @ b, shapes (N, M) and (N, P) to (M, P): gradients of weights."""
    return np.asarray(a_NM.T @ b_NP)


@njit
def _matmul_tn(queue, n_items, a_NM, b_NP, out_MP):
    item = take_item(queue)
    while item < n_items:
        low, high = item * TILE, min((item + 1) * TILE, a_NM.shape[1])
        columns_NT = np.ascontiguousarray(a_NM[:, low:high])
        np.dot(columns_NT.T, b_NP, out_MP[low:high])
        item = take_item(queue)


def _matmul_tn_fast(a_NM: np.ndarray, b_NP: np.ndarray) -> np.ndarray:
    out_MP = np.empty((a_NM.shape[1], b_NP.shape[1]), a_NM.dtype)
    tiles = -(-a_NM.shape[1] // TILE)
    run_items(_matmul_tn, tiles, float(a_NM.size) * b_NP.shape[1], a_NM, b_NP, out_MP)
    return out_MP


matmul_tn = choose(matmul_tn_oracle, _matmul_tn_fast)
