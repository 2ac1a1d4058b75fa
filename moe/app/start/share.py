"""What a visitor takes along from the page: its run as JSON, and what reproduces it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ...data import token_text
from ...pictures.experts import expert_name
from ..shared.first_model import FirstModel
from ..shared.sharing import json_document
from .walk import SentenceWalk, walk


def document(
    model: FirstModel, sentence: str, position: int, percent: int, without: int = 0
) -> bytes:
    """The way of a sentence through the layer, and of one of its characters."""
    walked = walk(model, sentence, percent)
    return json_document(
        "start",
        {
            "settings": asdict(model.trainer.settings),
            "data": model.trainer.task.sha256,
            "sentence": sentence,
            "balancing_percent": percent,
            "without": expert_name(without - 1) if without else None,
            "load": walked.load_OE[without].tolist(),
            "experts": walked.expert_ONK[without].tolist(),
            "weights": walked.weight_ONK[without].tolist(),
            "character": {"position": position, **_character(walked, position, without)},
        },
    )


def _character(walked: SentenceWalk, position: int, without: int) -> dict[str, Any]:
    here = without, position
    guessed = zip(walked.guess_ONG[here], walked.probability_ONG[here], strict=True)
    return {
        "token": walked.tokens[position],
        "logits": walked.logits_NE[position].tolist(),
        "scores": walked.scores_NE[position].tolist(),
        "bias": walked.bias_E.tolist(),
        "experts": walked.expert_ONK[here].tolist(),
        "weights": walked.weight_ONK[here].tolist(),
        "parts": walked.part_ONK[here].tolist(),
        "executed_flops": walked.executed_flops,
        "all_flops": walked.all_flops,
        "guesses": [(token_text(int(byte)), float(p)) for byte, p in guessed],
    }


def code(sentence: str, percent: int, position: int, without: int = 0) -> str:
    """Code of the first page: route a sentence, follow one of its characters."""
    case = f"without expert {expert_name(without - 1)}" if without else "with all experts"
    return f"""\
from moe.app.shared.first_model import ready_model
from moe.app.start.walk import walk

model = ready_model()  # trains the tiny model
sentence = {sentence!r}

walked = walk(model, sentence, percent={percent})  # of the balancing bonus
case, character = {without}, {position}  # {case}
print(walked.load_OE[case])  # characters per expert
print(walked.scores_NE[character])
print(walked.expert_ONK[case, character], walked.weight_ONK[case, character])
print(walked.words(case))
print(walked.cost_words())
"""
