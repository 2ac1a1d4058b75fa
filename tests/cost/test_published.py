"""Published figures beside computed ones; values, sources and limits stand in the csv files."""

from __future__ import annotations

import pytest

from moe.cost import MODELS, TrainingCost, check_models, check_numbers, expected_experts
from moe.cost.checks import ACTIVE_LIMIT, FIGURES, TOTAL_LIMIT, Check, _check
from moe.cost.training import DEFAULT_MFU

NUMBERS = {check.what: check for check in check_numbers()}
PARTS = {check.what: check for check in check_models()}


def show(check: Check) -> None:
    print(
        f"\n{check.what}: computed {check.low:,.6g} / {check.computed:,.6g} / {check.high:,.6g}, "
        f"published {check.published:,.6g} {check.unit} ({check.difference:+.2%}), {check.verdict}"
    )


def find(start: str) -> Check:
    (check,) = [check for what, check in NUMBERS.items() if what.startswith(start)]
    show(check)
    return check


@pytest.mark.parametrize("check", NUMBERS.values(), ids=NUMBERS)
def test_a_published_figure_is_reproduced_or_listed_with_a_reason(check):
    show(check)
    assert check.verdict in {"agrees", "listed"}
    assert check.source and check.check != "unverified"
    if check.verdict == "listed":
        assert len(check.note) > 40


@pytest.mark.parametrize("check", PARTS.values(), ids=PARTS)
def test_a_models_parameters_are_the_published_ones_or_listed_with_a_reason(check):
    show(check)
    assert check.verdict != "differs"
    if check.verdict == "listed":
        assert len(check.note) > 20
    if check.verdict == "agrees":
        limit = TOTAL_LIMIT if "total" in check.what else ACTIVE_LIMIT
        assert abs(check.difference) <= limit


def test_25_models_agree_in_total_and_active_with_figures_that_were_read():
    agreeing = [
        model.name
        for model in MODELS.values()
        if all(
            PARTS[f"{model.name}: {part} parameters"].verdict == "agrees"
            for part in ("total", "active")
        )
    ]
    print(f"\n{len(agreeing)} of {len(MODELS)} agree")
    assert len(MODELS) >= 25
    assert len(agreeing) >= 25


def test_every_model_has_a_source_and_a_marked_convention():
    for model in MODELS.values():
        assert model.source and model.published_source and model.published_check
        assert model.convention_basis
        others = {abs(model.active(c) / model.published_active - 1)
                  for c in ("with_input", "head_only", "neither")}  # fmt: skip
        # The convention that is marked as the one that fits is never beaten by more than 2 %.
        assert abs(model.active_params / model.published_active - 1) <= min(others) + 0.02


def test_the_parts_of_the_5_576_million():
    check = find("DeepSeek-V3: (2664K")
    assert check.computed == check.published == 5_576_000
    parts = [2.0 * hours for hours in (2664e3, 119e3, 5e3)]
    assert parts == [5.328e6, 0.238e6, 0.010e6]
    assert MODELS["deepseek-v3"].gpu_hours == 2664e3 + 119e3 + 5e3


def test_operations_per_token_by_hand():
    """6 x active with the head only, plus 3 x 2 x layers x heads x (192 + 128) x context / 2."""
    v3 = MODELS["deepseek-v3"]
    by_hand = 6 * v3.active("head_only") + 3 * 2 * 61 * 128 * (192 + 128) * 4096 / 2
    assert v3.flops_per_token(4096, training=True) == pytest.approx(by_hand, rel=1e-4)
    assert find("DeepSeek-V3: training operations").computed == pytest.approx(250.4, abs=0.1)
    assert find("DeepSeek-V2: training operations").computed == pytest.approx(155.4, abs=0.1)


def test_utilisation_of_deepseek_v3_in_both_conventions():
    causal, full = find("DeepSeek-V3: utilisation, causal"), find("DeepSeek-V3: utilisation, all")
    assert causal.computed == pytest.approx(0.389, abs=0.002)
    assert full.computed == pytest.approx(0.437, abs=0.002)
    # The crude rule, 6 x 37B, says 34.6 %.
    hours = 2.664e6 * 3600 * 989e12
    assert 6 * 37e9 * 14.8e12 / hours == pytest.approx(0.346, abs=0.001)


def test_hours_of_deepseek_v3_from_its_operations():
    assert find("DeepSeek-V3: H800 hours from operations").computed == pytest.approx(
        2.664e6, rel=0.02
    )


def test_hours_of_llama_3_1_and_why_8b_differs():
    for size in ("70B", "405B"):
        check = find(f"Llama-3.1-{size}: H")
        assert check.low <= check.published <= check.high
    small = find("Llama-3.1-8B")
    assert small.verdict == "listed"
    print(small.note)
    settings = TrainingCost("llama-3.1-8b", gpu="h100", formula="6ND")
    assert settings.mfu == DEFAULT_MFU
    assert settings.mfu_of_hours(small.published) == pytest.approx(0.139, abs=0.001)
    assert small.published / small.high == pytest.approx(1.8, abs=0.01)
    for name, extra in (("llama-3.1-8b", 0.13), ("llama-3.1-405b", 0.04)):
        config = MODELS[name]
        rule = 6 * config.active("with_input")
        attention = 3 * 2 * config.layers * config.heads * 256 * 8192 / 2
        assert attention / rule == pytest.approx(extra, abs=0.006)


def test_cache_bytes_are_exact():
    assert [find(start).computed for start in ("DeepSeek-V3: cache", "Qwen2.5", "Llama-3.1-405B: c")
            ] == [70272, 327680, 516096]  # fmt: skip


def test_multi_token_prediction_decode_bound_and_serving_day():
    assert find("DeepSeek-V3: multi").computed == pytest.approx(11.61e9, rel=1e-3)
    assert find("Decode bound").computed == pytest.approx(14.76e-3, rel=1e-3)
    assert find("Serving overview: 226.75").computed == 87072
    assert find("Serving overview: profit").computed == pytest.approx(5.45, abs=0.01)


def test_a_wrong_figure_would_be_noticed():
    row = dict(key="v3_kv", what="x", value="70000", unit="bytes", tolerance="0.001",
               check="verified", source="s", note="")  # fmt: skip
    assert _check(row).verdict == "differs"
    assert _check(row | {"note": "differs: because"}).verdict == "listed"
    assert _check(row | {"check": "unverified"}).verdict == "unverified"


def test_every_formula_has_its_published_value():
    assert len(NUMBERS) == len(FIGURES)
    assert expected_experts(256, 8, 1) == 8
