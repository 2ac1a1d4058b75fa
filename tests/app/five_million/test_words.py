"""Money in words and tables: options, both sides of each sentence, every row by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moe.app.five_million import story as money
from moe.app.five_million.story import Assumed, from_to
from moe.cost import GPUS, LEFT_OUT, MODELS, Range
from moe.cost.training import DEFAULT_MFU, DEFAULT_POWER_SHARE, DEFAULT_PRICE, DEFAULT_PUE
from moe.numbers import count, dollars

V3 = MODELS["deepseek-v3"]
USUAL = Assumed().cost()


def test_a_range_that_is_written_alike_is_one_value() -> None:
    assert from_to(Range(2.01e6, 2.02e6, 2.04e6)) == "$2M"
    assert from_to(Range(2e6, 3e6, 4e6)) == "$2M to $4M"
    assert from_to(Range(2e6, 3e6, 4e6), count) == "2 million to 4 million"
    assert money.Part("x", 1000.0, 1500.0).sum_words() == "$1.5K = 1,000 hours × $1.5"
    assert dollars(1_234_567) == dollars(1_234_567, 2) and count(1_234_567) == "1.2 million"


def test_the_published_parts_are_named_in_their_order() -> None:
    names = [part.name for part in money.published_parts()]
    assert names == [
        "Pre-training: reading 14.8 trillion pieces of words",
        "Learning to read longer texts",
        "Post-training: learning to answer",
    ]
    for part in money.published_parts():
        assert part.dollars == 2 * part.gpu_hours
    said = money.paid_words()
    assert "shared out over 2,048 chips, times a rent of $2 an hour" in said
    assert said.endswith("It is the price of the last run, not of making the model.")


def test_every_cost_beside_the_published_one_is_as_it_was_read() -> None:
    first, *others = money.beside()
    assert first.check == "verified" and first.amount() == "$5.6M"
    rows = money.beside_rows()
    assert rows[0]["Cost"] == first.what and rows[0]["Dollars"] == "$5.6M"
    for one, row, read in zip(others, rows[1:], LEFT_OUT, strict=True):
        span = read.amount
        if span is not None and read.unit == "final runs":
            span = Range(*(5_576_000 * end for end in (span.low, span.mid, span.high)))
        assert one.dollars == span
        said = "no figure"
        if span:
            said = dollars(span.low)
            if dollars(span.high) != said:
                said += f" to {dollars(span.high)}"
            said += "†" if read.check == "second-hand" else ""
        assert row == {"Cost": read.what, "Dollars": said, "What is known": read.about,
                       "Source": read.source}  # fmt: skip
        assert (one.what, one.about, one.source, one.check) == (
            read.what, read.about, read.source, read.check,
        )  # fmt: skip
    assert list(rows[0]) == ["Cost", "Dollars", "What is known", "Source"]
    words = money.left_out_words()
    assert "Outsiders guess $11M to $22M for those" in words
    assert "one firm estimates $1.6B for buying all of the company's servers" in words


def test_the_usual_assumptions_are_those_of_the_cost_model() -> None:
    assert USUAL.mfu == DEFAULT_MFU and USUAL.dollars_per_hour == DEFAULT_PRICE
    assert USUAL.power_share == DEFAULT_POWER_SHARE and USUAL.pue == DEFAULT_PUE
    assert (USUAL.model, USUAL.gpu, USUAL.tokens) == ("deepseek-v3", "h800-sxm", 14.8e12)
    assert (USUAL.n_gpus, USUAL.extra_hours, USUAL.active_params) == (2048, 124_000, 0)
    assert (USUAL.precision, USUAL.context, USUAL.causal) == ("bf16", 4096, True)
    assert (USUAL.formula, USUAL.mtp) == ("counted", False)


@pytest.mark.parametrize(
    ("change", "meant"),
    [
        ({"tokens_trillions": 2.0}, {"tokens": 2e12}),
        ({"mfu_percent": (30.0, 50.0)}, {"mfu": Range(0.3, 0.389, 0.5)}),
        ({"mfu_percent": (50.0, 70.0)}, {"mfu": Range(0.5, 0.6, 0.7)}),
        ({"price": (2.0, 3.0)}, {"dollars_per_hour": Range(2, 2, 3)}),
        ({"price": (1.0, 2.0)}, {"dollars_per_hour": Range(1, 2, 2)}),
        ({"price": (3.0, 5.0)}, {"dollars_per_hour": Range(3, 4, 5)}),
        ({"gpu": GPUS["h100-sxm"].name}, {"gpu": "h100-sxm"}),
        ({"precision": "fp8"}, {"precision": "fp8"}),
        ({"context": 99}, {"context": 99}),
        ({"causal": False}, {"causal": False}),
        ({"formula": "6ND"}, {"formula": "6ND"}),
        ({"mtp": True}, {"mtp": True}),
        ({"extra_hours_thousands": 7.0}, {"extra_hours": 7000.0}),
        ({"n_gpus": 5}, {"n_gpus": 5}),
        ({"power_percent": (10.0, 20.0)}, {"power_share": Range(0.1, 0.15, 0.2)}),
        ({"pue": (2.0, 3.0)}, {"pue": Range(2, 2.5, 3)}),
        ({"model": "Mixtral-8x7B", "active_billions": 4.0}, None),
        ({"model": money.OWN_SIZE, "active_billions": 4.0}, {"active_params": 4e9}),
    ],
)
def test_every_control_changes_its_assumption_alone(
    change: dict[str, object], meant: dict[str, object] | None
) -> None:
    if meant is None:
        name = next(iter(money.MODEL_CHOICES))
        change, meant = {**change, "model": name}, {"model": name.lower()}
    cost, wanted = Assumed(**change).cost(), replace(USUAL, **meant)
    spans = ("mfu", "dollars_per_hour", "power_share", "pue")
    for name in spans:
        got, want = getattr(cost, name), getattr(wanted, name)
        assert (got.low, got.mid, got.high) == pytest.approx((want.low, want.mid, want.high))
    same = {
        name: getattr(wanted, name) for name in ("mfu", "dollars_per_hour", "power_share", "pue")
    }
    assert replace(cost, **same) == wanted


def test_choices_have_what_a_cost_needs() -> None:
    assert list(money.MODEL_CHOICES.values()) == [
        key for key, model in MODELS.items() if model.training_tokens > 0
    ]
    assert 0 < len(money.MODEL_CHOICES) < len(MODELS)
    for name, key in money.MODEL_CHOICES.items():
        model = MODELS[key]
        assert name == model.name
        assert money.usual_tokens(name) == pytest.approx(model.training_tokens / 1e12)
        assert money.usual_extra_hours(name) == pytest.approx(model.other_gpu_hours / 1e3)
        gpu = money.usual_gpu(name)
        assert gpu in money.GPU_CHOICES
        assert (model.gpu or "h800").split("-")[0].upper() in gpu.upper()
    assert money.usual_tokens(money.OWN_SIZE) == 14.8
    assert money.usual_gpu(money.OWN_SIZE) == GPUS["h800-sxm"].name
    assert list(money.GPU_CHOICES.values()) == [k for k, g in GPUS.items() if g.nvlink_gb_s > 0]
    assert all(GPUS[key].name == name for name, key in money.GPU_CHOICES.items())


def test_figures_stand_beside_their_names() -> None:
    result = USUAL.result()
    spans = {
        "Hours of one chip": (result.gpu_hours, count),
        "Rent": (result.dollars, dollars),
        "Electricity, MWh": (result.energy_mwh, count),
        "Days on 2,048 chips": (result.days, count),
    }
    assert money.figures(USUAL) == [
        (name, write(span.mid), f"{write(span.low)} to {write(span.high)}")
        for name, (span, write) in spans.items()
    ]
    assert len(money.figures(replace(USUAL, n_gpus=0))) == 3


def test_published_hours_in_words() -> None:
    said = money.published_words(USUAL)
    assert said == (
        "DeepSeek says 2.788 million hours; that is inside our range, and means its chips worked "
        "at 39% of their top speed."
    )
    busy = Range(0.8, 0.9, 1.0)
    assert "that is outside our range" in money.published_words(replace(USUAL, mfu=busy))
    llama = replace(USUAL.with_model("llama-3.1-405b"), gpu="h100", extra_hours=0.0)
    assert "Llama-3.1-405B's makers say 30.84 million hours;" in money.published_words(llama)


def test_every_swing_by_hand() -> None:
    def price(**changed: object) -> float:
        return replace(USUAL, **changed).result().dollars.mid

    by_hand = {
        ("How busy the chips are", "25% to 43% of their peak"): [
            {"mfu": Range.exact(0.43)}, {"mfu": Range.exact(0.25)}],
        ("Rent of a chip", "$1.50 to $4.00 an hour"): [
            {"dollars_per_hour": Range.exact(1.5)}, {"dollars_per_hour": Range.exact(4.0)}],
        ("Amount of text", "7.4 trillion to 30 trillion tokens: half, double"): [
            {"tokens": 7.4e12}, {"tokens": 29.6e12}],
        ("Whose peak the share is of", "16-bit or 8-bit numbers"): [
            {"precision": "fp8"}, {"precision": "bf16"}],
        ("How work is counted", "part by part, or 6 times parameters"): [
            {"formula": "6ND"}, {"formula": "counted"}],
        ("Attention", "to earlier tokens only, or to all"): [{"causal": True}, {"causal": False}],
        ("Length of a text", "4,096 or 32,768 tokens"): [{"context": 4096}, {"context": 32768}],
    }  # fmt: skip
    found = money.swings(USUAL)
    assert {(one.name, one.setting) for one in found} == set(by_hand)
    for one in found:
        low, high = (price(**change) for change in by_hand[one.name, one.setting])
        assert (one.low, one.high) == pytest.approx((low, high)), one.name
        assert low < high
    wide = [one.high - one.low for one in found]
    assert wide == sorted(wide, reverse=True)
    first, last = found[0], found[-1]
    assert money.swing_words(found) == (
        f"“{first.name}” moves the result most ({dollars(first.low)} to {dollars(first.high)}), "
        f"“{last.name}” least ({dollars(last.low)} to {dollars(last.high)})."
    )
    # A model known by its size has no attention to count.
    own = money.swings(Assumed(model=money.OWN_SIZE).cost())
    assert {one.name for one in own} == {name for name, _ in list(by_hand)[:4]}
    # Starting from the other setting changes neither end.
    other = money.swings(replace(USUAL, precision="fp8", formula="6ND"))
    peak = next(one for one in other if one.name == "Whose peak the share is of")
    assert peak.high == pytest.approx(price(formula="6ND"))


def test_assumptions_are_written_with_their_unit_and_source() -> None:
    lines = money.assumption_list(USUAL).splitlines()
    assert [line.partition("**")[2].partition("**")[0] for line in lines] == [
        one.name.replace("_", " ") for one in USUAL.assumptions()
    ]
    for line, one in zip(lines, USUAL.assumptions(), strict=True):
        assert line.endswith(f" {one.unit}; {one.source}") and line.startswith("- **")
    text = "\n".join(lines)
    assert "**tokens**: 14.8 trillion tokens; given" in text
    assert "**dollars per hour**: 1.5 to 4 $ per GPU and hour" in text
    assert "**extra hours**: 124,000 GPU-hours" in text and "**pue**: 1.1 to 1.4" in text
    for hours, said in ((1e6, "1 million"), (1000.0, "1,000"), (999.5, "999.5"), (0.0, "0")):
        told = money.assumption_list(replace(USUAL, extra_hours=hours))
        assert f"**extra hours**: {said} GPU-hours; given" in told
    assert "e+" not in text
