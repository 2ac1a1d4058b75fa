"""A sequence has the same bits in any batch, and whether it is read at once or token by token."""

from __future__ import annotations

import numpy as np
import pytest

from moe.lm.sampling import new_caches
from tests.lm.test_model import KINDS, batch, model_of


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_token_has_the_same_bits_when_sampled_and_when_read_again(kind: str, dtype: str) -> None:
    model, (tokens_BT, _) = model_of(kind, dtype), batch(5, 9)
    whole_BTV = model.logits(tokens_BT)
    ctx = model.forward(tokens_BT)
    caches = new_caches(model, 5, 9)
    first = model.forward(tokens_BT[:, :4], caches=caches)
    assert np.array_equal(model.output(first.h_ND).reshape(5, 4, -1), whole_BTV[:, :4])
    for position in range(4, 9):
        logits_BV, routings = model.step(tokens_BT[:, position], caches, position)
        assert np.array_equal(logits_BV, whole_BTV[:, position]), position
        for one, all_ in zip(routings, ctx.routings):
            k = len(one.expert_A) // 5
            rows = np.arange(5) * 9 + position
            assert np.array_equal(one.expert_A.reshape(5, k), all_.expert_A.reshape(45, k)[rows])
            assert np.array_equal(one.weight_A.reshape(5, k), all_.weight_A.reshape(45, k)[rows])


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_has_the_same_bits_in_any_batch(kind: str) -> None:
    model, (tokens_BT, _) = model_of(kind, "float32"), batch(6, 10)
    whole = model.logits(tokens_BT)
    assert np.array_equal(model.logits(tokens_BT[2:4]), whole[2:4])
    assert np.array_equal(model.logits(tokens_BT[5:, :3]), whole[5:, :3])
