"""Any configuration means the same to `load_layer` and to the live reference library."""

from __future__ import annotations

import pytest

from moe.checkpoints.families import LOADABLE

DRAWS = 20


@pytest.mark.soak
@pytest.mark.parametrize("model_type", LOADABLE)
def test_twenty_random_configurations_are_answered_alike(model_type: str) -> None:
    from .parity.draws import answers  # needs the library, which other tests do without

    words, wrong = answers(model_type, DRAWS)
    assert not wrong, "\n".join(wrong)
    assert words.total() == DRAWS and words["equal"], words


@pytest.mark.soak
@pytest.mark.parametrize("model_type", LOADABLE)
def test_each_missing_key_and_each_null_is_answered_alike(model_type: str) -> None:
    from .parity.draws import nulls

    words, wrong = nulls(model_type)
    assert not wrong, "\n".join(wrong)
    assert words["equal"] >= 1 and words["refused"] + words["broken"] >= 1, words
