"""What a visitor takes along from the page: its run as JSON, and what reproduces it."""

from __future__ import annotations

from dataclasses import asdict

from ...studies.control import ControlSettings, Response
from ..shared.sharing import json_document
from .story import judge


def document(rate: float, settings: ControlSettings, responses: list[Response]) -> bytes:
    """Step responses of all controllers."""
    return json_document(
        "cure",
        {
            "rate": rate,
            "settings": asdict(settings),
            "words": judge(responses).words,
            "controllers": [
                {
                    **asdict(r.method),
                    "settled_after": r.settled_after,
                    "steady_error": r.steady_error,
                    "swing": r.swing,
                    "max_vio": r.max_vio_S.tolist(),
                    "load_at_the_end": r.load_SE[-2:].tolist(),
                }
                for r in responses
            ],
        },
    )


def code(rate: float, settings: ControlSettings) -> str:
    """Code of the page on cures: step responses on frozen scores."""
    return f"""\
from moe.app.cure.story import judge, response_words
from moe.studies.control import ControlSettings, respond_all

responses = respond_all({rate:g}, {settings.as_call()})
for response in responses:
    print(response.method.title, response_words(response))
print(judge(responses).words)
"""
