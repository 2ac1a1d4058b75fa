"""What is recorded of this library's models is what they do; the samples are such recordings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import moe
from docs.generator.samples import thinned, write_samples
from moe.data import TextTask, load_corpus, windows
from moe.data import documents as documents_module
from moe.data.documents import Document, read_documents
from moe.traces import load_trace, make_trace, read_logits_csv, samples
from moe.traces.record import held_out_documents, record_layer, record_tiny, record_trainer
from moe.traces.samples import CSV, SAMPLES
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
    stream = task.corpus.data.tobytes()
    sizes = [domain.data.size for domain in task.corpus.domains]
    labels = np.repeat(np.arange(len(sizes)), sizes)
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
    from moe.traces import record_hf

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


# Options and limits -----------------------------------------------------------------------------


def test_a_recorded_layer_has_what_is_said_of_it(rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(8, 4, 8, router="hash")
    x_ND, ids_N = rng.standard_normal((6, 8)).astype(np.float32), np.arange(6) * 3
    trace = record_layer(layer, x_ND, ids_N, model="mine", tokens=list("abcdef"))
    assert trace.token_ids_N.tolist() == ids_N.tolist() and trace.model == "mine"
    assert trace.tokens == tuple("abcdef") and trace.layers == (0,)
    other = record_layer(layer, x_ND, ids_N + 1)
    assert not np.array_equal(other.expert_LNK, trace.expert_LNK)  # hash looks at the ids


def test_texts_of_two_domains_are_told_apart_and_of_one_are_not() -> None:
    trainer = Trainer(SMALL)
    for domains, named in ((("a", "a"), ()), (("b", "a"), ("b", "a")), (("a", "b"), ("a", "b"))):
        trace = record_trainer(trainer, [Document(d, b"xy") for d in domains], model="m")
        assert trace.domains == named and trace.model == "m" and trace.context == SMALL.context
        assert (trace.domain_N is None) == (not named)
        assert trace.token_ids_N.tolist() == [120, 121] * 2
    assert record_trainer(trainer, [Document("a", b"x")]).model == "tiny"
    with pytest.raises(ValueError, match="text: got no bytes"):
        record_trainer(trainer, [Document("a", b"")])


def test_the_notes_say_how_the_tiny_model_was_trained() -> None:
    settings = replace(SMALL, router="switch", balance="none", steps=4)
    losses = [record.loss for record in Trainer(settings).run()]
    recorded = record_tiny(settings, max_tokens=8)
    assert recorded.notes == (
        "tiny model: 6 experts, router switch, balance none, 4 steps, last loss "
        f"{losses[-1]:.3f} nats per byte",
        "text: held-out parts of the labelled corpus",
    )
    n_domains = len(recorded.trace.domains)
    assert np.bincount(recorded.trace.sequence_N).tolist() == [2] * 4 * n_domains
    for given, recorded_tokens in ((1, n_domains * 4), (3, n_domains * 4)):
        assert record_tiny(settings, max_tokens=given).trace.n_tokens == recorded_tokens
    mine = record_tiny(settings, [Document("a", b"text" * 2000)])
    assert mine.trace.n_tokens == 4096 and len(mine.notes) == 1
    with pytest.raises(ValueError, match="max_tokens: got 0"):
        record_tiny(settings, max_tokens=0)
    with pytest.raises(ValueError, match="task: got 'spirals', allowed is 'text'"):
        held_out_documents(Trainer(replace(SMALL, task="spirals", steps=1)), 1, 1)


def test_a_text_has_a_byte_or_eight_million(tmp_path: Path, monkeypatch) -> None:
    assert documents_module.MAX_TEXT_BYTES == 8e6  # as the message and the documents say
    monkeypatch.setattr(documents_module, "MAX_TEXT_BYTES", 5)
    path = tmp_path / ("n" * 200 + ".txt")
    for size, fits in ((0, False), (1, True), (5, True), (6, False)):
        path.write_bytes(b"x" * size)
        if fits:
            assert read_documents([path])[0].text == b"x" * size
        else:
            with pytest.raises(ValueError, match=f"got {size}, allowed .*1..5"):
                read_documents([str(path)])
    with pytest.raises(ValueError, match=r"text: got .*none.*, allowed is a file or folder that"):
        read_documents([tmp_path / "none"])
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="allowed is a folder with files in it"):
        read_documents([tmp_path / "folder"])
    deep = tmp_path / ("d" * 200) / ("e" * 200)
    deep.mkdir(parents=True)
    for place in (tmp_path, deep):
        (place / "same.txt").write_bytes(b"x")
    names = [one.domain for one in read_documents([tmp_path / "same.txt", deep / "same.txt"])]
    assert names[1] == str(deep / "same.txt")[-256:] and len(names[1]) == 256
    assert names[0] == str(tmp_path / "same.txt")


@pytest.mark.parametrize(
    ("n_tokens", "step"), [(1, 20), (99, 1), (100, 1), (49, 2), (51, 1), (50, 2), (0, 20), (9, 11)]
)
def test_a_thinned_trace_has_whole_sequences_evenly_apart(n_tokens: int, step: int) -> None:
    experts = np.arange(100)[None, :, None] % 4
    trace = make_trace(experts, np.ones(experts.shape), 4, sequence_N=np.arange(100) // 5)
    kept = np.unique(thinned(trace, n_tokens).sequence_N).tolist()
    assert kept == list(range(20))[::step]
    assert thinned(trace, n_tokens).n_tokens == 5 * len(kept)


def test_samples_are_written_as_their_settings_say(tmp_path: Path, monkeypatch) -> None:
    """The same code with a model of three steps: files, names, texts and steps are in place."""
    quick = tuple(
        replace(sample, settings=replace(SMALL, balance=sample.settings.balance, steps=1 + i))
        for i, sample in enumerate(SAMPLES)
    )
    monkeypatch.setattr(samples, "FOLDER", tmp_path / "made")
    monkeypatch.setattr(samples, "CSV", tmp_path / "made" / "router-logits.csv")
    monkeypatch.setattr(samples, "SAMPLES", quick)
    paths = write_samples()
    names = [f"{sample.name}.npz" for sample in SAMPLES]
    assert [path.name for path in paths] == [*names, "router-logits.csv"]
    for sample, path in zip(quick, paths):
        trace = load_trace(path)
        assert trace.model == f"tiny ({sample.name})"
        assert np.bincount(trace.sequence_N).tolist() == [96] * 4 * len(trace.domains)
    table = read_logits_csv(paths[-1], moe.make_router("topk", k=2))
    assert np.array_equal(table.logits_LNE, thinned(quick[0].load(), 576).logits_LNE)
    assert {one.settings.steps for one in SAMPLES} == {60, 600}
    for sample in SAMPLES:
        assert ("60 steps" in sample.title) == (sample.settings.steps == 60)
        assert ("collapsed" in sample.title) == (sample.settings.balance == "none")
        assert sample.load().model == f"tiny ({sample.name})"
