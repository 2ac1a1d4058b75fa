"""Money: the published figure, assumptions, other trainings, and the limits of a GPU."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np
import pytest

from moe.app.five_million import chips, claim
from moe.app.five_million import share as five_million_share
from moe.app.five_million import story as money
from moe.cluster.sampling import expected_copies
from moe.cluster.traffic import bf16_row_bytes, fp8_row_bytes
from moe.cost import GPUS, LEFT_OUT, MODELS, Range


def test_the_parts_add_up_to_the_published_figure() -> None:
    parts = money.published_parts()
    print("computed", sum(part.dollars for part in parts), "published", 5_576_000)
    assert [part.gpu_hours for part in parts] == [2_664_000, 119_000, 5_000]
    assert sum(part.dollars for part in parts) == money.published_dollars() == 5_576_000
    assert "$5.576M" in money.lead() and "2.788 million hours" in money.paid_words()
    assert parts[0].sum_words() == "$5.328M = 2,664,000 hours × $2"
    assert "14.8 trillion" in parts[0].name
    assert "96%" in money.paid_words()  # 2664 / 2788


def test_what_is_left_out_has_a_source_each_and_no_made_up_figure() -> None:
    rows = money.beside()
    assert rows[0].dollars == Range.exact(5_576_000) and len(rows) == len(LEFT_OUT) + 1
    assert all(
        one.source and one.about and one.check in {"verified", "second-hand"} for one in rows
    )
    by_name = {one.what: one for one in rows}
    trials = by_name["Research and trial runs before the final run"]
    assert trials.dollars == Range(2 * 5_576_000, 3 * 5_576_000, 4 * 5_576_000)
    assert trials.amount().endswith("†")
    assert by_name["Pay of the people"].amount() == "no figure"


def test_the_controls_are_the_cost_models_assumptions() -> None:
    cost = money.Assumed().cost()
    by_hand = 250.456e9 * 14.8e12 / (0.389 * 989e12 * 3600) + 124_000
    result = cost.result()
    assert result.gpu_hours.mid == pytest.approx(by_hand, rel=1e-4)
    assert result.dollars.low == pytest.approx(result.gpu_hours.low * 1.5)
    assert result.gpu_hours.holds(2_788_000)
    own = money.Assumed(model=money.OWN_SIZE, active_billions=10, tokens_trillions=2).cost()
    assert own.train_flops == 6 * 10e9 * 2e12
    assert "10" in next(a.source for a in own.assumptions() if a.name == "flops_per_token")


def test_the_middle_is_the_usual_value_or_half_way() -> None:
    usual = Range(0.25, 0.39, 0.43)
    assert money.between((25, 43), usual, 100).mid == 0.39
    assert money.between((50, 60), usual, 100) == Range(0.5, 0.55, 0.6)


def test_each_swing_changes_one_assumption_only() -> None:
    cost = money.Assumed().cost()
    found = {swing.name: swing for swing in money.swings(cost)}
    middle = cost.result().dollars.mid
    rent = found["Rent of a chip"]
    assert rent.low == pytest.approx(middle / 2 * 1.5) and rent.high == pytest.approx(middle * 2)
    busy = found["How busy the chips are"]
    assert busy.high == pytest.approx((middle - 248_000) * 0.389 / 0.25 + 248_000)
    assert all(swing.low <= middle * (1 + 1e-9) and swing.high >= middle * (1 - 1e-9)
               for swing in found.values())  # fmt: skip
    sizes = [swing.high - swing.low for swing in money.swings(cost)]
    assert sizes == sorted(sizes, reverse=True)


def test_other_trainings_are_held_or_named() -> None:
    cost = money.Assumed().cost()
    rows = {row.model: row for row in claim.compared(cost)}
    for row in rows.values():
        print(row.model, row.gpu_hours, "published", row.published_hours, row.within)
    for name in ("DeepSeek-V2", "DeepSeek-V3", "Llama-3.1-70B", "Llama-3.1-405B"):
        assert rows[name].within
    eight = rows["Llama-3.1-8B"]
    assert not eight.within and eight.mfu == pytest.approx(0.14, abs=0.005)
    assert rows["DeepSeek-V3"].mfu == pytest.approx(0.391, abs=0.001)
    assert "Llama-3.1-8B (hours that mean 14% of the peak)" in claim.compared_words(
        list(rows.values()), 2
    )
    assert "6ND means 13.9 %" in claim.why_8b_differs()


def test_the_other_claim_is_reached_by_a_dense_model_only() -> None:
    found = claim.ways(money.Assumed().cost())
    assert [way.lands for way in found] == [False, False, True, True]
    assert found[0].dollars.mid == 5_576_000
    assert found[3].dollars.mid == 2 * 30_840_000
    assert found[2].dollars.mid == pytest.approx(52.6e6, rel=0.01)
    dear = replace(money.Assumed(), price=(0.5, 0.75)).cost()
    assert "At these rents none of these ways reaches it" in claim.ways_words(claim.ways(dear))


def test_what_is_on_record_beside_the_claim_has_its_source_and_date() -> None:
    said = claim.on_record_words()
    for one in claim.ON_RECORD:
        assert one.who in said and one.statement in said and one.source in said
        assert one.when[-4:] in {"2023", "2025"} and one.check == "second-hand"
    assert "said in April 2023 that training GPT-4 had cost more than $100 million" in said
    assert "said on 29 January 2025" in said and "a few $10M's" in said
    assert said in claim.ways_words(claim.ways(money.Assumed().cost()))


def test_hours_and_arithmetic_of_the_405b_model_are_compared_by_what_they_are() -> None:
    """30.84M over 2.664M hours, 2,472.9 x 15.6T over 250.46 x 14.8T operations."""
    said = claim.ways_words(claim.ways(money.Assumed().cost()))
    hours, work = 30.84 / 2.664, 2472.9 * 15.6 / (250.456 * 14.8)
    assert (
        f"took {hours:.1f} times the chip-hours" in said and f"{work:.1f} times the arith" in said
    )
    assert f"an hour of V3's chips did {hours / work:.2f} times as much of it" in said


def test_published_hours_mean_the_same_whatever_comes_after_pre_training() -> None:
    usual = money.Assumed()
    for extra in (0.0, 124.0, 5_000.0):
        words = money.published_words(replace(usual, extra_hours_thousands=extra).cost())
        assert "2.788 million hours" in words and "worked at 39% of their" in words
    assert "with this much text" in money.published_words(replace(usual, tokens_trillions=1).cost())
    assert money.usual_extra_hours("DeepSeek-V3") == 124.0
    assert money.usual_extra_hours("Llama-3.1-70B") == money.usual_extra_hours(money.OWN_SIZE) == 0


def test_copies_of_a_token_by_formula_are_those_of_a_simulation() -> None:
    assert expected_copies(128, 8, 4) == pytest.approx(3.63, abs=0.005)
    assert expected_copies(256, 8, 8) == pytest.approx(5.29, abs=0.005)
    assert expected_copies(12, 2, 3) == 3 * (1 - comb(8, 2) / comb(12, 2))
    rng = np.random.default_rng(0)
    chosen_NK = np.argsort(rng.random((20_000, 256)), axis=1)[:, :8]
    nodes = np.mean([len(set(row)) for row in (chosen_NK // 32).tolist()])
    network, _ = chips.copies(MODELS["deepseek-v3"], chips.ONE_A_NODE)
    assert network == pytest.approx(nodes * 7 / 8, rel=0.01)
    with pytest.raises(ValueError, match="travel"):
        chips.copies(MODELS["deepseek-v3"], "by ship")


def test_the_cut_link_of_the_h800_does_not_bind() -> None:
    a, b = GPUS["h800-sxm"], GPUS["h100-sxm"]
    d_model = MODELS["deepseek-v3"].d_model
    assert fp8_row_bytes(d_model) + bf16_row_bytes(d_model) == 7392 + 14336
    of_a, of_b = chips.limits(a), chips.limits(b)
    slower = [x.name for x, y in zip(of_a, of_b) if x.microseconds > y.microseconds]
    assert slower == [chips.NVLINK]
    assert chips.binding(of_a).name == chips.COMPUTE
    compute = of_a[0].microseconds
    assert compute == pytest.approx(250.456e9 / 989e12 * 1e6, rel=1e-4)
    by_hand = 3.629 * 7 / 8 * 58 * 2 * 21_728 / 50e9 * 1e6
    assert of_a[3].microseconds == pytest.approx(by_hand, rel=1e-3)
    assert chips.binding(chips.limits(a, "fp8")).name == chips.NETWORK
    words = chips.words(a, b, "bf16", chips.ONE_A_NODE_4)
    assert "both are equally fast" in words and "“NVLink, in a node” takes 2.25 times" in words
    weaker = chips.words(GPUS["h20-sxm"], b, "bf16", chips.ONE_A_NODE_4)
    assert "times as long on H20" in weaker


def test_the_data_sheets_side_by_side() -> None:
    rows = chips.side_by_side(GPUS["h800-sxm"], GPUS["h100-sxm"])
    shares = {row["Limit"].split(",")[0]: row["First / second"] for row in rows}
    assert shares.pop("NVLink to chips of the same node") == "44%"
    assert set(shares.values()) == {"100%"}


def test_the_export_holds_every_picture() -> None:
    text = five_million_share.document(money.Assumed().cost()).decode()
    for key in ("published", "beside", "training", "swings", "compared", "ways", "limits"):
        assert f'"{key}"' in text


def test_every_assumption_has_a_line_with_its_source() -> None:
    cost = money.Assumed().cost()
    lines = money.assumption_list(cost).splitlines()
    assert len(lines) == len(cost.assumptions())
    assert "- **mfu**: 0.25 to 0.43 share of peak; default" in "\n".join(lines)
