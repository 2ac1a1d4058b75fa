"""The corpus that is on every machine, windows drawn from it, and tasks in the plane."""

from __future__ import annotations

import os
import random
import subprocess
import sys
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
    corpus_file._load_corpus.cache_clear()
    again = data.load_corpus()
    assert again is not corpus and again.sha256 == corpus.sha256
    assert data.load_corpus(("prose",)).sha256 != corpus.sha256


def test_the_hash_is_the_same_in_another_process() -> None:
    code = "from moe import data; print(data.load_corpus().sha256)"
    root = Path(corpus_file.__file__).parents[2]
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert hashes == {data.load_corpus().sha256}


def test_only_the_domains_asked_for_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    watched = {
        name: (title, source, lambda name=name, make=make: (read.append(name), make())[1])
        for name, (title, source, make) in corpus_file.DOMAINS.items()
    }
    monkeypatch.setattr(corpus_file, "DOMAINS", watched)
    corpus_file._load_corpus.cache_clear()
    corpus = data.load_corpus(["c", "prose"], max_bytes_per_domain=3_000)
    corpus_file._load_corpus.cache_clear()
    assert read == ["c", "prose"] and corpus.names == ("c", "prose")
    assert [domain.data.size for domain in corpus.domains] == [3_000, 3_000]
    whole = data.load_corpus(("c", "prose"))
    for short, long in zip(corpus.domains, whole.domains):
        assert np.array_equal(short.data, long.data[:3_000])


def test_a_file_beside_the_users_script_is_not_the_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "difflib.py").write_text("# mine\n" * 5_000)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "difflib", raising=False)
    before = data.load_corpus(("python",)).sha256
    corpus_file._load_corpus.cache_clear()
    assert data.load_corpus(("python",)).sha256 == before


@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_a_stream_is_all_domains_one_after_the_other(sizes: list[int]) -> None:
    corpus = labelled_corpus(sizes)
    assert corpus.data.dtype == np.uint8
    assert corpus.data.size == corpus.n_bytes == sum(sizes)
    assert (corpus.data // 40 == np.repeat(np.arange(len(sizes)), sizes)).all()
    with pytest.raises(ValueError, match="read-only"):
        corpus.data[0] = 1


def test_a_missing_part_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(corpus_file, "_library", lambda: tmp_path)
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)  # importing it now fails
    corpus_file._load_corpus.cache_clear()
    corpus = data.load_corpus()
    assert corpus.missing == ("prose", "python", "html", "tables")
    assert corpus.names == ("c", "names")
    assert "not on this machine: prose, python, html, tables" in corpus.describe()
    assert data.TextTask(corpus).draw(np.random.default_rng(0), 9)[0].shape == (9, 6)
    with pytest.raises(ValueError, match="allowed is a text file of your own"):
        data.load_corpus(("html",))
    corpus_file._load_corpus.cache_clear()


def test_bad_requests_for_a_corpus_are_refused() -> None:
    with pytest.raises(ValueError, match="domains: got 'poems', allowed is any of prose"):
        data.load_corpus(("poems",))
    for names in ((), ("c", "c")):
        with pytest.raises(ValueError, match="allowed are one or more, each once"):
            data.load_corpus(names)
    with pytest.raises(ValueError, match="max_bytes_per_domain: got 10"):
        data.load_corpus(max_bytes_per_domain=10)
    with pytest.raises(ValueError, match="number of domains: got 0"):
        data.Corpus(())
    with pytest.raises(ValueError, match="data: got int64"):
        data.Domain("d", "d", "", np.arange(3))


def test_hostile_files_are_refused_before_reading(tmp_path: Path) -> None:
    big, small = tmp_path / "big", tmp_path / "small"
    with big.open("wb") as file:
        file.truncate(50_000_000_000)  # a sparse file: reading it would not fit in memory
    small.write_bytes(b"hello")
    empty = tmp_path / "empty"
    empty.touch()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, word in (
        (big, "50,000,000,000 bytes"),
        (small, "5 bytes"),
        (empty, "of 0 bytes, allowed are 2,000 to 8,000,000"),
        (tmp_path, "a directory, allowed is a regular file"),
        (fifo, "not a regular file"),
        (tmp_path / "none", "does not exist, allowed is a readable file"),
        ("a\0b", "readable file"),
    ):
        with pytest.raises(ValueError, match=word):
            data.from_file(path)


def test_a_file_that_grows_while_it_is_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 3_000)
    whole = Path.stat

    def stat_then_grow(self: Path, **options: bool) -> os.stat_result:
        seen = whole(self, **options)
        if self == path and seen.st_size < 5_000:
            path.write_bytes(b"x" * 50_000)
        return seen

    monkeypatch.setattr(Path, "stat", stat_then_grow)
    monkeypatch.setattr(Path, "is_file", lambda self: True)
    with pytest.raises(ValueError, match="bytes of text: got 4001"):
        data.from_file(path, max_bytes=4_000)


def test_given_text_is_its_bytes() -> None:
    raw = ("é\ud800\0\r\n" * 500).encode("utf-8", "surrogatepass")  # any bytes are allowed
    assert bytes(data.from_bytes(raw).data) == raw
    with pytest.raises(ValueError, match="bytes of text: got 5"):
        data.from_bytes(b"hello")


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


@given(run=st.integers(1, 200), size=st.integers(0, 500), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_runs_are_neighbours_in_one_stretch_of_text(run: int, size: int, seed: int) -> None:
    task = data.TextTask(labelled_corpus([3_000, 25_000]), 5)
    inputs_NC, target_N, domain_N = task.draw(
        np.random.default_rng(seed), size, with_domain=True, run=run
    )
    assert inputs_NC.shape == (size, 5) and target_N.shape == domain_N.shape == (size,)
    assert (inputs_NC // 40 == domain_N[:, None]).all() and (target_N // 40 == domain_N).all()
    same = np.arange(1, size) % run != 0  # not the first of its run
    assert (inputs_NC[1:, -1] == target_N[:-1])[same].all()
    assert (domain_N[1:] == domain_N[:-1])[same].all()


def test_held_out_text_is_never_trained_on() -> None:
    position = np.arange(3 * BLOCK)
    text = (position % BLOCK >= BLOCK - BLOCK // HELD_EVERY).astype(np.uint8)
    task = data.TextTask(data.Corpus((data.Domain("d", "d", "", text),)), 4)
    rng = np.random.default_rng(0)
    inputs_NC, target_N = task.draw(rng, 20_000)
    assert not inputs_NC.any() and not target_N.any()
    inputs_NC, target_N = task.held_out(rng, 2_000)
    assert inputs_NC.all() and target_N.all()


@given(context=st.integers(1, 64), size=st.integers(0, 300), seed=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_draws_have_small_types_and_the_same_seed_gives_the_same(
    context: int, size: int, seed: int
) -> None:
    task = data.TextTask(labelled_corpus([3_000, 25_000]), context)
    for draw in (task.draw, task.held_out):
        drawn = draw(np.random.default_rng(seed), size, with_domain=True)
        assert drawn[0].dtype == np.uint8 and drawn[0].shape == (size, context)
        again = draw(np.random.default_rng(seed), size, with_domain=True)
        assert all(np.array_equal(a, b) for a, b in zip(drawn, again))
        with pytest.raises(ValueError, match="size: got -1"):
            draw(np.random.default_rng(seed), -1)


def test_every_training_position_is_about_equally_likely() -> None:
    task = data.TextTask(labelled_corpus([10_000, 30_000]), 6)
    *_, domain_N = task.draw(np.random.default_rng(0), 40_000, with_domain=True)
    assert abs(domain_N.mean() - 0.75) < 0.01  # three quarters of the text


@given(text=st.binary(max_size=40), context=st.integers(1, 12))
def test_windows_by_hand(text: bytes, context: int) -> None:
    made = data.windows(text, context)
    assert made.shape == (len(text), context) and made.dtype == np.uint8
    for i, window in enumerate(made):
        assert bytes(window) == (b"\n" * context + text[: i + 1])[-context:]


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


@pytest.mark.parametrize("name", list(PLANAR_TASKS))
def test_planar_draws_have_points_and_clusters(name: str) -> None:
    task = PLANAR_TASKS[name]
    x_N2, _, cluster_N = task.draw(np.random.default_rng(1), 300, with_domain=True)
    assert x_N2.dtype == np.float64 and cluster_N.shape == (300,)
    assert task.draw(np.random.default_rng(1), 0)[0].shape == (0, 2)
    with pytest.raises(ValueError, match="size: got -3"):
        task.draw(np.random.default_rng(1), -3)


def test_no_task_touches_the_global_generator() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    for name in data.TASKS:
        data.make_task(name).draw(np.random.default_rng(0), 10)
    assert before == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002


@pytest.mark.parametrize("n_classes", [2, 3, 5, 8])
def test_spiral_arms_are_turns_of_the_first(n_classes: int) -> None:
    task = data.spirals(n_classes)
    assert task.n_classes == task.n_outputs == n_classes
    x_N2, target_N, cluster_N = task.draw(np.random.default_rng(2), 8_000, with_domain=True)
    share = np.bincount(target_N, minlength=n_classes) / 8_000
    assert np.abs(share - 1 / n_classes).max() < 0.03 and np.array_equal(target_N, cluster_N)
    # Turned back by its arm's angle, a point lies where its radius says, up to the noise.
    radius_N = np.hypot(*x_N2.T)
    angle_N = np.arctan2(x_N2[:, 1], x_N2[:, 0]) - 2 * np.pi * target_N / n_classes
    off_N = np.abs(np.angle(np.exp(1j * (angle_N - radius_N / 2 * 3 * np.pi))))
    assert (off_N[radius_N > 0.5] < 1).all() and np.median(off_N) < 0.2
    with pytest.raises(ValueError, match="n_classes: got 1"):
        data.spirals(1)


def test_linear_maps_follow_their_matrices() -> None:
    x_N2, target_N2, cluster_N = PLANAR_TASKS["linear_maps"].draw(
        np.random.default_rng(0), 500, with_domain=True
    )
    centre_C2, map_C22 = linear_map_truth()
    for x, y, c in zip(x_N2, target_N2, cluster_N, strict=True):
        assert np.allclose(x @ map_C22[c], y)
        assert np.linalg.norm(x - centre_C2[c]) < 1.5
    nearest_N = np.linalg.norm(x_N2[:, None] - centre_C2, axis=2).argmin(axis=1)
    assert (nearest_N == cluster_N).mean() > 0.99  # well separated
    assert len({round(float(m), 6) for m in map_C22.ravel()}) == map_C22.size


def test_checkerboard_and_moons_by_their_geometry() -> None:
    x_N2, target_N = PLANAR_TASKS["checkerboard"].draw(np.random.default_rng(0), 500)
    assert all((int(np.floor(a)) + int(np.floor(b))) % 2 == t for (a, b), t in zip(x_N2, target_N))
    x_N2, target_N = PLANAR_TASKS["moons"].draw(np.random.default_rng(0), 500)
    assert x_N2[target_N == 0, 1].mean() > x_N2[target_N == 1, 1].mean()
