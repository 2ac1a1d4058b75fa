"""Training of the language model: it learns, goes on after any kill, and says what it does."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from moe import kernels
from moe.balance import make_balancer
from moe.data.corpus import Corpus, Domain
from moe.errors import CheckpointError
from moe.lm.data import ByteWindows
from moe.lm.optimizers import memory
from moe.lm.run_folder import STATE, STEPS, open_run, read_steps, save_state, train_in
from moe.lm.schedule import rate_share
from moe.lm.settings import LMTrainSettings
from moe.lm.training import LMTrainer, evaluate, slowed

TINY = dict(
    d_model=16, n_heads=2, n_layers=2, n_experts=4, k=2, d_expert=8, context=16, batch=4, steps=6,
    warm_up=2,
)  # fmt: skip


def tiny(**more: object) -> LMTrainSettings:
    return LMTrainSettings(**TINY | more)


def ladder() -> ByteWindows:
    """A text with a plain rule, in two domains: what follows a letter is the next letter."""
    up = np.frombuffer(bytes(range(97, 117)) * 300, np.uint8)
    return ByteWindows(Corpus((Domain("up", "", "", up), Domain("down", "", "", up[::-1]))), 16)


def bits(trainer: LMTrainer) -> bytes:
    return b"".join(array.tobytes() for array in trainer.model.arrays().values())


@pytest.mark.parametrize("dense", ["none", "active", "total"])
def test_a_model_learns_and_its_records_say_so(dense: str) -> None:
    trainer = LMTrainer(tiny(dense=dense, steps=30, eval_every=10, learning_rate=0.03), ladder())
    records = list(trainer.run())
    assert [r.step for r in records] == list(range(30))
    assert records[0].loss == pytest.approx(math.log(256), rel=1e-5)
    assert [r.step for r in records if r.held_out is not None] == [9, 19, 29]
    found = trainer.evaluate()
    assert records[-1].held_out == found.bits_per_byte < records[9].held_out < 4
    assert set(found.domains) == {"up", "down"}
    assert records[-1].tokens == 30 * 4 * 16
    assert all(len(r.max_vio) == (2 if dense == "none" else 0) for r in records)
    assert all(b.seconds > a.seconds for a, b in itertools.pairwise(records))
    json.dumps([r.as_json() for r in records])


def test_dense_models_have_the_parameters_that_they_are_compared_at() -> None:
    sizes = dict(n_experts=8, k=2, d_expert=6, n_shared=1)
    widths = {d: tiny(dense=d, **sizes).model.dense_width for d in ("active", "total")}
    assert widths == {"active": 3 * 6, "total": 9 * 6}
    mixture = LMTrainer(tiny(**sizes), ladder()).model
    total = LMTrainer(tiny(dense="total", **sizes), ladder()).model
    gates = sum(layer.params["gate_DE"].size for layer in mixture.moe_layers)
    assert mixture.n_params == total.n_params + gates


def test_held_out_bits_are_those_of_every_window() -> None:
    trainer, windows = LMTrainer(tiny(), ladder()), ladder()
    window_MT, label_M = windows.held_out
    loss_MT = trainer.model.token_losses(window_MT[:, :-1], window_MT[:, 1:])
    found = evaluate(trainer.model, windows)
    assert found.tokens == loss_MT.size
    assert found.bits_per_byte == pytest.approx(loss_MT.mean() / math.log(2), rel=1e-6)
    assert found.domains["down"] == pytest.approx(
        loss_MT[label_M == 1].mean() / math.log(2), rel=1e-6
    )
    assert evaluate(trainer.model, windows, 5).tokens == 5 * 16


def test_rates_rise_stay_and_fall_to_the_runs_own_end() -> None:
    shares = [rate_share(step, 100, 10, 0.5) for step in range(100)]
    assert shares[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert set(shares[10:51]) == {1.0}
    assert shares[50:] == pytest.approx(np.arange(50, 0, -1) / 50)
    assert rate_share(99, 100, 0, 0.0) == 1.0


def test_muon_steps_the_matrices_of_blocks_and_adamw_the_rest() -> None:
    trainer = LMTrainer(tiny(optimizer="muon", balance="none", steps=2), ladder())
    before = {name: array.copy() for name, array in trainer.model.arrays().items()}
    trainer.step()
    trainer.step()
    kept = memory(trainer.optimizer)
    assert set(kept["momentum"]) | set(kept["mean"]) == set(before)
    assert {name.split(".")[-1] for name in kept["momentum"]} == {
        "w_qkv_DX", "w_out_XD", "w_gate_up_ED2F", "w_down_EFD",
    }  # fmt: skip
    assert "blocks.0.ffn.gate_DE" in kept["square"] and "embed_VD" in kept["square"]
    # The output begins at zero, so that the second step is the first that moves a block. All
    # singular values of what Muon adds to a matrix are about one, times the rate.
    moved = (trainer.model.arrays()["blocks.0.attention.w_qkv_DX"][:, :16]
             - before["blocks.0.attention.w_qkv_DX"][:, :16])  # fmt: skip
    rate = trainer.settings.muon_rate * rate_share(1, 2, 2, 0.5)
    assert np.all(np.linalg.svd(moved)[1][:8] > 0.3 * rate)
    assert np.linalg.svd(moved)[1].max() < 1.4 * rate


def test_only_the_steps_of_a_bias_shrink() -> None:
    both = slowed(make_balancer("bias(rate=0.5)+aux(coefficient=0.5)"), 0.1)
    assert [part.rate_name and getattr(part, part.rate_name) for part in both.parts] == [0.05, 0.5]


@pytest.mark.parametrize(
    "options",
    [
        dict(balance="bias", optimizer="muon", weight_decay=0.1),
        dict(balance="aux(scope=global)", router="noisy_topk"),
    ],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path: Path, options: dict) -> None:
    settings = tiny(**options)
    whole = LMTrainer(settings, ladder())
    expected = list(whole.run())
    for record in train_in(tmp_path, settings, windows=ladder(), save_seconds=0):
        if record.step == 2:
            break
    # As if it had been killed after a line of the step was written and before its state was.
    with (tmp_path / STEPS).open("a") as file:
        file.write('{"step": 3, "loss"')
    rest = list(train_in(tmp_path, settings, resume=True, windows=ladder()))
    assert [r.loss for r in rest] == [r.loss for r in expected[-len(rest) :]]
    assert bits(open_run(tmp_path, ladder())) == bits(whole)
    assert [r["loss"] for r in read_steps(tmp_path)] == [r.loss for r in expected]
    assert list(train_in(tmp_path, settings, resume=True, windows=ladder())) == []


SCRIPT = """
    import sys
    sys.path.insert(0, {here!r})
    from tests.lm.test_training import ladder, tiny
    from moe.lm.run_folder import train_in
    for record in train_in({folder!r}, tiny(steps=25), True, ladder(), save_seconds=0):
        print(record.step, flush=True)
"""


def _kill_at_random(folder: Path, kills: int, rng: np.random.Generator) -> bytes:
    here = str(Path(__file__).resolve().parents[2])
    script = textwrap.dedent(SCRIPT.format(here=here, folder=str(folder)))
    for left in range(kills, -1, -1):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            if left:
                for _ in range(int(rng.integers(1, 4))):
                    process.stdout.readline()
                time.sleep(rng.uniform(0, 0.02))  # anywhere in a step, or in writing a state
                process.kill()
            else:
                process.stdout.read()
                assert process.wait() == 0
    return bits(open_run(folder, ladder()))


def test_killed_twice_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = LMTrainer(tiny(steps=25), ladder())
    list(whole.run())
    assert _kill_at_random(tmp_path, 2, np.random.default_rng(0)) == bits(whole)


@pytest.mark.soak
def test_killed_twenty_times_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = LMTrainer(tiny(steps=25), ladder())
    list(whole.run())
    assert _kill_at_random(tmp_path, 20, np.random.default_rng(1)) == bits(whole)


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    # Wide enough that kernels share their work.
    settings = tiny(d_model=64, d_expert=64, n_experts=8, batch=16, context=16, steps=3)
    ends = []
    for threads in (1, 2):
        monkeypatch.setenv("MOE_NUM_THREADS", str(threads))
        assert kernels.num_threads() == threads
        trainer = LMTrainer(settings, ladder())
        list(trainer.run())
        ends.append(bits(trainer))
    assert ends[0] == ends[1]


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    list(train_in(tmp_path, tiny(steps=1, warm_up=0), windows=ladder()))
    with pytest.raises(ValueError, match="which holds a run"):
        train_in(tmp_path, tiny(steps=1), windows=ladder())
    with pytest.raises(ValueError, match="steps: got 5, allowed is 1, as the run has it"):
        train_in(tmp_path, tiny(steps=5), resume=True, windows=ladder())
    other = ByteWindows(Corpus((Domain("o", "", "", np.arange(9999).astype(np.uint8)),)), 16)
    with pytest.raises(ValueError, match="corpus: got a text with the hash"):
        open_run(tmp_path, other)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="out: got the file"):
        train_in(tmp_path / "file", tiny())


def test_a_broken_state_is_refused(tmp_path: Path) -> None:
    list(train_in(tmp_path, tiny(steps=2), windows=ladder()))
    path = tmp_path / STATE
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        size = int.from_bytes(whole[:8], "little")
        broken = bytearray(whole)
        for place in rng.integers(0, 8 + size, rng.integers(1, 4)):
            broken[place] = rng.integers(256)
        path.write_bytes(bytes(broken))
        try:
            open_run(tmp_path, ladder())
        except (CheckpointError, ValueError) as error:
            assert str(error)
    for cut in (0, 9, size // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError):
            open_run(tmp_path, ladder())


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    list(train_in(tmp_path, tiny(steps=2), windows=ladder()))
    trainer = open_run(tmp_path, ladder())
    trainer.settings = dataclasses.replace(trainer.settings, n_layers=3)
    save_state(trainer, tmp_path / STATE)
    with pytest.raises(CheckpointError, match="other arrays"):
        open_run(tmp_path, ladder())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(dense="wide"), "dense: got 'wide'"),
        (dict(dense="active", n_experts=0), "dense: got 'active' with n_experts 0"),
        (dict(optimizer="sgd"), "optimizer: got 'sgd'"),
        (dict(balance="nothing"), "balance: got 'nothing'"),
        (dict(balance="bias", router="hash"), "balance: got 'bias' with router 'hash'"),
        (dict(steps=0), "steps: got 0"),
        (dict(decay=1.5), "decay: got 1.5"),
        (dict(corpus="web"), "corpus: got 'web'"),
        (dict(learning_rate=0.0), "learning_rate: got 0"),
    ],
)
def test_settings_are_checked(options: dict, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        tiny(**options)
    assert words in str(caught.value)
