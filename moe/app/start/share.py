"""What a visitor takes along from the page: its run as JSON, and what reproduces it."""

from __future__ import annotations

from dataclasses import asdict

from ..shared.first_model import FirstModel
from ..shared.sharing import json_document
from .story import explain, route


def document(model: FirstModel, sentence: str, position: int, percent: int) -> bytes:
    """Routing of the sentence and the story of one of its characters."""
    routing = route(model, sentence, percent)
    story = explain(model, sentence, position, percent)
    return json_document(
        "start",
        {
            "settings": asdict(model.trainer.settings),
            "data": model.trainer.task.sha256,
            "sentence": sentence,
            "balancing_percent": percent,
            "load": routing.load_E.tolist(),
            "experts": routing.expert_NK.tolist(),
            "weights": routing.weight_NK.tolist(),
            "character": {
                "position": position,
                "token": story.token,
                "logits": story.logits_E.tolist(),
                "scores": story.scores_E.tolist(),
                "bias": story.bias_E.tolist(),
                "experts": story.expert_K.tolist(),
                "weights": story.weight_K.tolist(),
                "parts": story.share_K.tolist(),
                "executed_flops": story.executed_flops,
                "all_flops": story.all_flops,
                "guesses": story.guesses,
            },
        },
    )


def code(sentence: str, percent: int, position: int) -> str:
    """Code of the first page: route a sentence, follow one of its characters."""
    return f"""\
from moe.app.shared.first_model import ready_model
from moe.app.start.story import explain, route

model = ready_model()  # trains the tiny model
sentence = {sentence!r}

routing = route(model, sentence, percent={percent})  # of the balancing bonus
print(routing.load_E)  # characters per expert
print(routing.words())

story = explain(model, sentence, position={position}, percent={percent})
print(story.scores_E, story.expert_K, story.weight_K)
print(story.cost_words())
"""
