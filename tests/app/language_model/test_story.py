"""What the page on language models says of runs, in every case."""

from __future__ import annotations

import pytest

from moe.app.language_model import share, story
from moe.app.language_model.story import judge, load_words, rows, total_words
from moe.studies.language_model import Learned, Look, Step
from tests.app.visit import plain, read

LOADS = ((8, 4, 0, 4), (4, 4, 4, 4))


def run(kind: str, bits: float, seed: int = 0, n_params: int = 100) -> Learned:
    looks = (
        Look(10, 1.0, 5.0, ("a\nb", "c"), ((0, 1), (2, 3)), LOADS),
        Look(20, 2.4, bits, ("d", "e"), ((0, 1), (2, 3)), LOADS),
    )
    return Learned(kind, seed, n_params, ("x", "y"), looks)


def three(moe: float, active: float, total: float = 2.0) -> list[Learned]:
    return [run("active", active, n_params=30), run("none", moe), run("total", total)]


@pytest.mark.parametrize(
    ("active", "truth"),
    [(2.11, "far"), (2.09, "little"), (2.03, "little"), (2.01, "even"), (1.99, "even"),
     (1.97, "dense")],
)  # fmt: skip
def test_the_mixture_is_compared_with_the_dense_model_of_its_work(active: float, truth: str):
    verdict = judge(three(2.0, active))
    assert verdict.truth == truth and truth in story.QUESTION.options
    lower = int(active > 2.0)
    assert verdict.words == (
        f"The model with experts ends at 2.00 bits a letter, the dense one that computes as much "
        f"at {active:.2f}: lower in {lower} of 1 seeds."
    )


def test_seeds_are_paired_and_averaged():
    runs = [*three(2.0, 2.2), run("none", 2.4, 1), run("active", 2.3, 1), run("total", 2.0, 1)]
    assert "ends at 2.20 bits" in judge(runs).words and "1 of 2 seeds" in judge(runs).words


@pytest.mark.parametrize(
    ("total", "said"), [(2.01, "as well as"), (1.9, "better than"), (2.1, "worse than")]
)
def test_the_larger_dense_model_is_compared_too(total: float, said: str):
    words = total_words(three(2.0, 2.2, total))
    assert said in words and "has 30% of its numbers" in words


def test_the_film_tells_each_look_and_the_answer_at_the_end():
    runs = three(2.0, 2.2)
    assert story.positions(runs) == [0, 1] and story.places(runs) == ["Step 10", "Step 20"]
    assert story.film_words(runs, 1, "reply") == "reply"
    assert story.film_words(runs, 0, "reply") == (
        "Step 10: MoE 5.00, Dense, equal active 5.00, Dense, equal total 5.00 bits a letter."
    )
    assert story.sample_text(runs[0].looks[0]) == "a b\nc"


def test_the_load_of_a_layer_is_said():
    look = run("none", 2.0).end
    assert load_words(look, "first") == (
        "In the first layer the busiest expert (A) has 2.0 fair shares of new text; 1 expert is "
        "idle."
    )
    assert "1.0 fair shares of new text; 0 experts are idle" in load_words(look, "last")


def test_the_table_has_every_seed():
    runs = [*three(2.0, 2.2), run("none", 2.4, 1), run("active", 2.3, 1), run("total", 2.0, 1)]
    assert list(rows(runs)[0].values()) == ["MoE", "100", "2.000 · 2.400", "2 · 2"]


def test_a_live_run_is_told():
    look = run("none", 2.0).end
    assert story.live_words([]) == "The model has read nothing yet."
    steps = [Step(1, 7.9, 0.1), Step(2, 7.5, 3.2)]
    assert story.live_words(steps) == "2 steps, 3 s of training."
    assert story.live_words([*steps, look]).startswith("2 steps, 3 s of training: 2.00 bits")
    assert story.looks_of([*steps, look]) == [look] and story.steps_of([look]) == []


def test_the_export_holds_every_run():
    runs = three(2.0, 2.2)
    found = read(share.document(runs), "language model")
    assert found == {"words": judge(runs).words, "runs": plain([one.as_json() for one in runs])}
    assert len(share.rows(runs)) == 6
    assert "finished('active', 0)" in share.code(runs[0])
    assert share.command(runs[0]).startswith("moe lm train --out run ")
    assert "--dense active" in share.command(runs[0]) and "--seed 0" in share.command(runs[0])
