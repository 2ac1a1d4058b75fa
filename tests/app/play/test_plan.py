"""A plan in an address: what was written is read again, and nothing else is."""

from __future__ import annotations

import pytest

from moe.app.play.plan import EXPERTS, Plan, read
from moe.app.play.presets import PRESETS
from moe.training import Change

FULL = Plan(
    16, 7,
    (
        Change(0, "balancing", "gentle"), Change(3, "k", 4), Change(9, "room", 1.25),
        Change(9, "off", [1, 12]), Change(20, "text", "names"), Change(21, "room", None),
        Change(22, "off", []),
    ),
)  # fmt: skip


@pytest.mark.parametrize("plan", [Plan(), FULL, *(preset.plan for preset in PRESETS)])
def test_what_is_written_is_read(plan: Plan) -> None:
    assert read(plan.written()) == (plan, 0)
    assert read(plan.written(310)) == (plan, 310)


def test_an_address_is_short_and_needs_no_escapes() -> None:
    text = FULL.written(40)
    assert text == "16-7_0bgentle_3k4_9r1.25_9x1.12_20tnames_21rnone_22x_40"
    assert all(sign.isalnum() or sign in "-_." for sign in text)


@pytest.mark.parametrize("experts", EXPERTS)
def test_models_of_all_sizes_weigh_about_the_same(experts: int) -> None:
    settings = Plan(experts).recipe.settings
    assert settings.n_experts == experts and settings.n_experts * settings.d_expert <= 512


@pytest.mark.parametrize(
    "text",
    [
        "", "8", "8-", "9-0", "8-0_", "8-0_b", "8-0_0bweak", "8-0_0k3", "8-0_0k", "8-0_0r3",
        "8-0_0rinf", "8-0_0rnan", "8-0_0x8", "8-0_0x1.1", "8-0_0x0.1.2.3.4.5.6", "8-0_0tlatin",
        "8-0_5k1_4k1", "8-0_99999b", "8-0_4000koff", "8-0_-1k1", "8-0_4001", "8-00000000000",
        "８-0", "8-0;", "<b>", "x" * 5000, "8-0" + "_1k1" * 61, "8-0_0x.", "8-0_1z2",
        "8-0_0x1.2.3.4.5_0k4",
    ],
)  # fmt: skip
def test_other_texts_say_what_is_wrong(text: str) -> None:
    with pytest.raises(ValueError, match="got"):
        read(text)
