"""Eight-bit and four-bit weights as float32, exactly as their formats define the values."""

from __future__ import annotations

import numpy as np

MX_BLOCK = 32  # values that share a scale
E8M0_BIAS = 127
E8M0_NAN = 255


def _e4m3_values() -> np.ndarray:
    """All 256 values of F8_E4M3, which has no infinities; all bits but the sign set are NaN."""
    bits = np.arange(256)
    exponent, fraction = bits >> 3 & 15, bits & 7
    normal = np.ldexp(1 + fraction / 8, exponent - 7)
    value = np.where(exponent == 0, np.ldexp(fraction / 8, -6), normal)
    value[(bits & 127) == 127] = np.nan
    return np.where(bits & 128, -value, value).astype(np.float32)


E4M3 = _e4m3_values()
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
E2M1 = np.concatenate([E2M1, -E2M1])


def from_fp8_blocks(
    bits: np.ndarray, scale: np.ndarray, block: tuple[int, int] = (128, 128)
) -> np.ndarray:
    """DeepSeek-V3's FP8 weights: each block of a matrix is multiplied by one scale.

    Parameters
    ----------
    bits
        F8_E4M3 as uint8, (out, in).
    scale
        `weight_scale_inv`, (ceil(out / block), ceil(in / block)). Despite its name it is a factor.
    block
        Rows and columns of a block.

    Returns
    -------
    numpy.ndarray
        float32, (out, in).

    References
    ----------
    DeepSeek-V3, README_WEIGHTS.md and inference/kernel.py (weight_dequant).
    """
    values = E4M3[bits]
    rows, columns = bits.shape
    factor = np.asarray(scale, np.float32).repeat(block[0], 0)[:rows]
    values *= factor.repeat(block[1], 1)[:, :columns]
    return values


def from_mxfp4(blocks: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """gpt-oss's MXFP4 weights: 32 four-bit values share a power of two.

    Parameters
    ----------
    blocks
        uint8, (..., B, 16): two values in each byte, the low four bits first.
    scales
        uint8, (..., B): exponents with a bias of 127; 255 is NaN.

    Returns
    -------
    numpy.ndarray
        float32, (..., 32 B).

    References
    ----------
    OCP Microscaling Formats (MX) specification 1.0, sections 5.3.3 and 5.4.1.
    """
    values = np.empty((*blocks.shape, 2), np.float32)
    values[..., 0] = E2M1[blocks & 15]
    values[..., 1] = E2M1[blocks >> 4]
    exponent = scales.astype(np.int32) - E8M0_BIAS
    with np.errstate(over="ignore"):  # 6 times 2^127 is infinite, and NaN follows
        np.ldexp(values, exponent[..., None, None], out=values)
    values[scales == E8M0_NAN] = np.nan
    return values.reshape(*scales.shape[:-1], MX_BLOCK * scales.shape[-1])
