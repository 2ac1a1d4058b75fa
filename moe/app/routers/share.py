"""What a visitor takes along from the page: its run as JSON, and what reproduces it."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from ...pictures.figure import Rows
from ..shared.first_model import FirstModel
from ..shared.sharing import json_document
from .story import SideBySide, SideSettings, put_side_by_side


def document(model: FirstModel, sentence: str, settings: SideSettings) -> bytes:
    """What both routers did with the sentence."""
    return json_document(
        "routers",
        {
            "settings": asdict(settings),
            "model": asdict(model.trainer.settings),
            "data": model.trainer.task.sha256,
            "sentence": sentence,
            **as_json(put_side_by_side(model, sentence, settings)),
        },
    )


def as_json(both: SideBySide) -> dict[str, Any]:
    """Everything that the page shows, as plain numbers and lists."""
    sides = {
        name: {
            "router": side.router.name,
            "options": {f.name: getattr(side.router, f.name) for f in fields(side.router)},
            "source": side.router.source,
            "fresh_parameters": list(side.fresh),
            "looks_ahead": side.looks_ahead,
            "token": side.routing.token_A.tolist(),
            "expert": side.routing.expert_A.tolist(),
            "weight": side.routing.weight_A.tolist(),
            "kept": side.routing.kept_A.tolist(),
            "load": side.routing.load.tolist(),
            "asked": side.routing.proposed_load.tolist(),
        }
        for name, side in (("A", both.a), ("B", both.b))
    }
    return {
        "tokens": both.tokens,
        "changed": both.changed_N.tolist(),
        "counts": both.counts,
        "words": both.words(),
        "sides": sides,
    }


def rows(both: SideBySide) -> Rows:
    """Each character with the experts that both routers give it, for a table."""
    table = zip(
        both.tokens, both.a.experts_words(), both.b.experts_words(), both.changed_N, strict=True
    )
    return [
        {"position": n, "character": token, "A": a, "B": b, "changed": bool(changed)}
        for n, (token, a, b, changed) in enumerate(table, 1)
    ]


def code(sentence: str, settings: SideSettings) -> str:
    """Code of the page on routers: one sentence, two routers."""
    return f"""\
from moe.app.routers.story import Choice, SideSettings, put_side_by_side
from moe.app.shared.first_model import ready_model

model = ready_model()  # trains the tiny model
sentence = {sentence!r}
settings = {settings.as_call()}

both = put_side_by_side(model, sentence, settings)
print(both.words())
print(both.counts)  # choices that are only A's, only B's, and both's
print(both.a.routing.load, both.b.routing.load)  # characters per expert
"""
