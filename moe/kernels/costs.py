"""What operations cost on one core: whether a call is worth a second thread.

`python -m benchmarks.constants` measures them and prints its figures beside these. They only decide
whether other threads help, and no bit depends on them. Behind each figure stands the least that one
core of an AMD EPYC with AVX-512 took. Most figures lie above it, so that those operations are
shared out from less work on than MIN_PARALLEL_NS says.
"""

from __future__ import annotations

MIN_PARALLEL_NS = 20_000  # work below which a second thread costs more than it does
PRODUCT_NS = 0.01  # of one multiply-add in a matrix product

# Nanoseconds for each number that an operation reads.
NUMBER_NS = {
    "adam_step": 0.3,  # 0.96 beyond the second cache
    "attention_step": 0.3,
    "classify": 2.0,
    "combine": 0.2,  # 0.13
    "cross_entropy": 8.0,  # 1.3
    "embed": 1.0,  # 0.08
    "embed_backward": 1.0,  # 0.09
    "mask_groups": 2.0,  # 7.6 for 8 groups of 8
    "read_all": 0.1,  # 0.06
    "rms_norm": 0.5,
    "rms_norm_backward": 1.0,
    "sigmoid": 2.0,  # 0.7
    "softmax": 3.0,  # 0.8
    "softmax_backward": 1.0,  # 0.26
    "softmax_topk": 4.0,  # 1.6 for 2 of 64
    "softmax_topk_backward": 0.5,  # 0.12
    "split_heads": 1.0,
    "split_heads_backward": 1.5,
    "sum_squares": 0.2,
    "topk": 1.0,  # 0.6 for 2 of 64
}
CHOICE_NS = 1 / 8  # more for each number and each expert of `topk` and `softmax_topk`
