"""The code and the command that reproduce what a page shows, as text made from its settings."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from ..cost import Range, TrainingCost
from ..studies.control import ControlSettings
from ..studies.savings import SavingsSettings
from ..traces.samples import SAMPLES
from ..training import TrainSettings
from .models import Question
from .moving import MovingSettings
from .side_by_side import SideSettings
from .your_file import is_ratings


def _changed(settings: Any) -> dict[str, Any]:
    """Fields that differ from their defaults."""
    return {
        field.name: getattr(settings, field.name)
        for field in fields(settings)
        if getattr(settings, field.name) != field.default
    }


def _call(name: str, settings: Any) -> str:
    """Return a constructor call with the changed fields only."""
    arguments = ", ".join(f"{key}={value!r}" for key, value in _changed(settings).items())
    return f"{name}({arguments})"


def start_code(sentence: str, percent: int, position: int) -> str:
    """Code of the first page: route a sentence, follow one of its characters."""
    return f"""\
from moe.lab.token import explain_token, first_model, route_sentence

trainer = first_model()  # trains the tiny model
sentence = {sentence!r}

routing = route_sentence(trainer, sentence, percent={percent})  # of the balancing bonus
print(routing.load_E)  # characters per expert
print(routing.words())

story = explain_token(trainer, sentence, position={position}, percent={percent})
print(story.scores_E, story.expert_K, story.weight_K)
print(story.cost_words())
"""


def balance_code(a: TrainSettings, b: TrainSettings) -> str:
    """Code of the page on balance: two runs on the same seed."""
    return f"""\
import moe
from moe.lab.compare import compare
from moe.training.runs import run

run_a = run({_call("moe.TrainSettings", a)})
run_b = run({_call("moe.TrainSettings", b)})

print(run_a.records[-1].load)  # tokens per expert in the last step
print(run_a.summary().max_vio, run_b.summary().max_vio)
print(compare(run_a, run_b).words)
"""


def savings_code(settings: SavingsSettings) -> str:
    """Code of the page on savings: counted costs, then measured ones."""
    return f"""\
from moe.speed.machine import measure_machine
from moe.studies.savings import SavingsSettings, count, measure, verdict

settings = {_call("SavingsSettings", settings)}
for cost in count(settings):
    print(cost)

measured = measure(settings)  # five runs that take turns: up to a minute
print(verdict(settings, measured, measure_machine()).text)
"""


def moving_code(settings: MovingSettings) -> str:
    """Code of the page on moving data: what moves, and the comparisons in words."""
    return f"""\
from moe.lab.moving import (
    MovingSettings, before_after, links, links_words, more_uneven, move, placement_words, ways,
    ways_words,
)

settings = {_call("MovingSettings", settings)}
moved = move(settings)
print(moved.words())
print(moved.sent.dispatch_bytes_GG)  # bytes from GPU to GPU
print(moved.dispatch.us, moved.combine.us)
print(ways_words(ways(settings)))
print(links_words(links(settings), links(more_uneven(settings))))
print(placement_words(*before_after(settings)))
"""


def cluster_command(settings: MovingSettings) -> str | None:
    """Command line with the same batch; None where it has no option for what is sent."""
    if settings.wire != "FP8":
        return None
    words = ["moe", "cluster", "simulate"]
    for name, value in _changed(settings.simulated()).items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def routers_code(sentence: str, settings: SideSettings) -> str:
    """Code of the page on routers: one sentence, two routers."""
    return f"""\
from moe.lab.side_by_side import Choice, SideSettings, put_side_by_side
from moe.lab.token import ready_model

model = ready_model()  # trains the tiny model
sentence = {sentence!r}
settings = {_call("SideSettings", settings)}

both = put_side_by_side(model, sentence, settings)
print(both.words())
print(both.counts)  # choices that are only A's, only B's, and both's
print(both.a.routing.load, both.b.routing.load)  # characters per expert
"""


def cure_code(rate: float, settings: ControlSettings) -> str:
    """Code of the page on cures: step responses on frozen scores."""
    return f"""\
from moe.studies.control import ControlSettings, judge, respond_all

responses = respond_all({rate:g}, {_call("ControlSettings", settings)})
for response in responses:
    print(response.method.title, response.words())
print(judge(responses).words)
"""


def sample_code(title: str, at: int) -> str:
    """Code of the page on your own model for a sample, by its title."""
    path = f"SAMPLES[{[one.title for one in SAMPLES].index(title)}].path"
    loading = "from moe.traces.samples import SAMPLES", "from moe.traces import load_trace"
    return _trace_code(loading, f"load_trace({path})", at)


def own_file_code(file: str, k: int, at: int, is_part: bool = False) -> str:
    """Code of the page on your own model for a visitor's file.

    Parameters
    ----------
    file
        Its name.
    k
        Experts per token, where the file holds ratings only.
    is_part
        Whether it holds more than what the page analyses.
    """
    loading = ["from moe.traces import load_trace"]
    trace = f"load_trace({file!r})"
    if is_ratings(file):
        loading = ["from moe.routers import make_router", "from moe.traces import read_logits_csv"]
        trace = f'read_logits_csv({file!r}, make_router("topk", k={k}))'
    if is_part:
        trace = f"shortened({trace})"
    return _trace_code(loading, trace, at, is_part)


def _trace_code(loading: Sequence[str], trace: str, at: int, shortens: bool = False) -> str:
    """Figures of a trace, and both beliefs."""
    asking = (
        "from moe.traces.report import analyse_trace",
        f"from moe.lab.your_file import {'beliefs, shortened' if shortens else 'beliefs'}",
    )
    imports = "\n".join(sorted([*loading, *asking], key=lambda line: line.split()[1]))
    return f"""\
{imports}

trace = {trace}
layer = analyse_trace(trace).layers[{at}]
print(layer.load)  # tokens per expert
print(layer.max_vio, layer.dead_share, layer.repeat_first, layer.chance_repeat_first)
for check in beliefs(trace):
    print(check.claim, check.answer)
"""


def money_code(cost: TrainingCost) -> str:
    """Code of the page on money: hours, dollars and energy of a training."""
    return f"""\
from moe.cost import Range, TrainingCost

cost = {_call("TrainingCost", cost)}
result = cost.result()
print(result.gpu_hours, result.dollars, result.energy_mwh)
for assumption in result.assumptions:
    print(assumption)
print(2.0 * (2664e3 + 119e3 + 5e3))  # what was published for DeepSeek-V3
"""


def cost_command(cost: TrainingCost) -> str | None:
    """Command line of the same training; None for a model that is known by its size only."""
    if cost.active_params:
        return None
    words = ["moe", "cost", str(cost.model)]
    for flag, value in (
        ("tokens", f"{cost.tokens:g}"),
        ("gpu", cost.hardware.key),
        ("mfu", _ends(cost.mfu)),
        ("price", _ends(cost.dollars_per_hour)),
        ("context", cost.context),
        ("formula", cost.formula),
        ("precision", cost.precision),
        ("extra-hours", f"{cost.extra_hours:g}"),
        ("n-gpus", cost.n_gpus),
    ):
        words += [f"--{flag}", str(value)]
    words += [] if cost.causal else ["--no-causal"]
    words += ["--mtp"] if cost.mtp else []
    return shlex.join(words)


def _ends(span: Range) -> str:
    return f"{span.low:g}:{span.mid:g}:{span.high:g}"


def models_code(question: Question) -> str:
    """Code of the page on real models: which fit, and how fast they can be."""
    return f"""\
from moe.lab.models import Answers, Question

answers = Answers({_call("Question", question)})
print(answers.words())
for answer in answers.rows:
    print(answer.model.name, answer.model.total_params, answer.needed_gb, answer.speed)
"""


def train_command(settings: TrainSettings) -> str:
    """Command line that does the same run."""
    named = {"balance": settings.balance, "steps": settings.steps, "seed": settings.seed}
    words = ["moe", "train"]
    for name, value in (_changed(settings) | named).items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
