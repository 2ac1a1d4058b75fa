"""A page's run as JSON: settings, numbers, and the versions that they depend on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ..cost import TrainingCost
from ..cost.rows import training_row
from ..speed.machine import Machine, versions
from ..studies.control import ControlSettings, Response, judge
from ..studies.savings import CountedCost, MeasuredCost, SavingsSettings, as_rows
from ..training.runs import Run
from ..version import __version__
from . import gpu_limits, money, money_claim
from .compare import compare
from .models import Answers
from .moving import Moved, Way
from .side_by_side import SideSettings, put_side_by_side
from .side_by_side import as_json as sides_as_json
from .token import FirstModel
from .your_model import YourModel


def _document(kind: str, content: dict[str, Any]) -> bytes:
    head = {"kind": kind, "moescope": __version__, "versions": versions()}
    return json.dumps(head | content, indent=1).encode()


def start_json(model: FirstModel, sentence: str, position: int, percent: int) -> bytes:
    """Routing of the sentence and the story of one of its characters."""
    routing = model.route(sentence, percent)
    story = model.explain(sentence, position, percent)
    return _document(
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


def moving_json(
    moved: Moved, ways: list[Way], links: list[Moved], placed: tuple[Moved, Moved]
) -> bytes:
    """Traffic and times of the page's batch, and of what it is compared with."""
    return _document(
        "moving-data",
        {
            "moved": moved.as_row(),
            "ways": [{"way": way.title, **way.moved.as_row()} for way in ways],
            "links": [one.as_row() for one in links],
            "before_and_after": [one.as_row() for one in placed],
        },
    )


def routers_json(model: FirstModel, sentence: str, settings: SideSettings) -> bytes:
    """What both routers did with the sentence."""
    return _document(
        "routers",
        {
            "settings": asdict(settings),
            "model": asdict(model.trainer.settings),
            "data": model.trainer.task.sha256,
            "sentence": sentence,
            **sides_as_json(put_side_by_side(model, sentence, settings)),
        },
    )


def balance_json(run_a: Run, run_b: Run) -> bytes:
    """Both runs, step by step."""
    runs = {
        name: {
            "settings": asdict(run.settings),
            "held_out_loss": run.held_out_loss,
            "summary": asdict(run.summary()),
            "records": [record.as_json() for record in run.records],
        }
        for name, run in (("A", run_a), ("B", run_b))
    }
    return _document("balance", {"runs": runs, "words": compare(run_a, run_b).words})


def cure_json(rate: float, settings: ControlSettings, responses: list[Response]) -> bytes:
    """Step responses of all controllers."""
    return _document(
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


def savings_json(
    settings: SavingsSettings,
    counted: list[CountedCost],
    measured: list[MeasuredCost],
    machine: Machine | None,
) -> bytes:
    """Counted costs, and measured ones with the machine if there are any."""
    return _document(
        "savings",
        {
            "settings": asdict(settings),
            "machine": asdict(machine) if machine else None,
            "counted": as_rows(counted),
            "measured": as_rows(measured),
        },
    )


def your_model_json(model: YourModel) -> bytes:
    """Every figure of a trace, and both beliefs."""
    return _document("your-model", model.as_json())


def five_million_json(cost: TrainingCost) -> bytes:
    """Cost under the page's assumptions, what it leaves out, and both claims beside it."""
    return _document(
        "five-million",
        {
            "published": [asdict(part) for part in money.published_parts()],
            "beside": [asdict(one) for one in money.beside()],
            "training": training_row(cost),
            "swings": [asdict(swing) for swing in money.swings(cost)],
            "compared": [asdict(row) for row in money_claim.compared(cost)],
            "ways": [asdict(way) for way in money_claim.ways(cost)],
            "limits": {
                gpu.name: [asdict(limit) for limit in gpu_limits.limits(gpu)]
                for gpu in gpu_limits.CHOICES.values()
            },
        },
    )


def real_models_json(answers: Answers) -> bytes:
    """Every model's sizes and its bounds on the chosen machine."""
    return _document(
        "real-models",
        {
            "question": asdict(answers.question),
            "machine": answers.machine_words(),
            "models": [
                {"name": a.model.name, "fits": a.fits, "limit": a.decoding.limit}
                | asdict(a.decoding)
                for a in answers.rows
            ],
            "table": answers.table(),
        },
    )
