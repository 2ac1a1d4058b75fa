"""Packets: a few tokens on their ways to their experts, drawn in the browser as they travel.

The ways are those that `moe.cluster.traffic` counts; Python works them out for each limit on nodes,
and the browser moves the dots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from ..shared.component import component
from .chart import LINKS
from .story import BATCH, COPIES, N_EXPERTS, PER_NODE, Limit, MovingSettings, experts_within

N_TOKENS = 24
_MARKUP = """
<div class="packets moe-part" data-moe="packets" data-state="loading" data-frames="0">
  <canvas role="img"></canvas>
  <div class="below">
    <button type="button" class="play">Pause</button>
    <p class="met"><span>Wishes met</span>
      <meter min="0" max="1" aria-label="Wishes met"></meter> <b class="share"></b></p>
    <p class="time"><span>Time for all</span> <b class="ms"></b></p>
    <p class="keys"><i class="network"></i> between servers <i class="nvlink"></i> inside one</p>
  </div>
</div>
"""
_packets = component("packets", __file__, _MARKUP, "packets.js", "packets.css")


class Hop(NamedTuple):
    """A token's row from one GPU to another; `after` is the hop that brings it there, or -1."""

    sender: int
    receiver: int
    network: bool
    after: int


def ways_of_tokens(settings: MovingSettings) -> list[list[Hop]]:
    """Return the hops of the first `N_TOKENS` tokens, whose experts live in order.

    They are spread evenly over the GPUs. See `moe.cluster.traffic` for who sends what.
    """
    gpus = settings.nodes * PER_NODE
    seed = settings.seed, *BATCH
    within_MNK = experts_within(settings.nodes, settings.skew, N_TOKENS, seed)
    gpu_NK = within_MNK[settings.reach - 1] // (N_EXPERTS // gpus)
    mode = COPIES[settings.copies]
    return [
        _hops(n * gpus // N_TOKENS, sorted(gpu_K), mode) for n, gpu_K in enumerate(gpu_NK.tolist())
    ]


def _hops(home: int, gpus: Sequence[int], mode: str) -> list[Hop]:
    """Hops from a token's home to the GPUs of its experts."""
    if mode != "node":
        wanted = gpus if mode == "expert" else sorted(set(gpus))
        return [
            Hop(home, gpu, gpu // PER_NODE != home // PER_NODE, -1) for gpu in wanted if gpu != home
        ]
    hops: list[Hop] = []
    for node in sorted({gpu // PER_NODE for gpu in gpus}):
        relay, after = node * PER_NODE + home % PER_NODE, -1
        if relay != home:
            after = len(hops)
            hops.append(Hop(home, relay, True, -1))
        inside = sorted({gpu for gpu in gpus if gpu // PER_NODE == node and gpu != relay})
        hops += [Hop(relay, gpu, False, after) for gpu in inside]
    return hops


def payload(settings: MovingSettings, limits: Sequence[Limit], ink: str) -> dict[str, Any]:
    """What the browser draws: the racks, and for each limit the hops, the time and the wishes."""
    cluster = settings.simulated().cluster()
    ways = {one.reach: ways_of_tokens(replace(settings, limit=one.reach)) for one in limits}
    return {
        "id": repr((asdict(settings), ink)),
        "nodes": settings.nodes,
        "per_node": PER_NODE,
        # A hop's time is that of its link: this many times longer between nodes.
        "slower": cluster.nvlink_gb_s / cluster.network_gb_s,
        "network": LINKS["network"],
        "nvlink": LINKS["NVLink"],
        "rest": settings.reach,
        "limits": {
            str(limit.reach): {
                "hops": ways[limit.reach],
                "wishes": limit.wishes,
                "share": f"{limit.wishes:.0%}",
                "ms": f"{limit.moved.ms:.2f} ms",
                "alt": _alt(limit, ways[limit.reach]),
            }
            for limit in limits
        },
    }


def _alt(limit: Limit, ways: Sequence[Sequence[Hop]]) -> str:
    network = sum(hop.network for hops in ways for hop in hops)
    inside = sum(not hop.network for hops in ways for hop in hops)
    return (
        f"{len(ways)} tokens travel to their experts: {network} times between servers and "
        f"{inside} times inside one. {limit.words()}"
    )


def packets(settings: MovingSettings, limits: Sequence[Limit], ink: str) -> None:
    """Show the tokens as they travel; the limit's slider moves them while it is dragged.

    For tests the root `[data-moe="packets"]` carries `data-state` (playing, paused), `data-frames`
    and `data-limit`.
    """
    _packets(key="packets", data=payload(settings, limits, ink))
