"""Which named vector a port with each of the known gate bugs fails at."""

from __future__ import annotations

from .document import LOSS_OF_ALL_P, LOSS_OF_EVEN, LOSS_OF_TWO
from .tokens import BIAS_STEERS, FAR_ABOVE, GROUPS_BY_TWO, RENORMALIZED, ZERO_WOULD_WIN

CAUGHT_BY = {
    "bias_in_weights": BIAS_STEERS,
    "no_renormalize": RENORMALIZED,
    "mask_zero": ZERO_WOULD_WIN,
    "group_score": GROUPS_BY_TWO,
    "double_softmax": FAR_ABOVE,
    "p_over_topk": LOSS_OF_ALL_P,
    "f_sums_to_k": LOSS_OF_EVEN,
    "concatenated_layers": LOSS_OF_TWO,
}
