"""Real models: what fits on a machine, how fast it can be, and ways of counting."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from moe.app.real_models import best
from moe.app.real_models import share as real_models_share
from moe.app.real_models import story as models
from moe.app.real_models.story import Answers, Question
from moe.cost import GPUS, MODELS

MAC = Question(machine=GPUS["m3-ultra"].name)


def test_what_fits_is_counted_by_hand() -> None:
    answers = Answers(MAC)
    assert len(answers.rows) == len(MODELS) >= 25
    mac = GPUS["m3-ultra"]
    by_hand = [
        model.name
        for model in MODELS.values()
        if model.total_params * 4.5 / 8
        + 4096 * model.kv_bytes_per_token()
        + 4 * model.state_values()
        <= 0.9 * 512e9
    ]
    assert sorted(a.model.name for a in answers.fitting) == sorted(by_hand)
    v3 = next(a for a in answers.rows if a.model.name == "DeepSeek-V3")
    read = (MODELS["deepseek-v3"].active("head_only") + 7168) * 4.5 / 8 + 4096 * 70272
    assert v3.decoding.tokens_per_s == pytest.approx(mac.memory_bytes_per_s / read, rel=1e-6)
    said = best.best_words(answers)
    assert "GLM-5" in said and f"**{len(by_hand)} of" in said


def test_a_small_machine_says_that_nothing_fits() -> None:
    own = Question(machine=models.OWN_MACHINE, memory_gb=1.0, memory_gb_s=100.0, tflops=1.0)
    answers = Answers(replace(own, weights="16 bits"))
    assert not answers.fitting and "**No** model fits" in best.best_words(answers)
    assert "does not fit" in answers.batch_words("DeepSeek-V3")


def test_more_machines_hold_more() -> None:
    one = Question(machine="GeForce RTX 4090")
    few, many = Answers(one), Answers(replace(one, n_machines=32))
    assert {a.model.name for a in few.fitting} < {a.model.name for a in many.fitting}
    assert many.machine_words().startswith("32 ×")


def test_the_table_has_three_conventions_and_marks_the_published_one() -> None:
    table = Answers(Question()).table()
    marked = dict(models.marks(table))
    for at, row in enumerate(table):
        model = MODELS[str(row["Model"]).lower()]
        three = [row[f"Active, {name}"] for name in models.SHORT.values()]
        assert three == [model.active(name) / 1e9 for name in models.SHORT]
        assert row[marked[at]] == model.active_params / 1e9
    v3 = next(row for row in table if row["Model"] == "DeepSeek-V3")
    assert v3["Counted as published"] == "no input table (fits best; says another)"
    assert "gpt-oss-20b and gpt-oss-120b say which" in models.counted_words()


def test_deepseek_v3s_own_words_on_active_parameters_contradict_its_figure() -> None:
    """README_WEIGHTS.md: 36.7B "including 0.9B for Embedding and 0.9B for the output Head"."""
    v3 = MODELS["deepseek-v3"]
    assert v3.published_active == 36.7e9 and v3.convention_basis == "contradicted"
    table = 129_280 * 7_168  # one embedding
    assert v3.active("with_input") - v3.active("head_only") == table
    assert (
        abs(v3.active("head_only") / 36.7e9 - 1) < 0.003 < abs(v3.active("with_input") / 36.7e9 - 1)
    )
    said = models.counted_words()
    assert "36.7 billion “with both tables”, which would be 37.6 billion" in said
    assert "“no input table” is 36.6 billion: 927 million lie between, one table" in said


def test_arithmetic_takes_over_in_large_batches() -> None:
    steps = dict(Answers(MAC).by_batch("DeepSeek-V3"))
    assert steps[1].limit == "bandwidth" and steps[1024].limit == "compute"
    words = Answers(MAC).batch_words("DeepSeek-V3")
    first = min(batch for batch, bound in steps.items() if bound.limit == "compute")
    assert f"From {first:,} on, arithmetic" in words and "memory is full" in words


def test_names_in_the_picture_are_models() -> None:
    assert set(models.NAMED) <= {model.name for model in MODELS.values()}


def test_a_wrong_machine_is_refused() -> None:
    with pytest.raises(ValueError, match="batch"):
        Question(batch=0).decoding(MODELS["deepseek-v3"])


def test_the_export_has_every_model() -> None:
    document = json.loads(real_models_share.document(Answers(Question(batch=8)), "Law"))
    assert len(document["models"]) == len(document["table"]) == len(MODELS)
    assert document["question"]["batch"] == 8
