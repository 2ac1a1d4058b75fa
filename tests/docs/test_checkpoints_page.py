"""The page on checkpoints names every type of the library, and its code compares with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from moe.checkpoints.families import COUNTABLE, LOADABLE
from moe.checkpoints.refused import REFUSED
from tests.docs.test_code import run_page

ROOT = Path(__file__).resolve().parents[2]
HOW_MANY = {"num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"}


def test_what_is_refused_does_not_load_and_is_on_the_page() -> None:
    assert not set(REFUSED) & set(LOADABLE)
    text = (ROOT / "docs" / "checkpoints.md").read_text("utf-8")
    for name in (*COUNTABLE, *REFUSED):
        assert f"| `{name}` |" in text, name


@pytest.mark.parity
def test_every_type_of_the_library_with_experts_is_read_or_refused_with_a_reason() -> None:
    from transformers import CONFIG_MAPPING

    found = set()
    for name in CONFIG_MAPPING:
        kind = CONFIG_MAPPING[name]
        keys = {*getattr(kind, "__dataclass_fields__", {}), *getattr(kind, "attribute_map", {})}
        if keys & HOW_MANY:
            found.add(name)
    assert len(found) > 60
    assert found - set(COUNTABLE) - set(REFUSED) == set()
    assert set(REFUSED) - found - set(COUNTABLE) == set(), "no longer in the library"


@pytest.mark.parity
def test_the_code_compares_a_layer_with_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    run_page("docs/checkpoints.md")
