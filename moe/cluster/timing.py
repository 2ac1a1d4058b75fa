"""How long an all-to-all takes: a call's fixed time, and bytes over the slowest GPU's links.

    time = call + max over GPUs of max(NVLink bytes / NVLink rate, network bytes / network rate)

A GPU's bytes are those it sends or those it gets, whichever are more; both links work at once,
as rows that arrive from the network are passed on while others arrive. Rates are shares of the
line rates, calibrated on published measurements (`moe.cluster.calibration`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import check_choice, check_float
from .traffic import Traffic

PHASES = ("dispatch", "combine")


@dataclass(frozen=True)
class AllToAll:
    """What a family of communication kernels reaches.

    Parameters
    ----------
    call_us
        Microseconds of a call that moves nothing: start, synchronisation, latency.
    nvlink_share, network_share
        Reached share of the line rates.
    """

    call_us: float
    nvlink_share: float
    network_share: float

    def __post_init__(self) -> None:
        check_float("call_us", self.call_us, 0.0)
        check_float("nvlink_share", self.nvlink_share, 0.0, open_low=True)
        check_float("network_share", self.network_share, 0.0, open_low=True)


# DeepEP V1 on H800, from half of the rows of its two tables; a test fits them again.
NORMAL = AllToAll(call_us=32.1, nvlink_share=0.699, network_share=0.880)
LOW_LATENCY = AllToAll(call_us=32.1, nvlink_share=0.827, network_share=0.977)
LINE_RATE = AllToAll(call_us=0.0, nvlink_share=1.0, network_share=1.0)
KERNELS = {"normal": NORMAL, "low latency": LOW_LATENCY, "line rate": LINE_RATE}


@dataclass(frozen=True)
class PhaseTime:
    """One dispatch or combine.

    Attributes
    ----------
    phase
        'dispatch' or 'combine'.
    us_G
        Microseconds until each GPU has sent and got its rows.
    nvlink_us, network_us
        What either link alone takes on the GPU with most bytes on it.
    call_us
        The fixed part.
    """

    phase: str
    us_G: np.ndarray
    nvlink_us: float
    network_us: float
    call_us: float

    @property
    def us(self) -> float:
        """All wait for the slowest: microseconds of the phase."""
        return float(self.us_G.max())

    @property
    def slowest(self) -> float:
        """Time of the slowest GPU relative to the mean one: what imbalance costs, 1 at best."""
        return float(self.us_G.max() / self.us_G.mean()) if self.us_G.any() else 1.0

    @property
    def bound_by(self) -> str:
        """What decides: 'NVLink', 'network' or 'call'."""
        times = {"NVLink": self.nvlink_us, "network": self.network_us, "call": self.call_us}
        return max(times, key=lambda name: times[name])


def link_bytes(sent: Traffic, phase: str) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of each GPU over NVLink and over the network in a phase, (G,) each.

    The larger of what it sends and what it gets: links carry both directions at once.
    """
    check_choice("phase", phase, PHASES)
    row = sent.dispatch_row_bytes if phase == "dispatch" else sent.combine_row_bytes
    nvlink_G, network_G = (
        np.maximum(rows_GG.sum(axis=1), rows_GG.sum(axis=0)) * row
        for rows_GG in (sent.nvlink_GG, sent.network_GG)
    )
    return nvlink_G, network_G


def phase_time(sent: Traffic, phase: str, kernels: AllToAll = NORMAL) -> PhaseTime:
    """Time of a dispatch or a combine.

    Parameters
    ----------
    sent
        What the links carry.
    phase
        'dispatch' or 'combine'.
    kernels
        The communication kernels' calibrated figures.
    """
    cluster = sent.cluster
    nvlink_G, network_G = link_bytes(sent, phase)
    nvlink_us_G = nvlink_G / (cluster.nvlink_gb_s * kernels.nvlink_share * 1e3)
    network_us_G = network_G / (cluster.network_gb_s * kernels.network_share * 1e3)
    call_us = kernels.call_us
    call_us += cluster.nvlink_latency_us if nvlink_G.any() else 0.0
    call_us += cluster.network_latency_us if network_G.any() else 0.0
    return PhaseTime(
        phase=phase,
        us_G=call_us + np.maximum(nvlink_us_G, network_us_G),
        nvlink_us=float(nvlink_us_G.max()),
        network_us=float(network_us_G.max()),
        call_us=call_us,
    )
