"""Records of models, hardware and trainings: every field against what it is named after."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from moe.cost import (
    CONVENTIONS,
    GPUS,
    MODELS,
    Range,
    TrainingCost,
    decode,
    kv_cache_bytes,
    weight_bytes,
)
from moe.cost import rows as lab
from moe.cost.checks import check_models, check_numbers
from moe.cost.hardware import FIGURES
from moe.cost.links import LINKS

V3 = MODELS["deepseek-v3"]
CONFIG = json.loads((Path(__file__).parents[1] / "cost" / "counts.json").read_text("utf-8"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config.json, beside which the process stands."""
    made = tmp_path / "mixtral"
    made.mkdir()
    (made / "config.json").write_text(json.dumps(CONFIG["mixtral"]["config"]), "utf-8")
    monkeypatch.chdir(tmp_path)
    return made


def test_a_model_is_found_by_name_file_or_folder(folder: Path) -> None:
    assert lab.find_model("DeepSeek-V3") is lab.find_model("deepseek-v3") is V3
    total = CONFIG["mixtral"]["total"]
    (folder.parent / "own.json").write_text((folder / "config.json").read_text("utf-8"), "utf-8")
    for text in ("mixtral", "mixtral/config.json", "own.json", f"{folder}{os.sep}"):
        assert lab.find_model(text).total_params == total, text
    with pytest.raises(ValueError, match="no such file"):
        lab.find_model("elsewhere/mixtral")
    with pytest.raises(
        ValueError, match=r"model: got 'mixtrel', allowed is a config\.json, its folder, a"
    ) as stop:
        lab.find_model("mixtrel")
    listed = str(stop.value).partition("one of ")[2].split(", ")
    assert listed == sorted(MODELS)


def test_ranges_are_one_value_or_three() -> None:
    assert lab.parse_range("x", "0.5") == Range(0.5, 0.5, 0.5)
    assert lab.parse_range("x", "1:2:3") == Range(1, 2, 3)
    for text in ("1:2", "1:2:3:4", "", "a", "1:b:3"):
        with pytest.raises(ValueError, match=r"x: got .*, allowed is VALUE or LOW:MIDDLE:HIGH"):
            lab.parse_range("x", text)


def test_every_field_of_a_models_record_is_the_models() -> None:
    rows = lab.model_rows()
    assert [row["title"] for row in rows] == [model.name for model in MODELS.values()]
    same = ("total_params", "active_params", "convention_basis", "mtp_params", "layers", "experts",
            "top_k", "shared_experts", "attention", "source", "published_source",
            "published_check", "exception")  # fmt: skip
    or_none = ("training_tokens", "gpu_hours", "pretraining_hours", "gpu", "published_total",
               "published_active")  # fmt: skip
    for row, (key, model) in zip(rows, MODELS.items(), strict=True):
        assert row == {
            "name": key,
            "title": model.name,
            "published_convention": model.active_convention,
            "kv_bytes_per_token": model.kv_bytes_per_token(),
            "notes": list(model.notes),
            **{name: getattr(model, name) for name in same},
            **{name: getattr(model, name) if getattr(model, name) else None for name in or_none},
            **{f"active_{name}": model.active(name) for name in CONVENTIONS},
        }
    assert any(row["gpu_hours"] is None for row in rows) and all(row["source"] for row in rows)


def test_every_field_of_a_machines_record_is_the_machines() -> None:
    machines, links = (
        [row for row in lab.hardware_rows() if (row["kind"] == "link") == is_link]
        for is_link in (False, True)
    )
    for row, (key, gpu) in zip(machines, GPUS.items(), strict=True):
        assert row == {
            "key": key,
            "name": gpu.name,
            "kind": gpu.kind,
            **{name: getattr(gpu, name) if getattr(gpu, name) else None for name in FIGURES},
            "link_gb_s": None,
            "sources": gpu.sources,
            "checks": gpu.checks,
        }
    for row, (key, link) in zip(links, LINKS.items(), strict=True):
        assert row == {
            "key": key,
            "name": link.name,
            "kind": "link",
            **dict.fromkeys(FIGURES),
            "link_gb_s": link.gb_s,
            "sources": {"link_gb_s": link.source},
            "checks": {"link_gb_s": link.check},
        }
    assert lab.check_rows() == [*check_numbers(), *check_models()]


def test_every_field_of_a_trainings_record() -> None:
    cost = TrainingCost(n_gpus=2048, extra_hours=124e3, mtp=True, causal=False, context=8192)
    result, row = cost.result(), lab.training_row(cost)
    spans = {"gpu_hours": result.gpu_hours, "dollars": result.dollars, "mfu": cost.mfu,
             "energy_mwh": result.energy_mwh, "days": result.days}  # fmt: skip
    for name, span in spans.items():
        assert [row[f"{name}_low"], row[name], row[f"{name}_high"]] == [
            span.low, span.mid, span.high,
        ]  # fmt: skip
        assert span.low < span.mid < span.high
    same = {
        "model": "deepseek-v3",
        "gpu": "h800-sxm",
        "total_params": V3.total_params,
        "mtp_params": V3.mtp_params,
        "tokens": 14.8e12,
        "flops_per_token": cost.flops_per_token,
        "train_flops": cost.flops_per_token * 14.8e12,
        "published_gpu_hours": 2_788_000,
        "published_pretraining_hours": 2_664_000,
        "published_hours_dollars": 2 * 2_788_000,
        "kv_bytes_per_token": kv_cache_bytes(V3, 1, 1),
        "notes": list(V3.notes),
        "assumptions": [asdict(one) for one in result.assumptions],
    } | {f"active_{name}": V3.active(name) for name in CONVENTIONS}
    for name, value in same.items():
        assert row[name] == value, name
    peak = GPUS["h800-sxm"].peak_flops("bf16")
    assert row["mfu_of_published_hours"] == pytest.approx(
        cost.train_flops / (2_664_000 * 3600 * peak)
    )
    # The parts are of this training: its context, all tokens seen, backward and the module too.
    assert sum(row["flops_by_part"].values()) == pytest.approx(cost.flops_per_token)
    assert row["flops_by_part"] != lab.training_row(replace(cost, mtp=False))["flops_by_part"]
    assert row["weight_bytes"] == {
        name: weight_bytes(V3, name) for name in ("bf16", "fp8", "4-bit")
    }
    assert row["weight_bytes"]["bf16"] == 2 * V3.total_params
    assert set(row) == {*same, *(f"{name}{end}" for name in spans for end in ("", "_low", "_high")),
                        "mfu_of_published_hours", "flops_by_part", "weight_bytes"}  # fmt: skip


def test_a_training_with_nothing_published_says_none() -> None:
    row = lab.training_row(TrainingCost(tokens=1e12))
    for name in ("published_gpu_hours", "published_pretraining_hours", "published_hours_dollars",
                 "mfu_of_published_hours"):  # fmt: skip
        assert row[name] is None
    assert not any(name.startswith("days") for name in row)


def test_what_was_asked_for_in_vain_is_noted() -> None:
    other = replace(V3, name="Other", mtp_layers=0, notes=("A note.",))
    vain = "asking for it changes no figure."
    assert lab.cost_notes(TrainingCost(other, tokens=1.0)) == ["A note."]
    assert lab.cost_notes(TrainingCost(other, tokens=1.0, mtp=True)) == [
        "A note.", f"this model has no multi-token prediction: {vain}",
    ]  # fmt: skip
    assert lab.cost_notes(TrainingCost(mtp=True)) == list(V3.notes)
    ruled = lab.cost_notes(TrainingCost(mtp=True, formula="6ND"))
    assert ruled == [*V3.notes, f"multi-token prediction is not counted by 6 x parameters: {vain}"]
    assert lab.cost_notes(TrainingCost(formula="6ND")) == list(V3.notes)


def test_published_hours_in_words() -> None:
    row = {"published_pretraining_hours": 100.0, "published_gpu_hours": 2500.0,
           "published_hours_dollars": 5e6, "mfu_of_published_hours": 0.3456}  # fmt: skip
    assert lab.published_words(row) == (
        "published: 2,500 GPU-hours, $5M at the middle rent; 100 of them of pre-training, which "
        "mean a utilisation of 34.6%"
    )
    assert lab.published_words(row | {"published_pretraining_hours": 2500.0}) == (
        "published: 2,500 GPU-hours, $5M at the middle rent; not told apart by stage; if all are "
        "of pre-training they mean a utilisation of 34.6%"
    )


def test_parameters_in_words() -> None:
    row = {"total_params": 9e9, "active_with_input": 3e9, "active_head_only": 2e9,
           "active_neither": 1e9, "mtp_params": 4e6}  # fmt: skip
    used = "a token uses 2B with the output matrix, 3B with the input table too, 1B with neither"
    assert lab.parameter_words(row) == (
        f"parameters: 9B in all; multi-token prediction 4M more; {used}"
    )
    assert lab.parameter_words(row | {"mtp_params": 0}) == f"parameters: 9B in all; {used}"


def test_decoding_rows_are_the_bounds_of_what_was_asked() -> None:
    gpu, some = GPUS["h100-sxm"], [MODELS["mixtral-8x7b"], MODELS["llama-4-scout"]]
    usual = {"batch": 1, "context": 4096, "precision": "4-bit", "n_gpus": 1}
    for change in ({}, {"batch": 7}, {"context": 99}, {"precision": "fp8"}, {"n_gpus": 3}):
        for row, model in zip(lab.decoding_rows(gpu, some, **change), some, strict=True):
            bounds = decode(model, gpu, **(usual | change))
            assert row == {
                "name": model.name.lower(),
                "title": model.name,
                "notes": list(model.notes),
                "tokens_per_s": bounds.tokens_per_s,
                "limit": bounds.limit,
                **asdict(bounds),
            }
    assert some[1].notes and len(lab.decoding_rows(gpu)) == len(MODELS)
