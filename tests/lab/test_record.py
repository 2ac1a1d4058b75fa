"""What is recorded of this library's models is what they do; the samples are such recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import moe
from moe.data import TextTask, load_corpus, windows
from moe.lab.record import (
    Document,
    held_out_documents,
    read_documents,
    record_layer,
    record_tiny,
    record_trainer,
)
from moe.lab.samples import CSV, SAMPLES, thinned
from moe.traces import read_logits_csv
from moe.training import Trainer, TrainSettings

SMALL = TrainSettings(steps=3, batch=64, d_model=16, d_expert=8, n_experts=6)


@pytest.mark.parametrize("router", list(moe.ROUTERS))
def test_a_layer_of_any_router_is_recorded(router: str, rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(8, 4, 8, router=router)
    x_ND = rng.standard_normal((24, 8)).astype(np.float32)
    ids_N = np.arange(24) % 5
    trace = record_layer(layer, x_ND, ids_N, model=router)
    routing, again = layer.route(x_ND, token_ids=ids_N), trace.routing(0)
    assert np.array_equal(np.sort(again.proposed_load), np.sort(routing.proposed_load))
    dense = np.zeros((24, 8))
    dense[routing.token_A, routing.expert_A] = routing.weight_A
    mine = np.zeros((24, 8))
    mine[again.token_A, again.expert_A] = again.weight_A
    assert np.allclose(mine, dense, atol=1e-6)


def test_the_tiny_model_is_recorded_token_by_token() -> None:
    trainer = Trainer(SMALL)
    for _ in trainer.run():
        pass
    documents = [Document("a", b"hello there"), Document("b", b"x = 1\n"), Document("a", b"bye")]
    trace = record_trainer(trainer, documents)
    assert trace.tokens[:3] == ("h", "e", "l") and trace.tokens[16] == "⏎"
    assert trace.domains == ("a", "b")
    assert trace.domain_N.tolist() == [0] * 11 + [1] * 6 + [0] * 3
    assert trace.sequence_N.tolist() == [0] * 11 + [1] * 6 + [2] * 3
    x_ND = trainer.embed(windows(b"x = 1\n", SMALL.context))
    routing = trainer.layer.route(x_ND)
    assert np.array_equal(trace.expert_LNK[0, 11:17].reshape(-1), routing.expert_A)
    alone = record_trainer(trainer, documents[:1])
    assert alone.domain_N is None and alone.domains == ()
    with pytest.raises(ValueError, match="text: got no bytes"):
        record_trainer(trainer, [])
    with pytest.raises(ValueError, match="task: got 'spirals'"):
        record_trainer(Trainer(TrainSettings(task="spirals", steps=1)), documents)


def test_the_tiny_model_is_recorded_on_text_it_never_learned() -> None:
    recorded = record_tiny(SMALL, max_tokens=100)
    names = load_corpus().names
    assert recorded.trace.domains == names
    assert np.bincount(recorded.trace.domain_N).tolist() == [100] * len(names)
    assert "held-out" in recorded.notes[1]
    given = record_tiny(SMALL, [Document("mine", b"some text")], max_tokens=4)
    assert given.trace.tokens == ("s", "o", "m", "e")


def test_held_out_texts_are_never_drawn() -> None:
    task = TextTask(load_corpus())
    stream, labels = task.corpus.data.tobytes(), task.corpus.labels
    held = task._segments[1]
    for label, text in task.held_out_texts(3, 50):
        inside = [
            low for low, high, own in held if own == label and stream[low:high].startswith(text)
        ]
        assert len(text) == 50 and inside
        assert (labels[inside[0] : inside[0] + 50] == label).all()
    assert len(held_out_documents(Trainer(SMALL), 2, 20)) == 2 * len(task.corpus.domains)


def test_texts_are_files_or_folders(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for name in ("b.txt", "a.txt", "more/a.txt"):
        (tmp_path / name).write_text(name)
    found = read_documents([tmp_path])
    assert [(one.domain, one.text) for one in found] == [("a", b"a.txt"), ("b", b"b.txt")]
    twice = read_documents([tmp_path / "a.txt", tmp_path / "more"])
    assert len({one.domain for one in twice}) == 2
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "none").mkdir()
    for wrong in ("empty.txt", "none", "no-such"):
        with pytest.raises(ValueError, match="got"):
            read_documents([tmp_path / wrong])


def test_without_the_reference_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from moe.lab import record_hf

    monkeypatch.setattr(record_hf.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"torch and transformers is missing; .*moescope\[hf\]"):
        record_hf.record_hf("any", [Document("a", b"text")])


# The samples ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_sample_is_small_and_what_its_router_chose(sample) -> None:
    assert sample.path.stat().st_size < 300_000
    trace = sample.load()
    assert len(trace.domains) >= 4 and trace.n_tokens > 1000
    routing = sample.settings.make_router().choose(trace.logits_LNE[0])
    if sample.settings.balance == "none":
        assert np.array_equal(routing.expert_A, trace.expert_LNK[0].reshape(-1))
        assert np.allclose(routing.weight_A, trace.weight_LNK[0].reshape(-1), atol=1e-6)
    else:  # the bias that moved the choice is not in the trace, and not in the weights
        same = routing.expert_A == trace.expert_LNK[0].reshape(-1)
        assert 0.3 < same.mean() < 1


def test_samples_differ_as_their_titles_say() -> None:
    load = {sample.name: sample.load().routing(0).load for sample in SAMPLES}
    assert moe.metrics.max_vio(load["collapsed"]) > 3 * moe.metrics.max_vio(load["balanced"])
    texts = {sample.load().tokens for sample in SAMPLES}
    assert len(texts) == 1


def test_the_csv_is_the_first_samples_logits() -> None:
    trace = read_logits_csv(CSV, moe.make_router("topk", k=2))
    whole = thinned(SAMPLES[0].load(), 576)
    assert np.array_equal(trace.logits_LNE, whole.logits_LNE)
    assert trace.tokens == whole.tokens
    assert CSV.stat().st_size < 300_000
