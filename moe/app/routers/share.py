"""What a visitor takes along from the page: its run as JSON, and what reproduces it."""

from __future__ import annotations

from dataclasses import asdict

from ..shared.first_model import FirstModel
from ..shared.sharing import call, json_document
from .story import SideSettings, put_side_by_side
from .story import as_json as sides_as_json


def document(model: FirstModel, sentence: str, settings: SideSettings) -> bytes:
    """What both routers did with the sentence."""
    return json_document(
        "routers",
        {
            "settings": asdict(settings),
            "model": asdict(model.trainer.settings),
            "data": model.trainer.task.sha256,
            "sentence": sentence,
            **sides_as_json(put_side_by_side(model, sentence, settings)),
        },
    )


def code(sentence: str, settings: SideSettings) -> str:
    """Code of the page on routers: one sentence, two routers."""
    return f"""\
from moe.app.routers.story import Choice, SideSettings, put_side_by_side
from moe.app.shared.first_model import ready_model

model = ready_model()  # trains the tiny model
sentence = {sentence!r}
settings = {call("SideSettings", settings)}

both = put_side_by_side(model, sentence, settings)
print(both.words())
print(both.counts)  # choices that are only A's, only B's, and both's
print(both.a.routing.load, both.b.routing.load)  # characters per expert
"""
