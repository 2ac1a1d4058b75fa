"""What a configuration says of quantisation: which kinds are read, and the names of the others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError
from .families import PARTS
from .strict_json import quoted

KEYS = ("quantization_config", "compression_config")  # the second in older files
READ = ("fp8", "mxfp4")  # the first in blocks with `weight_scale_inv`
UNNAMED = "in a way that is not named"
FP8_BLOCK = (128, 128)  # where a configuration does not say it
_NAME = re.compile(r"[A-Za-z0-9_.+-]{1,40}")


def quantisation(config: Mapping[str, Any]) -> str:
    """Name of the quantisation that config.json says its files have, such as 'gptq', or ''.

    The method, with the algorithm or format where one stands beside it. A larger model may say it
    in the text model's part.
    """
    said = _said(config)
    if not said:
        return ""
    keys = ("quant_method", "quant_algo", "format")
    words = [said[key] for key in keys if said.get(key)] if isinstance(said, Mapping) else []
    short = [word for word in words if isinstance(word, str) and _NAME.fullmatch(word)]
    return " ".join(short) or UNNAMED


def without_quantisation(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the same model with plain tensors."""
    return {
        key: without_quantisation(value) if key in PARTS and isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in KEYS
    }


def explained(config: Mapping[str, Any], error: CheckpointError) -> CheckpointError:
    """The error that names a quantisation that is not read; without one, the error itself."""
    name = quantisation(config)
    if name in ("", UNNAMED, *READ):
        return error
    return CheckpointError(
        f"config.json: quantization_config: got {quoted(name)}, whose tensors are not read, "
        "allowed are plain tensors, FP8 in blocks and MXFP4"
    )


def fp8_block(config: Mapping[str, Any]) -> tuple[int, int]:
    """Shape of the blocks that share a scale, from a configuration or as usual."""
    said = _said(config)
    block = said.get("weight_block_size") if isinstance(said, Mapping) else None
    if block is None:
        return FP8_BLOCK
    if (
        not isinstance(block, list)
        or len(block) != 2
        or not all(type(n) is int and 0 < n < 2**31 for n in block)
    ):
        raise CheckpointError(
            f"config.json: weight_block_size: got {quoted(block)}, allowed are two whole numbers"
        )
    return block[0], block[1]


def _said(config: Mapping[str, Any]) -> object:
    """What stands under the key, here or in the text model's part."""
    for key in KEYS:
        if config.get(key):
            return config[key]
    parts = [config[key] for key in PARTS if isinstance(config.get(key), Mapping)]
    return next((said for part in parts if (said := _said(part))), None)
