"""Operations, memory, decoding, training: units, and what may only grow."""

from __future__ import annotations

import csv
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe.cost import (
    GPUS,
    MODELS,
    ExchangeBound,
    Range,
    ServingDay,
    TrainingCost,
    TrainingState,
    activation_bytes_per_token,
    decode,
    decode_flops,
    demand,
    expected_experts,
    find_gpu,
    flops_per_token,
    kv_cache_bytes,
    training_memory,
    weight_bytes,
    weight_bytes_read,
)
from moe.cost.hardware import ALIASES, FIGURES

NAMES = st.sampled_from(sorted(MODELS))
V3 = MODELS["deepseek-v3"]


# Operations ------------------------------------------------------------------------------------


@given(name=NAMES, context=st.integers(1, 100_000), more=st.integers(1, 100_000))
@settings(max_examples=50, deadline=None)
def test_operations_grow_with_context_and_attention_is_all_that_does(name, context, more):
    config = MODELS[name]
    short, long = (flops_per_token(config, c) for c in (context, context + more))
    assert long.attention > short.attention
    assert long.total - short.total == pytest.approx(long.attention - short.attention)
    full = flops_per_token(config, context, causal=False)
    assert full.attention == pytest.approx(2 * short.attention)
    assert flops_per_token(config, context, training=True).total == pytest.approx(3 * short.total)
    assert flops_per_token(config, context, mtp=True).total >= short.total


def test_operations_without_context_are_twice_the_active_parameters():
    for config in MODELS.values():
        parts = flops_per_token(config, 1)
        assert parts.total - parts.attention == 2 * config.active("head_only")


def test_a_wrong_context_is_named():
    with pytest.raises(ValueError, match="context: got 0"):
        flops_per_token(V3, 0)


# Memory ----------------------------------------------------------------------------------------


@given(name=NAMES, context=st.integers(0, 200_000), sequences=st.integers(0, 64))
@settings(max_examples=50, deadline=None)
def test_cache_is_linear_in_tokens_and_states_in_sequences(name, context, sequences):
    config = MODELS[name]
    tokens, states = context * sequences, 4 * sequences * config.state_values()
    cache = kv_cache_bytes(config, context, sequences)
    windows = 2 * sequences * config.window_values()
    assert cache == tokens * config.kv_bytes_per_token() + windows + states
    assert kv_cache_bytes(config, context, sequences, 1) * 2 == cache + states


def test_weights_take_what_their_precision_says():
    for config in MODELS.values():
        bf16, fp8, four = (weight_bytes(config, p) for p in ("bf16", "fp8", "4-bit"))
        assert bf16 == 2 * config.total_params
        assert fp8 == pytest.approx(bf16 / 2, rel=1e-3)
        assert four == pytest.approx(bf16 * 4.5 / 16)
    with pytest.raises(ValueError, match="precision: got 'int3', allowed is one of bf16, fp8"):
        weight_bytes(V3, "int3")


def test_training_holds_16_to_18_bytes_a_parameter_and_activations():
    memory = training_memory(V3, 4096)
    params = V3.total_params + V3.mtp_params
    assert memory.total - memory.activations == params * (2 + 4 + 4 + 8)
    assert memory.activations == 4096 * 2 * 61 * 7168
    lean = training_memory(V3, 4096, TrainingState(1, 4, 4, 4))  # DeepSeek-V3's own
    assert lean.total < memory.total
    assert training_memory(V3, 8192).activations == 2 * memory.activations


def test_activations_of_a_plain_layer_by_hand():
    """34 s b h is the published count for GELU and dropout; SwiGLU without dropout stores 35.6."""
    config = MODELS["llama-3.1-8b"]
    layer = 2 * 4096 + (4096 + 2 * 4096) + 1024 + 2 * 4096 + 3 * 14336
    assert activation_bytes_per_token(config) == 2 * (32 * layer + 2 * 4096)
    for model in MODELS.values():
        assert activation_bytes_per_token(model, "layer") < activation_bytes_per_token(model)
    with pytest.raises(ValueError, match="recompute"):
        activation_bytes_per_token(config, "some")


# Decoding --------------------------------------------------------------------------------------


@given(name=NAMES, batch=st.integers(1, 500), more=st.integers(1, 500))
@settings(max_examples=60, deadline=None)
def test_a_larger_batch_reads_more_a_step_and_less_a_token(name, batch, more):
    config, gpu = MODELS[name], GPUS["h800-sxm"]
    small, large = (decode(config, gpu, batch=b, context=100) for b in (batch, batch + more))
    assert small.experts_touched <= large.experts_touched <= config.experts
    assert small.bytes_per_step < large.bytes_per_step
    assert small.bytes_per_token > large.bytes_per_token
    assert small.by_bandwidth < large.by_bandwidth
    assert small.by_compute == large.by_compute
    assert large.tokens_per_s == min(large.by_bandwidth, large.by_compute)


def test_one_token_reads_its_active_weights_and_a_large_batch_reads_all():
    row = V3.d_model * 2.0  # of the table of input embeddings
    assert weight_bytes_read(V3, 1, "bf16") == pytest.approx(2 * V3.active("head_only") + row)
    everything = weight_bytes_read(V3, 100_000, "bf16") - 100_000 * row
    assert everything == pytest.approx(2 * (V3.total_params - V3.params.embedding))
    assert decode(V3, GPUS["h800-sxm"], batch=32).experts_touched == expected_experts(256, 8, 32)


@given(name=NAMES, gpu=st.sampled_from(list(GPUS)), batch=st.integers(1, 500))
@settings(max_examples=60, deadline=None)
def test_what_is_asked_for_meets_any_machine(name, gpu, batch):
    config, machine = MODELS[name], GPUS[gpu]
    asked = demand(config, batch=batch, context=100, precision="fp8")
    found = asked.on(machine, 3, 0.5)
    room, speed = 3e9 * machine.memory_gb, 3e9 * machine.memory_gb_s
    assert found == decode(
        config, machine, batch=batch, context=100, precision="fp8", n_gpus=3, usable=0.5
    )
    assert found.memory_bytes == pytest.approx(room)
    assert found.fits == (asked.needed_bytes <= 0.5 * found.memory_bytes)
    assert found.by_bandwidth == pytest.approx(batch * speed / asked.bytes_per_step)
    peak = 3e12 * (machine.fp8_tflops or machine.bf16_tflops)
    assert found.by_compute == pytest.approx(peak / decode_flops(config, 100))
    for n_gpus, usable in ((0, 0.9), (1, 0.0), (1, 1.1)):
        with pytest.raises(ValueError, match="got"):
            asked.on(machine, n_gpus, usable)


def test_what_fits_where():
    assert not decode(V3, GPUS["rtx-4090"]).fits
    assert decode(V3, GPUS["m3-ultra"], precision="4-bit").fits
    assert not decode(V3, GPUS["m3-ultra"], precision="fp8").fits
    assert not decode(V3, GPUS["h800-sxm"], precision="fp8", n_gpus=8).fits
    assert decode(V3, GPUS["h800-sxm"], precision="fp8", n_gpus=16).fits
    assert decode(MODELS["gpt-oss-20b"], GPUS["rtx-4090-laptop"]).fits
    tight = decode(V3, GPUS["m3-ultra"])
    assert not decode(
        V3, GPUS["m3-ultra"], usable=tight.needed_bytes / tight.memory_bytes / 1.01
    ).fits


def test_decoding_works_on_the_latent_vectors():
    short, long = decode_flops(V3, 1), decode_flops(V3, 1001)
    assert long - short == pytest.approx(2 * 61 * 128 * (512 + 64 + 512) * 1000)
    dense = MODELS["llama-3.1-8b"]
    assert decode_flops(dense, 1001) - decode_flops(dense, 1) == pytest.approx(
        2 * 32 * 32 * 256 * 1000
    )


def test_a_batch_of_one_is_bound_by_bandwidth_and_a_huge_one_of_a_dense_model_by_compute():
    gpu = GPUS["h100-sxm"]
    assert decode(V3, gpu).limit == "bandwidth"
    assert decode(MODELS["llama-3.1-8b"], gpu, batch=4000, context=1).limit == "compute"


def test_the_exchange_bound_is_inverse_to_bandwidth():
    assert ExchangeBound(100.0).seconds_per_token * 2 == ExchangeBound(50.0).seconds_per_token
    assert ExchangeBound(50.0).exchange_seconds == pytest.approx(120.96e-6)
    with pytest.raises(ValueError, match="gb_s"):
        ExchangeBound(0.0)
    for name in ("dispatch_bytes", "combine_bytes"):
        with pytest.raises(ValueError, match=f"{name}: got 0.0, allowed is a number > 0"):
            ExchangeBound(**{name: 0.0})


# Training --------------------------------------------------------------------------------------


@given(
    name=NAMES,
    tokens=st.floats(1e9, 1e14),
    mfu=st.floats(0.01, 0.99),
    price=st.floats(0.1, 20.0),
    gpu=st.sampled_from(sorted(GPUS)),
)
@settings(max_examples=60, deadline=None)
def test_hours_and_money_follow_their_definition(name, tokens, mfu, price, gpu):
    cost = TrainingCost(
        name, tokens, gpu, mfu=Range.exact(mfu), dollars_per_hour=Range.exact(price)
    )
    result = cost.result()
    assert result.gpu_hours.mid * 3600 * mfu * GPUS[gpu].peak_flops() == pytest.approx(
        result.train_flops
    )
    assert result.dollars.mid == pytest.approx(price * result.gpu_hours.mid)
    assert cost.mfu_of_hours(result.gpu_hours.mid) == pytest.approx(mfu)
    assert result.energy_mwh.low <= result.energy_mwh.mid <= result.energy_mwh.high
    assert result.gpu_hours.low == result.gpu_hours.high


def test_a_better_utilisation_is_cheaper_and_ends_stay_in_order():
    result = TrainingCost().result()
    for span in (result.gpu_hours, result.dollars, result.energy_mwh):
        assert span.low < span.mid < span.high
    more = TrainingCost(extra_hours=124e3, n_gpus=2048).result()
    assert more.gpu_hours.mid - result.gpu_hours.mid == pytest.approx(124e3)
    assert more.days.mid == pytest.approx(more.gpu_hours.mid / 2048 / 24)
    assert result.days is None


def test_every_assumption_is_named_with_unit_and_source():
    cost = TrainingCost(mfu=Range(0.3, 0.4, 0.5))
    named = {a.name: a for a in cost.result().assumptions}
    assert {"tokens", "flops_per_token", "peak", "mfu", "dollars_per_hour", "extra_hours", "power",
            "power_share", "pue"} == set(named)  # fmt: skip
    assert all(a.unit and a.source for a in named.values())
    assert named["mfu"].value == Range(0.3, 0.4, 0.5)
    assert named["mfu"].source == "given"
    assert named["dollars_per_hour"].source.startswith("default")


def test_a_dense_405b_on_the_same_tokens_costs_ten_times_the_operations():
    v3 = TrainingCost("deepseek-v3")
    dense = TrainingCost("llama-3.1-405b", tokens=14.8e12)
    assert dense.train_flops / v3.train_flops == pytest.approx(9.9, abs=0.2)
    assert v3.with_model("llama-3.1-405b").n_tokens == 15.6e12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "gpt-5"}, "model: got 'gpt-5'"),
        ({"gpu": "h900"}, "gpu: got 'h900', allowed is one of a100-sxm"),
        ({"tokens": -1.0}, "tokens: got -1.0"),
        ({"model": "mixtral-8x7b"}, "Mixtral-8x7B has no published number"),
        ({"mfu": Range.exact(0.0)}, "mfu: got 0.0"),
        ({"mfu": Range.exact(1.5)}, "mfu: got 1.5"),
        ({"formula": "8ND"}, "formula: got '8ND'"),
        ({"precision": "int1"}, "precision: got 'int1'"),
        ({"pue": Range.exact(0.5)}, "pue: got 0.5"),
        ({"context": 0}, "context: got 0"),
    ],
)
def test_a_wrong_setting_is_named(change, message):
    with pytest.raises(ValueError) as error:
        TrainingCost(**change)
    assert message in str(error.value)


def test_a_range_is_in_order():
    with pytest.raises(ValueError, match="low <= mid <= high"):
        Range(2, 1, 3)
    assert Range(1, 2, 4).inverse(lambda x: 1 / x) == Range(0.25, 0.5, 1)


def test_a_serving_day_has_no_more_cached_tokens_than_it_reads():
    with pytest.raises(ValueError, match="cached_tokens"):
        ServingDay(cached_tokens=1e15)


# Hardware --------------------------------------------------------------------------------------


def test_every_figure_of_the_hardware_has_a_unit_and_a_source():
    text = files("moe.cost").joinpath("hardware.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    for row in rows:
        if row["field"] in FIGURES:
            assert row["unit"] and row["source"]
            assert row["check"] in {"verified", "second-hand", "unverified"}
            assert float(row["value"]) > 0
    assert {row["field"] for row in rows} == {"name", "kind", *FIGURES}
    assert len({(row["key"], row["field"]) for row in rows}) == len(rows)


def test_the_machines_that_the_story_needs():
    asked = {"a100-sxm", "h100-sxm", "h100-pcie", "h800-sxm", "h20-sxm", "h200-sxm", "b200-sxm"}
    assert asked <= set(GPUS)
    assert {"data centre", "desktop", "laptop", "apple"} == {gpu.kind for gpu in GPUS.values()}
    for alias, key in ALIASES.items():
        assert find_gpu(alias.upper()) is GPUS[key]
    h800, h100 = GPUS["h800-sxm"], GPUS["h100-sxm"]
    assert (h800.bf16_tflops, h800.memory_gb_s) == (h100.bf16_tflops, h100.memory_gb_s)
    assert h800.nvlink_gb_s < h100.nvlink_gb_s


def test_a_source_holds_the_figure_that_it_is_named_for():
    """The core package 0.12.0 has no file for H800 and H20; the DGX B200 has 400 Gbit/s a GPU."""
    in_core = {"a100-sxm", "h100-sxm", "h100-pcie", "h200-sxm", "b200-sxm"}
    for gpu in GPUS.values():
        for figure, source in gpu.sources.items():
            assert "(core 0.12.0)" not in source or gpu.key in in_core
            if "pull request" in source:
                assert gpu.checks[figure] != "verified"
    assert all("pull request" in GPUS["h800-sxm"].sources[f] for f in ("bf16_tflops", "power_w"))
    assert (
        "350" in GPUS["h20-sxm"].sources["power_w"] and "700" in GPUS["h20-sxm"].sources["power_w"]
    )
    assert GPUS["b200-sxm"].network_gb_s == 400 / 8
    assert "DGX B200 user guide" in GPUS["b200-sxm"].sources["network_gb_s"]


def test_a_precision_without_units_runs_at_the_next_wider_one():
    assert GPUS["a100-sxm"].peak_flops("fp4") == 312e12
    assert GPUS["h100-sxm"].peak_flops("fp4") == 1978e12
    for gpu in GPUS.values():
        assert gpu.peak_flops("bf16") <= gpu.peak_flops("fp8") <= gpu.peak_flops("fp4")
