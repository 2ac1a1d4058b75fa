"""Which limit of a GPU binds when DeepSeek-V3 trains: arithmetic, memory, NVLink, network."""

from __future__ import annotations

from dataclasses import dataclass

from ...cluster.sampling import expected_copies
from ...cluster.traffic import bf16_row_bytes, fp8_row_bytes
from ...cost import GPUS, MODELS, Gpu, ModelConfig, activation_bytes_per_token
from ...errors import check_choice
from .story import MARKS

ONE_A_NODE_4 = "one copy a node, 4 nodes at most (as DeepSeek did)"
ONE_A_NODE = "one copy a node, any node"
ONE_AN_EXPERT = "one copy for every expert"
TRAVEL = (ONE_A_NODE_4, ONE_A_NODE, ONE_AN_EXPERT)
NODES, GPUS_PER_NODE = 8, 8  # DeepSeek-V3's expert parallelism
PARTS = ("Arithmetic", "Memory", "NVLink, in a node", "Network, out of it")
COMPUTE, MEMORY, NVLINK, NETWORK = PARTS
CHOICES = {gpu.name: gpu for gpu in GPUS.values() if gpu.nvlink_gb_s and gpu.network_gb_s}
USUAL = (GPUS["h800-sxm"].name, GPUS["h100-sxm"].name)


@dataclass(frozen=True)
class Limit:
    """Least time that one part of a GPU needs for a token of training.

    Attributes
    ----------
    amount, unit, speed
        Work of one token, in billion operations or megabytes, and what the part does a second.
    microseconds
        Amount over speed: the part at full speed, doing nothing else.
    """

    name: str
    amount: float
    unit: str
    speed: float
    microseconds: float


def copies(config: ModelConfig, travel: str = ONE_A_NODE_4) -> tuple[float, float]:
    """Copies of a token that leave the node, and that cross NVLink, in one direction of a layer.

    Experts are taken as chosen at random; a share 1 / nodes of the copies stays in the node, and
    1 / GPUs a node stay on the GPU.

    Raises
    ------
    ValueError
        If `travel` is not one of `TRAVEL`.
    """
    check_choice("travel", travel, TRAVEL)
    experts, k = config.experts, config.top_k
    nodes = NODES // 2 if travel == ONE_A_NODE_4 else NODES
    if travel == ONE_AN_EXPERT:  # straight to the GPU; only those of the same node take NVLink
        sent, forwarded = float(k), k / NODES
    else:
        sent = expected_copies(experts, k, NODES, nodes)
        forwarded = expected_copies(experts, k, NODES * GPUS_PER_NODE, nodes * GPUS_PER_NODE)
    return sent * (1 - 1 / NODES), forwarded * (1 - 1 / GPUS_PER_NODE)


def limits(gpu: Gpu, precision: str = "bf16", travel: str = ONE_A_NODE_4) -> list[Limit]:
    """Time of each part of a GPU for one token of DeepSeek-V3's training."""
    config = MODELS["deepseek-v3"]
    flops = config.flops_per_token(4096, causal=True, training=True)
    network, nvlink = copies(config, travel)
    # There in FP8 and back in BF16; forward, and the same again backward.
    a_layer = 2 * (fp8_row_bytes(config.d_model) + bf16_row_bytes(config.d_model))
    work = [
        (COMPUTE, flops, "billion operations", gpu.peak_flops(precision)),
        # Every value that the backward pass needs is written once and read once, at least.
        (MEMORY, 2 * activation_bytes_per_token(config), "MB", gpu.memory_bytes_per_s),
        (NVLINK, config.moe_layers * nvlink * a_layer, "MB", 1e9 * gpu.nvlink_gb_s),
        (NETWORK, config.moe_layers * network * a_layer, "MB", 1e9 * gpu.network_gb_s),
    ]
    return [
        Limit(name, amount / (1e9 if name == COMPUTE else 1e6), unit, speed, 1e6 * amount / speed)
        for name, amount, unit, speed in work
    ]


def binding(parts: list[Limit]) -> Limit:
    """Return the part that takes longest."""
    return max(parts, key=lambda limit: limit.microseconds)


def words(a: Gpu, b: Gpu, precision: str, travel: str) -> str:
    """Which part binds on two GPUs, and what the difference between them costs."""
    of_a, of_b = limits(a, precision, travel), limits(b, precision, travel)
    first, second = binding(of_a), binding(of_b)
    slower = [
        f"“{x.name}” takes {x.microseconds / y.microseconds:.3g} times as long"
        for x, y in zip(of_a, of_b, strict=True)
        if x.microseconds > 1.005 * y.microseconds
    ]
    if first.name == second.name:
        text = f"On both, “{first.name}” takes longest and sets the pace"
    else:
        text = (
            f"On {a.name} “{first.name}” takes longest and sets the pace, on {b.name} "
            f"“{second.name}”"
        )
    factor = first.microseconds / second.microseconds
    if abs(factor - 1) < 0.005:
        text += ": if everything runs at the same time, both are equally fast."
    else:
        text += (
            f": if everything runs at the same time, a token takes {factor:.2g} times as long "
            f"on {a.name}."
        )
    if slower:
        text += f" Of {a.name}'s parts, {' and '.join(slower)} as on {b.name}."
        if abs(factor - 1) < 0.005:
            text += " It has time to spare there, as it waits for the slowest part."
    return text


def side_by_side(a: Gpu, b: Gpu) -> list[dict[str, str]]:
    """Both data sheets, and the first as a share of the second."""
    names = {
        "bf16_tflops": "16-bit arithmetic, trillion operations/s",
        "fp8_tflops": "8-bit arithmetic, trillion operations/s",
        "memory_gb": "Memory (HBM), GB",
        "memory_gb_s": "Reading memory, GB/s",
        "nvlink_gb_s": "NVLink to chips of the same node, GB/s one way",
        "network_gb_s": "Network to other nodes, GB/s one way",
        "power_w": "Power, W",
    }
    return [
        {
            "Limit": text,
            a.name: _cell(a, name),
            b.name: _cell(b, name),
            "First / second": _share(getattr(a, name), getattr(b, name)),
        }
        for name, text in names.items()
    ]


def _cell(gpu: Gpu, name: str) -> str:
    value = getattr(gpu, name)
    mark = MARKS.get(gpu.checks.get(name, ""), "")
    return f"{value:,g}{mark}" if value else "none"


def _share(a: float, b: float) -> str:
    return f"{a / b:.0%}" if a and b else "–"


def about() -> str:
    """The assumptions behind the times, in words."""
    config = MODELS["deepseek-v3"]
    return (
        f"{config.name} in training: each token goes to {config.top_k} of {config.experts} experts "
        f"on {NODES} nodes of {GPUS_PER_NODE} chips, experts taken as chosen at random; 1 byte a "
        "value on the way there, 2 back, and the same again backward. Every value kept for the "
        "backward pass crosses memory twice, at least. Full speed: real software reaches less "
        "(DeepSeek measured 160 of 200 GB/s on NVLink). DeepSeek did without splitting single "
        "matrices over chips, which would send far more over NVLink: there the H800 is weaker. "
        "† quoted by others, ‡ not verified."
    )
