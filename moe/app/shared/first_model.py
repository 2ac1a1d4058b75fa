"""The tiny model of the first pages, trained once for everybody, and sentences that it reads."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import cache

import numpy as np

from ... import kernels
from ...balance import make_balancer
from ...data import TextTask, token_text, windows
from ...training import Trainer, TrainSettings

MAX_SENTENCE = 400
DEFAULT_SENTENCE = (
    "The quick brown fox jumps over the lazy dog, while a router quietly sends "
    "every letter to just two of eight little experts."
)
# Of the balancing bonus: how often it is stepped, large steps first, then fine ones.
STEPS, FIRST_RATE, HALVED_EVERY = 60, 0.03, 10
_training = threading.Lock()


@dataclass(frozen=True, eq=False)
class FirstModel:
    """The trained model, with its balancing bonus worked out.

    Attributes
    ----------
    trainer
        The model, trained without any balancing.
    seconds
        How long the training took.
    bias_E
        The bonus of each expert, from `settle_bias`.
    """

    trainer: Trainer
    seconds: float
    bias_E: np.ndarray

    def describe(self) -> str:
        """Where the model comes from, in a sentence or two."""
        settings, task = self.trainer.settings, self.trainer.task
        assert isinstance(task, TextTask)
        return (
            f"This tiny model was trained just now on this computer: {settings.steps} steps in "
            f"{self.seconds:.1f} s on {task.corpus.n_bytes / 1e6:.1f} MB of text that comes with "
            f"Python. It reads {settings.context} characters and guesses the next one. "
            "Its training did nothing to keep the work even."
        )


def ready_model() -> FirstModel:
    """Return the model; the first call in this process trains it, in a second or less."""
    with _training:  # two visitors at once must not train it twice
        return _trained(kernels.backend_name())


@cache
def _trained(backend: str) -> FirstModel:
    start = time.perf_counter()
    trainer = Trainer(TrainSettings(n_experts=8, k=2, steps=60, batch=512, seed=1))
    for _ in trainer.run():
        pass
    seconds = time.perf_counter() - start
    return FirstModel(trainer, seconds, settle_bias(trainer))


def shown_sentence(typed: str) -> tuple[str, str]:
    """The sentence that is shown for a typed one, and why if it is not the same."""
    raw = typed.encode("utf-8", "replace")
    if not raw:
        return DEFAULT_SENTENCE, "Type at least one letter. Meanwhile you see the first sentence."
    if len(raw) <= MAX_SENTENCE:
        return typed, ""
    cut = raw[:MAX_SENTENCE].decode("utf-8", "ignore")  # a letter that is cut apart goes whole
    return cut, f"That is too long. You see the first {len(cut)} of its {len(typed)} characters."


def sentence_windows(trainer: Trainer, sentence: str) -> tuple[list[str], np.ndarray]:
    """Printable characters and token windows (N, C) of a sentence.

    Raises
    ------
    ValueError
        If the sentence is empty or longer than `MAX_SENTENCE` bytes.
    """
    raw = sentence.encode("utf-8", "replace")
    if not 0 < len(raw) <= MAX_SENTENCE:
        raise ValueError(f"sentence: got {len(raw)} bytes, allowed is 1..{MAX_SENTENCE}")
    return [token_text(byte) for byte in raw], windows(raw, trainer.settings.context)


def settle_bias(trainer: Trainer, sample: int = 2048) -> np.ndarray:
    """Balancing bonus of each expert after `STEPS` steps of sign control on frozen scores, (E,).

    Loss-Free Balancing's rule (arXiv 2408.15664, algorithm 1) with the gate held fixed: only
    who is selected changes. The step is halved every `HALVED_EVERY` steps, since a fixed one
    ends in a swing between two uneven states. The sample is held-out text of the corpus's first
    domain, English.
    """
    layer, task = trainer.layer, trainer.task
    assert isinstance(task, TextTask)
    share = task.corpus.domains[0].data.size / task.corpus.n_bytes
    drawn = int(1.5 * sample / share)
    inputs, _, domain_N = task.held_out(np.random.default_rng(0), drawn, with_domain=True)
    window_NC = inputs[domain_N == 0][:sample]
    logits_NE = kernels.matmul(trainer.embed(window_NC), layer.params["gate_DE"])
    bias_E = np.zeros(layer.n_experts, layer.dtype)
    for step in range(STEPS):
        routing = layer.router.choose(logits_NE, select_bias_E=bias_E)
        control = make_balancer("bias", rate=FIRST_RATE * 0.5 ** (step / HALVED_EVERY))
        control.update({"select_bias_E": bias_E}, routing)
    return bias_E
