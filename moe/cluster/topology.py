"""`Cluster`: how many nodes of how many GPUs, and how fast their links are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..balance.device_map import contiguous_devices
from ..errors import check_int
from ..settings import Settings, option

MAX_GPUS = 4096  # a matrix of links beyond that takes gigabytes


@dataclass(frozen=True)
class Cluster(Settings):
    """GPUs in nodes: NVLink inside a node, one network card per GPU between nodes.

    GPU g is number g % gpus_per_node of node g // gpus_per_node.

    Parameters
    ----------
    n_nodes, gpus_per_node
        M nodes, and the GPUs of each; G GPUs in all.
    nvlink_gb_s, network_gb_s
        Line rate of one GPU's links in one direction, 1e9 bytes/s. Defaults: H800 with a
        400 Gb/s card (NVLink 400 GB/s in print counts both directions; ISCA'25, arXiv
        2505.09343, section 4.1).
    nvlink_latency_us, network_latency_us
        Microseconds that an empty message takes beyond those of an H800 cluster, whose latency is
        part of the calibrated time of a call (`moe.cluster.timing`).

    Examples
    --------
    >>> Cluster(n_nodes=8).n_gpus
    64
    """

    n_nodes: int = option(8, low=1, high=MAX_GPUS)
    gpus_per_node: int = 8
    nvlink_gb_s: float = option(200.0, low=0, open_low=True)
    network_gb_s: float = option(50.0, low=0, open_low=True)
    nvlink_latency_us: float = option(0.0, low=0)
    network_latency_us: float = option(0.0, low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        most = MAX_GPUS // self.n_nodes
        check_int("gpus_per_node", self.gpus_per_node, 1, most, f"{MAX_GPUS} GPUs in all")

    @property
    def n_gpus(self) -> int:
        """G, the number of GPUs."""
        return self.n_nodes * self.gpus_per_node

    def contiguous(self, n_slots: int) -> np.ndarray:
        """GPU of each of n_slots experts in equal blocks, (n_slots,) int64.

        Raises
        ------
        ValueError
            If the GPUs do not divide n_slots.
        """
        check_int("n_slots", n_slots, 1)
        if n_slots % self.n_gpus:
            raise ValueError(
                f"n_slots: got {n_slots}, allowed is a multiple of the {self.n_gpus} GPUs"
            )
        return contiguous_devices(n_slots, self.n_gpus)
