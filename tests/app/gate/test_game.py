"""The game's numbers, worked out another way, and its bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from moe.app.gate import chart, share, story
from moe.app.gate.board import payload
from moe.app.gate.game import (
    LOST,
    MAX_SEED,
    N_CHARACTERS,
    N_EXPERTS,
    NAMES,
    NOBODY,
    ROOM,
    best_possible,
    deal,
    judge,
    players,
    read_moves,
    ready_game,
    write_moves,
)
from moe.data import windows
from tests.app.visit import read

MOVES = st.text(alphabet=[*NAMES, LOST], min_size=N_CHARACTERS, max_size=N_CHARACTERS)
SHOWN = {"␣": " "}


def text_of(tokens: list[str]) -> bytes:
    return "".join(SHOWN.get(token, token) for token in tokens).encode()


@pytest.mark.parametrize("seed", [0, 7, 20261129])
def test_a_choice_costs_what_the_layer_itself_makes_of_it(seed: int) -> None:
    model = ready_game()
    game, trainer = deal(model, seed), model.trainer
    raw = text_of(list(game.before)) + text_of(game.tokens)
    window_NC = windows(raw, trainer.settings.context)[-N_CHARACTERS:]
    out_NV = trainer.predict(window_NC)[:-1].astype(np.float64)  # the last target is not shown
    log_N = np.log(np.exp(out_NV).sum(axis=1)) - out_NV[np.arange(len(out_NV)), list(raw[-23:])]
    favourite_N = game.score_NE.argmax(axis=1)[:-1]
    assert np.allclose(game.loss_NE[np.arange(23), favourite_N], log_N, atol=1e-4)
    alone_NV = (trainer.embed(window_NC) @ trainer.params["out_DV"])[:-1].astype(np.float64)
    alone_N = np.log(np.exp(alone_NV).sum(axis=1)) - alone_NV[np.arange(23), list(raw[-23:])]
    assert np.allclose(game.lost_N[:-1], alone_N, atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_possible_is_another_solvers(seed: int) -> None:
    game = deal(ready_game(), seed)
    least_NE = np.minimum(game.loss_NE, game.lost_N[:, None])
    row, column = linear_sum_assignment(np.repeat(least_NE, ROOM, axis=1))
    best = judge(game, "best", best_possible(game))
    assert best.loss == pytest.approx(np.repeat(least_NE, ROOM, axis=1)[row, column].mean())
    assert best.points == 100 and best.lost == int((best.wish_N == NOBODY).sum())


@settings(max_examples=100, deadline=None)
@given(MOVES, st.integers(0, 3))
def test_no_play_beats_the_best_and_results_are_counted_right(moves: str, seed: int) -> None:
    game = deal(ready_game(), seed)
    result = judge(game, "You", read_moves(moves))
    left = dict.fromkeys(NAMES, ROOM)
    loss, lost = 0.0, 0
    for n, letter in enumerate(moves):
        if left.get(letter, 0):
            left[letter] -= 1
            loss += game.loss_NE[n, NAMES.index(letter)]
        else:
            loss, lost = loss + game.lost_N[n], lost + 1
    assert result.loss == pytest.approx(loss / N_CHARACTERS) and result.lost == lost
    assert 0 <= result.points <= 100
    wished = [moves.count(name) for name in NAMES]
    vio = max(wished) / (sum(wished) / N_EXPERTS) - 1 if sum(wished) else 0
    assert result.max_vio == pytest.approx(vio)
    assert write_moves(result.wish_N) == moves


def test_the_same_seed_is_the_same_game_and_gives_the_same_score() -> None:
    model, moves = ready_game(), "ABCD" * 6
    one, two = deal(model, 11), deal(model, 11)
    assert one.tokens == two.tokens and one.loss_NE.tobytes() == two.loss_NE.tobytes()
    assert [r.points for r in players(one, moves)] == [r.points for r in players(two, moves)]
    assert deal(model, 12).tokens != one.tokens


def test_care_pays_and_chance_does_not() -> None:
    """Over 60 texts: who follows the ratings while there is room does better than chance."""
    model = ready_game()
    careful, chance = [], []
    for seed in range(60):
        game, rng = deal(model, seed), np.random.default_rng(seed)
        left, wish = [ROOM] * N_EXPERTS, []
        for score_E in game.score_NE:
            e = max((e for e in range(N_EXPERTS) if left[e]), key=lambda e: score_E[e])
            left[e] -= 1
            wish.append(e)
        careful.append(judge(game, "careful", np.array(wish)).points)
        chance.append(judge(game, "chance", rng.integers(0, N_EXPERTS, N_CHARACTERS)).points)
    assert np.mean(careful) > 1.5 * np.mean(chance)


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="seed"):
        deal(ready_game(), seed)


def test_words_table_picture_and_document_say_the_same() -> None:
    model, moves = ready_game(), "AAAAAAAA" + "BCD" * 5 + LOST
    game = deal(model, 3)
    results = players(game, moves)
    you = results[0]
    assert f"You made {you.points} of 100 points" in story.words(results)
    assert [row["Points"] for row in story.rows(results)] == [str(r.points) for r in results]
    cells = chart.choices(game, results).data["cells"]
    drawn = "".join(c["expert"] for c in cells if c["who"] == "You")
    assert drawn.replace(chart.LOST_SIGN, LOST) == write_moves(you.expert_N)
    document = read(share.document(model, game, results), "gate")
    assert document["players"][0]["experts"] == write_moves(you.expert_N)
    assert document["losses"] == game.loss_NE.tolist()
    names: dict[str, object] = {}
    exec(share.code(3, moves), names)
    assert "You" not in story.words(players(game, ""))
    assert payload(game, moves)["percent"][0] == [round(100 * s) for s in game.score_NE[0].tolist()]
