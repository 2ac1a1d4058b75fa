"""Refuse tensors of a layer that nobody accounts for: the table and this model then disagree."""

from __future__ import annotations

import re
from collections.abc import Collection

from ..errors import CheckpointError
from .files import Checkpoint
from .find import BLOCKS, SCALES
from .layer_spec import LayerSpec
from .strict_json import quoted

SCALE = "_scale_inv"  # of a tensor in FP8
# Parts of a layer are told by their first name. What carries one of these is a feed-forward network
# or a part of one; attention, norms, convolutions and the mixing of residuals (`ffn_hc`) do not.
_FEED_FORWARD = re.compile(
    r"(\w+_)?(mlps?|ffns?|feed_?forward|moe|experts?|router)_?\d*"
    r"|(\w+_)?(expert|moe|mlp|router)_gate|gate|w[123]|fc_?\d|(gate|up|down|gate_up)_proj"
)


def check_accounted(
    checkpoint: Checkpoint, prefix: str, spec: LayerSpec, known: Collection[str]
) -> None:
    """Check that all feed-forward tensors of the layer are known, in the block and beside it.

    Empty tensors are allowed, since the reference library writes shared experts of width 0.

    Parameters
    ----------
    checkpoint
        An open checkpoint.
    prefix
        What stands before the names of the layer's tensors.
    spec
        What the layer consists of.
    known
        Names without the prefix.

    Raises
    ------
    CheckpointError
        If there is another; the message names it.
    """
    block, unread = f"{spec.family.block}.", spec.unread()
    for name in checkpoint.names:
        if not name.startswith(prefix):
            continue
        tail = name.removeprefix(prefix)
        if tail.partition(".")[0] in spec.family.beside:
            continue
        stem = tail.removesuffix(BLOCKS).removesuffix(SCALES).removesuffix(SCALE)
        inside = tail.startswith(block) or _FEED_FORWARD.fullmatch(tail.partition(".")[0])
        if not inside or stem in known or stem in unread:
            continue
        if 0 not in checkpoint.shape(name):
            raise CheckpointError(
                f"tensor {quoted(name)}: got a tensor that config.json does not account for"
            )
