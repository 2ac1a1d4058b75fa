"""What a visitor takes along from the game: its results as JSON, and what reproduces them."""

from __future__ import annotations

from dataclasses import asdict

from ..shared.sharing import json_document
from .game import Game, Model, Result, write_moves


def document(model: Model, game: Game, results: list[Result]) -> bytes:
    """The game of a seed and everybody's results."""
    return json_document(
        "gate",
        {
            "settings": asdict(model.trainer.settings),
            "data": model.trainer.task.sha256,
            "seed": game.seed,
            "before": game.before,
            "characters": game.tokens,
            "ratings": game.score_NE.tolist(),
            "losses": game.loss_NE.tolist(),
            "loss_without_expert": game.lost_N.tolist(),
            "players": [
                {
                    "who": result.who,
                    "wishes": write_moves(result.wish_N),
                    "experts": write_moves(result.expert_N),
                    "points": result.points,
                    "lost": result.lost,
                    "max_vio": result.max_vio,
                    "loss": result.loss,
                }
                for result in results
            ],
        },
    )


def code(seed: int, moves: str) -> str:
    """Code of the page: deal the same game, and judge the same moves."""
    return f"""\
from moe.app.gate.game import deal, players, ready_game

game = deal(ready_game(), seed={seed})  # trains the tiny model
print(game.before, game.tokens)

for result in players(game, {moves!r}):
    print(result.who, result.points, result.lost, result.max_vio, result.loss)
"""
