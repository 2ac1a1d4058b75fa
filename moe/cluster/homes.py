"""Which device each expert lives on: simple placements to measure a load against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..balance.device_map import contiguous_devices
from ..errors import check_int
from .packing import pack_in_order

MAX_DEVICES = 64
STRETCH = 64  # tokens; a placement is learnt on every second stretch, and measured on the others
IN_ORDER, IN_TURN, BALANCED, WRITTEN = (
    "in order, neighbours together",
    "dealt out in turn",
    "balanced, learnt from half of the text",
    "as I say",
)


def in_order(load_E: np.ndarray, n_devices: int) -> np.ndarray:
    """Equal blocks of neighbouring experts, (E,) device of each; what most systems begin with."""
    return contiguous_devices(len(load_E), n_devices)


def in_turn(load_E: np.ndarray, n_devices: int) -> np.ndarray:
    """Experts dealt out like cards, (E,)."""
    return np.arange(len(load_E)) % n_devices


def balanced(load_E: np.ndarray, n_devices: int) -> np.ndarray:
    """Busiest expert first, each to the idlest device that has room for one more, (E,).

    Every device holds as many experts as any other, give or take one.
    """
    room_D = np.bincount(in_turn(load_E, n_devices), minlength=n_devices)
    order_E = np.argsort(-load_E, kind="stable")
    return pack_in_order(load_E.astype(np.float64), order_E, room_D.tolist())[0]


# Placements that follow from the loads. WRITTEN is none of them: its devices are read from what the
# user writes, by `read_devices`.
PLACEMENTS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    IN_ORDER: in_order,
    IN_TURN: in_turn,
    BALANCED: balanced,
}


def example(n_experts: int) -> str:
    """Two halves, as people write them."""
    return " ".join(map(str, contiguous_devices(n_experts, 2)))


def read_devices(text: str, n_experts: int) -> np.ndarray:
    """Read the device of each expert from whole numbers with spaces or commas between, (E,).

    Raises
    ------
    ValueError
        If there is not one device for each expert, or a number is out of range.
    """
    numbers = text.replace(",", " ").split()
    check_int("number of devices written", len(numbers), n_experts, n_experts, "one per expert")
    for number in numbers:
        if not number.isascii() or not number.isdecimal() or len(number) > 3:
            raise ValueError(
                f"device: got {number[:20]!r}, allowed is a whole number in 0..{MAX_DEVICES - 1}"
            )
        check_int("device", int(number), 0, MAX_DEVICES - 1)
    return np.asarray([int(number) for number in numbers])
