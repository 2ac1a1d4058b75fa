"""A game: send each character of a text to one of four experts, by hand, and be judged."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ... import kernels, metrics
from ...capacity import Capacity
from ...data import TextTask, token_text, windows
from ...errors import check_int
from ...pictures.experts import expert_name
from ...routers import make_router
from ...routing import Routing
from ...training import Trainer, TrainSettings
from ..shared.first_model import settle_bias

N_EXPERTS, N_CHARACTERS = 4, 24
ROOM = N_CHARACTERS // N_EXPERTS  # so that nobody is lost only if the work is even
BEFORE = 40  # characters of the text that stand before the first one to send
SECONDS = 60
NOBODY = -1  # the expert of a character that was lost
LOST = "-"  # its sign in the address
MAX_SEED = 99_999_999  # the largest day, as YYYYMMDD, and then some
NAMES = tuple(expert_name(e) for e in range(N_EXPERTS))
_training = threading.Lock()


@dataclass(frozen=True, eq=False)
class Model:
    """The trained model of the game, and the bonus that evens its experts out.

    Its router was trained with a loss for balance, so that each expert is good at something; on a
    text as short as the game's the work is uneven all the same.
    """

    trainer: Trainer
    bias_E: np.ndarray


def ready_game() -> Model:
    """Return the model; the first call in this process trains it, in a second or two."""
    with _training:  # two visitors at once must not train it twice
        return _trained()


@cache
def _trained() -> Model:
    trainer = Trainer(
        TrainSettings(
            router="switch", n_experts=N_EXPERTS, k=1, balance="aux", steps=150, batch=512
        )
    )
    for _ in trainer.run():
        pass
    return Model(trainer, settle_bias(trainer))


@dataclass(frozen=True, eq=False)
class Game:
    """The characters of one seed, and what each choice would cost.

    Attributes
    ----------
    seed
        Same seed, same game.
    before, tokens
        The text before the first character, and the characters to send, printable.
    score_NE
        The router's rating of each expert, (N, E); they add up to 1.
    loss_NE, lost_N
        Loss of the model's next guess if the character goes to that expert, and if to none.
    bias_E
        The bonus that the balanced router adds to its ratings.
    """

    seed: int
    before: str
    tokens: list[str]
    score_NE: np.ndarray
    loss_NE: np.ndarray
    lost_N: np.ndarray
    bias_E: np.ndarray


@dataclass(frozen=True, eq=False)
class Result:
    """What came of somebody's choices.

    Attributes
    ----------
    who
        The player.
    wish_N, expert_N
        The expert that each character was sent to, and the one that had room for it; `NOBODY` if
        there was none.
    lost
        Characters that no expert worked on.
    max_vio
        Of the wishes: how far the busiest expert is above its fair share, in fair shares.
    loss
        Mean loss of the model's guesses.
    points
        Share of the way from nobody's work, 0, to the best possible, 100.
    """

    who: str
    wish_N: np.ndarray
    expert_N: np.ndarray
    lost: int
    max_vio: float
    loss: float
    points: int


def deal(model: Model, seed: int) -> Game:
    """Choose a stretch of held-out English and work out what every choice would cost.

    Raises
    ------
    ValueError
        If the seed is not in 0..`MAX_SEED`.
    """
    check_int("seed", seed, 0, MAX_SEED)
    trainer = model.trainer
    before, text, following = _stretch(trainer, np.random.default_rng(seed))
    context = trainer.settings.context
    window_NC = windows(before + text, context)[-N_CHARACTERS:]
    target_N = np.frombuffer(text[1:] + following, np.uint8).astype(np.int64)
    x_ND = trainer.embed(window_NC)
    # A router that chooses every expert makes every expert answer for every character.
    everyone = replace(trainer.layer, router=make_router("topk", k=N_EXPERTS))
    _, ctx = everyone.forward(x_ND)
    score_NE = ctx.routing.scores_NE
    assert score_NE is not None
    loss_NE = np.empty((N_CHARACTERS, N_EXPERTS))
    for n in range(N_CHARACTERS):
        expert_K, output_KD = everyone.expert_outputs(ctx, n)
        h_KD = x_ND[n] + score_NE[n, expert_K][:, None] * output_KD
        loss_NE[n, expert_K] = _loss(trainer, h_KD, np.repeat(target_N[n], N_EXPERTS))
    return Game(
        seed,
        "".join(token_text(byte) for byte in before),
        [token_text(byte) for byte in text],
        score_NE,
        loss_NE,
        _loss(trainer, x_ND, target_N),
        model.bias_E,
    )


def _stretch(trainer: Trainer, rng: np.random.Generator) -> tuple[bytes, bytes, bytes]:
    """Held-out English: what stands before, the characters of the game, and the one after them."""
    task = trainer.task
    assert isinstance(task, TextTask)
    size = BEFORE + N_CHARACTERS + 1
    texts = [text for label, text in task.held_out_texts(64, 1000) if label == 0]
    starts = [
        (text, i + 1)
        for text in texts
        for i, byte in enumerate(text[: len(text) - size])
        if byte == ord(" ") and _is_prose(text[i + 1 : i + 1 + size])
    ]
    text, start = starts[rng.integers(len(starts))]
    played = start + BEFORE
    end = played + N_CHARACTERS
    return text[start:played], text[played:end], text[end : end + 1]


def _is_prose(text: bytes) -> bool:
    """Whether a stretch is one line of words, and no table or drawing."""
    return all(0x20 <= byte < 0x7F for byte in text) and b"  " not in text


def _loss(trainer: Trainer, h_ND: np.ndarray, target_N: np.ndarray) -> np.ndarray:
    """Cross-entropy of the next character at each row, (N,)."""
    h_ND = np.ascontiguousarray(h_ND, np.float32)
    prob_NV = kernels.softmax(kernels.matmul(h_ND, trainer.params["out_DV"]))
    return np.asarray(-np.log(prob_NV[np.arange(len(target_N)), target_N].astype(np.float64)))


def judge(game: Game, who: str, wish_N: np.ndarray) -> Result:
    """Send characters where somebody wants them, in order, as far as there is room.

    Parameters
    ----------
    wish_N
        An expert for each character, or `NOBODY`.
    """
    token_A = np.flatnonzero(wish_N != NOBODY)
    expert_N = np.full(N_CHARACTERS, NOBODY)
    max_vio = 0.0
    if token_A.size:
        choice_N1 = wish_N[token_A].astype(np.int32)[:, None]
        asked = Routing.from_choices(choice_N1, np.ones(choice_N1.shape, np.float32), N_EXPERTS)
        # The room is that of all characters, also if some were sent nowhere.
        kept_A = Capacity(1.0, "order", min_capacity=ROOM).apply(asked).kept_A
        expert_N[token_A[kept_A]] = wish_N[token_A[kept_A]]
        max_vio = metrics.max_vio(asked.proposed_load)
    loss = _mean_loss(game, expert_N)
    worst, best = float(game.lost_N.mean()), _mean_loss(game, best_possible(game))
    points = round(100 * max(0.0, (worst - loss) / (worst - best)))
    return Result(who, wish_N, expert_N, int((expert_N == NOBODY).sum()), max_vio, loss, points)


def _mean_loss(game: Game, expert_N: np.ndarray) -> float:
    worked = expert_N != NOBODY
    done_N = game.loss_NE[np.arange(N_CHARACTERS), np.where(worked, expert_N, 0)]
    return float(np.where(worked, done_N, game.lost_N).mean())


def best_possible(game: Game) -> np.ndarray:
    """The choice of least loss that the room allows, found exactly; it knows what comes next.

    A character that does better without any expert is lost on purpose: its place stays empty.
    """
    least_NE = np.minimum(game.loss_NE, game.lost_N[:, None])
    expert_N = kernels.balanced_assignment(-least_NE).astype(int)
    chosen_N = game.loss_NE[np.arange(N_CHARACTERS), expert_N]
    return np.where(chosen_N <= game.lost_N, expert_N, NOBODY)


def players(game: Game, moves: str) -> list[Result]:
    """The visitor's result, if she has played, and the three that she is compared with."""
    favourite_N = game.score_NE.argmax(axis=1)
    even_N = (game.score_NE + game.bias_E).argmax(axis=1)
    wishes = {
        "You": read_moves(moves),
        "Router alone": favourite_N,
        "Router with a bonus": even_N,
        "Best possible": best_possible(game),
    }
    return [
        judge(game, who, wish_N)
        for who, wish_N in wishes.items()
        if who != "You" or len(moves) == N_CHARACTERS
    ]


def read_moves(moves: str) -> np.ndarray:
    """The experts that letters name, one a character; what is missing or unknown is nobody's."""
    known = {name: e for e, name in enumerate(NAMES)}
    experts = [known.get(letter, NOBODY) for letter in moves[:N_CHARACTERS]]
    return np.array(experts + [NOBODY] * (N_CHARACTERS - len(experts)))


def write_moves(expert_N: Sequence[int] | np.ndarray) -> str:
    """The letters of experts, as they stand in the address."""
    return "".join(LOST if e == NOBODY else NAMES[e] for e in expert_N)
