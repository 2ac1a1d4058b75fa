"""How many tokens' numbers change with who else is in the batch, in each implementation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from moe.speed.machine import Case

from .peer import Peer
from .peers import candidates

SHAPE = (600, 256, 512, 8, 2)
BATCHES = (1, 3, 17, 40, 100, 321)


def invariance_figures(
    shape: tuple[int, int, int, int, int] = SHAPE, batches: tuple[int, ...] = BATCHES
) -> dict[str, float]:
    """Share of a batch's tokens whose bits differ from those among all tokens.

    Named `batch/<y or dx>/<tokens>/<implementation>`.
    """
    case, rng = Case.make(shape), np.random.default_rng(0)
    whole = _outputs(candidates(case)[0])
    figures = {}
    for n in batches:
        some = rng.permutation(len(case.x_ND))[:n]
        part = replace(case, x_ND=case.x_ND[some], dy_ND=case.dy_ND[some])
        for name, outputs in _outputs(candidates(part)[0]).items():
            for what, got_ND in outputs.items():
                if name in whole:
                    changed_N = (got_ND != whole[name][what][some]).any(axis=1)
                    figures[f"batch/{what}/{n}/{name}"] = float(changed_N.mean())
    return figures


def _outputs(peers: Mapping[str, Peer]) -> dict[str, dict[str, np.ndarray]]:
    found = {}
    for name, peer in peers.items():
        y_ND, dx_ND, _ = peer.read(peer.both())
        found[name] = {"y": np.array(y_ND), "dx": np.array(dx_ND)}
    return found
