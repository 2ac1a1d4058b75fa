"""The corpus that is on every machine, windows drawn from it, and tasks in the plane."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe import data
from moe.data import corpus as corpus_file
from moe.data.planar import PLANAR_TASKS, linear_map_truth
from moe.data.text import BLOCK, HELD_EVERY


def test_corpus_is_labelled_bounded_and_hashed() -> None:
    corpus = data.load_corpus()
    assert {"prose", "python"} <= set(corpus.names)
    assert set(corpus.names) | set(corpus.missing) == set(corpus_file.DOMAINS)
    for domain in corpus.domains:
        assert 2_000 <= domain.data.size <= corpus_file.MAX_DOMAIN_BYTES
        assert domain.title in corpus.describe()
    corpus_file.load_corpus.cache_clear()
    assert data.load_corpus().sha256 == corpus.sha256
    assert data.load_corpus(("prose",)).sha256 != corpus.sha256


def test_a_missing_part_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(corpus_file, "_library", lambda: tmp_path)
    corpus_file.load_corpus.cache_clear()
    corpus = data.load_corpus()
    corpus_file.load_corpus.cache_clear()
    assert set(corpus.missing) == {"html", "tables"}
    assert "not on this machine: html, tables" in corpus.describe()
    with pytest.raises(ValueError, match="allowed is a text file of your own"):
        data.load_corpus(("html",))
    corpus_file.load_corpus.cache_clear()


def test_unknown_domain_is_refused() -> None:
    with pytest.raises(ValueError, match="domains: got 'poems', allowed is any of prose"):
        data.load_corpus(("poems",))


def test_hostile_files_are_refused_before_reading(tmp_path: Path) -> None:
    big, small = tmp_path / "big", tmp_path / "small"
    with big.open("wb") as file:
        file.truncate(50_000_000_000)  # a sparse file: reading it would not fit in memory
    small.write_bytes(b"hello")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, word in (
        (big, "50,000,000,000 bytes"),
        (small, "5 bytes"),
        (tmp_path, "regular file"),
        (fifo, "regular file"),
        (tmp_path / "none", "readable file"),
        ("a\0b", "readable file"),
    ):
        with pytest.raises(ValueError, match=word):
            data.from_file(path)


def test_own_text_of_any_bytes_trains(tmp_path: Path) -> None:
    path = tmp_path / "own.bin"
    path.write_bytes(bytes(range(256)) * 40)
    task = data.make_task("text", text=str(path))
    inputs_NC, target_N = task.draw(np.random.default_rng(0), 100)
    assert ((inputs_NC[:, -1].astype(int) + 1) % 256 == target_N).all()
    with pytest.raises(ValueError, match="text: got"):
        data.make_task("moons", text=str(path))
    with pytest.raises(ValueError, match="task: got 'sums', allowed is one of text, spirals"):
        data.make_task("sums")


def labelled_corpus(sizes: list[int]) -> data.Corpus:
    """Domain i holds only bytes in [40 i, 40 i + 40), which say where they stand."""
    return data.Corpus(
        tuple(
            data.Domain(str(i), str(i), "", (40 * i + np.arange(n) % 40).astype(np.uint8))
            for i, n in enumerate(sizes)
        )
    )


@given(
    sizes=st.lists(st.integers(2_000, 60_000), min_size=1, max_size=4),
    context=st.integers(1, 64),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_windows_never_straddle_domains_nor_the_held_out_text(
    sizes: list[int], context: int, seed: int
) -> None:
    corpus = labelled_corpus(sizes)
    task = data.TextTask(corpus, context)
    for draw in (task.draw, task.held_out):
        inputs_NC, target_N, domain_N = draw(np.random.default_rng(seed), 200, with_domain=True)
        assert (inputs_NC // 40 == domain_N[:, None]).all() and (target_N // 40 == domain_N).all()
        steps = np.diff(np.c_[inputs_NC, target_N].astype(int), axis=1) % 40
        assert (steps == 1).all()  # neighbours in the text
        again = draw(np.random.default_rng(seed), 200, with_domain=True)
        assert all(np.array_equal(a, b) for a, b in zip(again, (inputs_NC, target_N, domain_N)))


def test_held_out_text_is_never_trained_on() -> None:
    position = np.arange(3 * BLOCK)
    text = (position % BLOCK >= BLOCK - BLOCK // HELD_EVERY).astype(np.uint8)
    task = data.TextTask(data.Corpus((data.Domain("d", "d", "", text),)), 4)
    rng = np.random.default_rng(0)
    inputs_NC, target_N = task.draw(rng, 20_000)
    assert not inputs_NC.any() and not target_N.any()
    inputs_NC, target_N = task.held_out(rng, 2_000)
    assert inputs_NC.all() and target_N.all()


def test_windows_of_a_sentence_end_with_each_byte() -> None:
    made = data.windows(b"abc", 3)
    assert made.tolist() == [[10, 10, 97], [10, 97, 98], [97, 98, 99]]


def test_every_byte_has_a_printable_form() -> None:
    shown = [data.token_text(byte) for byte in range(256)]
    assert len(set(shown)) == 256 and all(text.isprintable() for text in shown)
    assert shown[32] == "␣" and shown[65] == "A"


@pytest.mark.parametrize("name", list(PLANAR_TASKS))
def test_planar_tasks_are_deterministic_and_in_range(name: str) -> None:
    task = PLANAR_TASKS[name]
    x_N2, target, cluster_N = task.draw(np.random.default_rng(3), 4000, with_domain=True)
    again = task.draw(np.random.default_rng(3), 4000)
    assert np.array_equal(x_N2, again[0]) and np.array_equal(target, again[1])
    assert x_N2.shape == (4000, 2) and np.abs(x_N2).max() < 4 and cluster_N.min() == 0
    if task.n_classes:
        share = np.bincount(target, minlength=task.n_classes) / 4000
        assert np.abs(share - 1 / task.n_classes).max() < 0.03
    assert len(task.sha256) == 64


def test_linear_maps_follow_their_matrices() -> None:
    x_N2, target_N2, cluster_N = PLANAR_TASKS["linear_maps"].draw(
        np.random.default_rng(0), 500, with_domain=True
    )
    centre_C2, map_C22 = linear_map_truth()
    for x, y, c in zip(x_N2, target_N2, cluster_N, strict=True):
        assert np.allclose(x @ map_C22[c], y)
        assert np.linalg.norm(x - centre_C2[c]) < 1.5


def test_checkerboard_and_moons_by_their_geometry() -> None:
    x_N2, target_N = PLANAR_TASKS["checkerboard"].draw(np.random.default_rng(0), 500)
    assert all((int(np.floor(a)) + int(np.floor(b))) % 2 == t for (a, b), t in zip(x_N2, target_N))
    x_N2, target_N = PLANAR_TASKS["moons"].draw(np.random.default_rng(0), 500)
    assert x_N2[target_N == 0, 1].mean() > x_N2[target_N == 1, 1].mean()
