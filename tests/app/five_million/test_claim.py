"""Other trainings under the same assumptions, and the claim of $50-100M."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moe.app.five_million import claim as money_claim
from moe.app.five_million.claim import (
    Way,
    compared,
    compared_table,
    compared_words,
    ways,
    ways_words,
)
from moe.app.five_million.story import Assumed, from_to
from moe.cost import MODELS, Range
from moe.numbers import count, dollars

V3 = MODELS["deepseek-v3"]
USUAL = Assumed().cost()


def test_every_training_is_computed_on_its_own_chip_at_the_same_rent() -> None:
    cost = replace(USUAL, precision="fp8")  # which the others were not trained for
    rows = compared(cost)
    published = {m.name: m for m in MODELS.values() if m.gpu_hours and m.training_tokens}
    assert {row.model for row in rows} == set(published)
    assert [row.published for row in rows] == sorted(row.published for row in rows)
    for row in rows:
        model = published[row.model]
        own = replace(cost.with_model(row.model.lower()), gpu=model.gpu, precision="bf16")
        peak = own.hardware.peak_flops("bf16") * 3600
        for span, mfu in ((row.gpu_hours.low, 0.43), (row.gpu_hours.mid, 0.389),
                          (row.gpu_hours.high, 0.25)):  # fmt: skip
            assert span == pytest.approx(own.train_flops / peak / mfu + model.other_gpu_hours)
        assert row.dollars.low == pytest.approx(2 * row.gpu_hours.low)
        assert row.dollars.high == pytest.approx(2 * row.gpu_hours.high)
        assert (row.published_hours, row.published) == (model.gpu_hours, 2 * model.gpu_hours)
        assert row.gpu == own.hardware.name
        before = model.gpu_hours - model.other_gpu_hours
        assert row.mfu == pytest.approx(own.train_flops / peak / before)
        assert row.within == (row.gpu_hours.low <= model.gpu_hours <= row.gpu_hours.high)
    for row, line in zip(rows, compared_table(rows), strict=True):
        assert line == {
            "Model": row.model,
            "Chip": row.gpu,
            "Hours computed": from_to(row.gpu_hours, count),
            "Hours published": count(row.published_hours, 4),
            "Rent computed": from_to(row.dollars),
            "Rent of the published hours": dollars(row.published, 3),
            "Share of peak that they mean": f"{100 * row.mfu:.1f}%",
        }


def test_ranges_that_hold_and_that_miss_in_words() -> None:
    held = [row for row in compared(USUAL) if row.within]
    missed = [row for row in compared(USUAL) if not row.within]
    said = compared_words(held + missed, 2.5)
    assert said.startswith(
        f"At $2.5 an hour for every chip, the computed ranges hold {len(held)} of "
        f"{len(held) + len(missed)} published figures. They miss those of "
    )
    for row in missed:
        assert f"{row.model} (hours that mean {row.mfu:.0%} of the peak)" in said
    assert compared_words(held, 2.0).endswith(f"hold {len(held)} of {len(held)} published figures.")
    assert money_claim.why_8b_differs().startswith("Llama-3.1-8B: ")
    assert "differs" not in money_claim.why_8b_differs()


@pytest.mark.parametrize(
    ("low", "high", "lands"),
    [(10e6, 50e6, True), (10e6, 49e6, False), (100e6, 200e6, True), (101e6, 200e6, False),
     (60e6, 70e6, True), (10e6, 200e6, True)],
)  # fmt: skip
def test_a_way_lands_if_it_meets_the_claim(low: float, high: float, lands: bool) -> None:
    assert Way("x", "y", Range(low, (low + high) / 2, high)).lands == lands
    assert from_to(money_claim.CLAIM) == "$50M to $100M" and money_claim.CLAIM.mid == 75e6


def test_every_way_of_counting_by_hand() -> None:
    llama = MODELS["llama-3.1-405b"]
    dense = 2_664_000 * 2472.9 / 250.456  # billion operations a token
    found = ways(USUAL)
    assert [(way.name, way.how) for way in found] == [
        ("DeepSeek-V3, final run", "2.788 million hours"),
        ("DeepSeek-V3 with trial runs", "a guess: 2 to 4 times more"),
        ("A dense 405B model, V3's text", f"{count(dense)} hours"),
        ("Llama-3.1-405B, final run", "30.84 million hours"),
    ]
    hours = [2_788_000, None, dense, llama.gpu_hours]
    for way, one in zip(found, hours, strict=True):
        low, mid, high = (1.5, 2, 4) if one else (3, 4, 5)  # rents, or final runs
        each = one or 5_576_000
        assert (way.dollars.low, way.dollars.mid, way.dollars.high) == pytest.approx(
            (low * each, mid * each, high * each), rel=1e-3
        )
    said = ways_words(found)
    landing = " and ".join(f"“{way.name}”" for way in found if way.lands)
    claim = "No source was found for the claim that others spend $50M to $100M."
    assert said.startswith(f"{claim} It can be reached: see {landing}.")


def test_whose_hours_did_more_is_said_of_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    work = 2472.9 * 15.6 / (250.456 * 14.8)
    for hours in (2_664_000 * work * 2, 2_664_000 * work / 2):
        llama = replace(MODELS["llama-3.1-405b"], gpu_hours=hours)
        changed = {**MODELS, "llama-3.1-405b": llama}
        monkeypatch.setattr(money_claim, "MODELS", changed)
        said = ways_words(ways(USUAL))
        more = "V3's chips did 2.00 times as much of it as one of Llama-3.1-405B's"
        if hours < 2_664_000 * work:
            more = "Llama-3.1-405B's chips did 2.00 times as much of it as one of V3's"
        assert f"an hour of {more}. " in said
        assert f"took {hours / 2_664_000:.1f} times the chip-hours of V3's long run" in said


def test_what_is_on_record_is_said_with_its_date() -> None:
    assert money_claim.on_record_words() == " ".join(
        f"{one.who} said {'on' if one.when[0] in '0123456789' else 'in'} {one.when} that "
        f"{one.statement} ({one.source})."
        for one in money_claim.ON_RECORD
    )
    years = [one.when[-4:] for one in money_claim.ON_RECORD]
    assert years == sorted(years) and len(set(years)) == 2
    assert all(" of " in one.who for one in money_claim.ON_RECORD)
