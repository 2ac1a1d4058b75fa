"""A training run in a folder: killed at any moment, it goes on to the same bits.

    FOLDER/training/state.safetensors   all that the next step depends on
    FOLDER/training/steps.jsonl         a line for each step
    FOLDER/config.json, model.safetensors   at the end: the model, in a published layout

The state is written beside its place and renamed, so that it is there whole or not at all. Steps
that were done after it are done again, and come out the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from ..checkpoints.files import CONFIG, Checkpoint, write_file
from ..checkpoints.header import read_header
from ..checkpoints.strict_json import parse_object, quoted
from ..errors import CheckpointError
from ..layer_file import STORED
from .checkpoint import load_model, save_model
from .data import ByteWindows, Windows, make_windows
from .model import LanguageModel
from .optimizers import memory, prepare
from .settings import LMTrainSettings
from .training import LMRecord, LMTrainer

STATE, STEPS = Path("training", "state.safetensors"), Path("training", "steps.jsonl")
KEY, FORMAT = "moescope", 1
SAVE_SECONDS = 5.0  # by the clock, between two states of a run
# What broken or hostile values raise where they are used; all become CheckpointError.
REFUSALS = (ValueError, TypeError, KeyError, OverflowError, MemoryError, RecursionError)


def train_in(
    folder: str | Path,
    settings: LMTrainSettings,
    resume: bool = False,
    windows: Windows | None = None,
    save_seconds: float = SAVE_SECONDS,
) -> Iterator[LMRecord]:
    """Train in a folder, yielding a record per step; bad arguments fail at once.

    Parameters
    ----------
    folder
        A new one, or with `resume` one of a run that was stopped.
    settings
        The run; of one that goes on, only what differs from the defaults is compared.
    resume
        Go on from the state in the folder; a folder without one begins.
    windows
        What to learn instead of the text that the settings name.
    save_seconds
        Least time between two states; 0 writes one after every step.

    Raises
    ------
    ValueError
        If the folder holds a run and is not to be resumed, or its run has other settings or data.
    CheckpointError
        If its state is broken.
    """
    root = Path(folder)
    if root.exists() and not root.is_dir():
        raise ValueError(f"out: got the file {str(root)!r}, allowed is a folder or a new one")
    if not (root / STATE).exists():
        trainer = LMTrainer(settings, windows)
    elif resume:
        trainer = open_run(root, windows)
        for name, value in settings.changed().items():
            kept = getattr(trainer.settings, name)
            if kept != value:
                raise ValueError(f"{name}: got {value}, allowed is {kept}, as the run has it")
    else:
        raise ValueError(
            f"out: got {str(root)!r}, which holds a run; allowed is another folder, or to resume it"
        )
    return _train_in(root, trainer, save_seconds)


def _train_in(root: Path, trainer: LMTrainer, save_seconds: float) -> Iterator[LMRecord]:
    (root / STATE).parent.mkdir(parents=True, exist_ok=True)
    for left in (root / STATE).parent.glob(".*.part"):  # by a run that was killed
        left.unlink()
    save_state(trainer, root / STATE)
    _keep_lines(root / STEPS, trainer.step_number)
    saved = monotonic()
    with (root / STEPS).open("a", encoding="utf-8") as lines:
        for record in trainer.run():
            lines.write(json.dumps(record.as_json()) + "\n")
            lines.flush()
            ended = trainer.step_number == trainer.settings.steps
            if ended or monotonic() - saved >= save_seconds:
                save_state(trainer, root / STATE)
                saved = monotonic()
            yield record
    publish(trainer.model, root)


def publish(model: LanguageModel, folder: Path) -> str | None:
    """Save a model in a published layout, unless the folder has one; say why it cannot be."""
    if not (folder / CONFIG).exists():
        try:
            save_model(model, folder)
        except ValueError as error:
            return str(error)
    return None


def read_steps(folder: str | Path) -> list[dict[str, Any]]:
    """Return the records of a folder's run, as far as they are whole; an empty list without one."""
    path = Path(folder) / STEPS
    if not path.is_file():
        return []
    records: list[dict[str, Any]] = []
    for line in path.read_text("utf-8", "replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(record, dict) or record.get("step") != len(records):
            break
        records.append(record)
    return records


def _keep_lines(path: Path, n_steps: int) -> None:
    """Drop lines of steps that will be done again, and what a kill cut off."""
    kept = read_steps(path.parent.parent)[:n_steps]
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text("".join(json.dumps(record) + "\n" for record in kept), "utf-8")
    part.replace(path)


# The state -----------------------------------------------------------------------------------


def save_state(trainer: LMTrainer, path: Path) -> None:
    """Write all that the next step depends on; when this returns, it survives a crash."""
    tensors = {
        f"{kind}:{name}": (array, STORED[array.dtype.name])
        for kind, arrays in _arrays(trainer).items()
        for name, array in arrays.items()
    }
    words = {
        "format": FORMAT,
        "settings": asdict(trainer.settings),
        "step": trainer.step_number,
        "seconds": trainer.seconds,
        "data": trainer.windows.sha256,
        "generators": [_plain(rng) for rng in (trainer.data_rng, trainer.noise_rng)],
    }
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write_file(part, tensors, {KEY: json.dumps(words)})
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _arrays(trainer: LMTrainer) -> dict[str, Mapping[str, np.ndarray]]:
    """Parameters, what balancers steer, and what the optimiser remembers, each by name."""
    return {
        "params": trainer.model.arrays(),
        "buffers": trainer.model.state(),
        **memory(trainer.optimizer),
    }


def _plain(rng: np.random.Generator) -> dict[str, Any]:
    """A generator's state with its wide numbers as text, which JSON readers keep exactly."""
    state: Any = rng.bit_generator.state
    return state | {"state": {name: str(value) for name, value in state["state"].items()}}


def open_run(folder: str | Path, windows: Windows | None = None) -> LMTrainer:
    """Return the run in a folder, ready for its next step.

    Raises
    ------
    ValueError
        If the text that it learns is another one here.
    CheckpointError
        If its state is missing or broken.
    """
    root = Path(folder)
    settings, words = read_settings(root)
    trainer = LMTrainer(settings, windows)
    if trainer.windows.sha256 != words.get("data"):
        raise ValueError(
            f"corpus: got a text with the hash {trainer.windows.sha256[:12]}, allowed is the run's "
            f"own ({quoted(words.get('data'))[:14]})"
        )
    names = dict.fromkeys(words.pop("tensors"), STATE.name)
    with Checkpoint((root / STATE).parent.resolve(), {}, names, {}) as file:
        try:
            _restore(trainer, words, file)
        except CheckpointError:
            raise
        except REFUSALS as error:
            raise CheckpointError(f"{STATE}: {error}") from error
    return trainer


def read_settings(folder: str | Path) -> tuple[LMTrainSettings, dict[str, Any]]:
    """Return the settings of a folder's run, and what else the header of its state says.

    Raises
    ------
    CheckpointError
        If the state is missing or broken.
    """
    what = quoted(str(STATE))
    header = read_header((Path(folder) / STATE).resolve(), what)
    if KEY not in header.metadata:
        raise CheckpointError(f"{what}: got a file that no training run wrote")
    words = parse_object(header.metadata[KEY].encode("utf-8", "replace"), f"{what}: {KEY}")
    if words.get("format") != FORMAT or not isinstance(words.get("settings"), dict):
        raise CheckpointError(f"{what}: got {quoted(words)}, allowed is format {FORMAT}")
    try:
        settings = LMTrainSettings(**LMTrainSettings.read("settings", words["settings"]))
    except REFUSALS as error:
        raise CheckpointError(f"{what}: {error}") from error
    return settings, words | {"tensors": list(header.tensors)}


def model_of(folder: str | Path) -> LanguageModel:
    """Return the model of a run's folder, as far as it is trained, or of a published checkpoint.

    Raises
    ------
    ValueError
        If the run learns a text that is another one here.
    CheckpointError
        If the folder holds neither, or its files are broken.
    """
    return load_model(folder) if (Path(folder) / CONFIG).exists() else open_run(folder).model


def windows_of(
    folder: str | Path, context: int, corpus: str | None = None, text: str | None = None
) -> ByteWindows:
    """Return a text to judge a folder's model by: what is named, or else what its run learns.

    Raises
    ------
    ValueError
        If a text cannot be used.
    """
    learns: Any = LMTrainSettings()
    if corpus is None and text is None and (Path(folder) / STATE).exists():
        learns = read_settings(folder)[0]
        corpus, text = learns.corpus, learns.text
    return make_windows(corpus or learns.corpus, context, text)


def _restore(trainer: LMTrainer, words: Mapping[str, Any], file: Checkpoint) -> None:
    """Put a state's arrays and numbers in their places, each checked to fit."""
    step, seconds = words["step"], words["seconds"]
    if type(step) is not int or not 0 <= step <= trainer.settings.steps:
        raise ValueError(f"step: got {quoted(step)}, allowed is 0 to {trainer.settings.steps}")
    if not isinstance(seconds, (int, float)) or not seconds >= 0:
        raise ValueError(f"seconds: got {quoted(seconds)}, allowed is a number from 0")
    trainer.step_number, trainer.seconds = step, float(seconds)
    for rng, state in zip((trainer.data_rng, trainer.noise_rng), words["generators"], strict=True):
        wide = {name: int(value) for name, value in state["state"].items()}
        rng.bit_generator.state = state | {"state": wide}
    if step:
        prepare(trainer.optimizer, trainer.model.arrays(), step)
    places = _arrays(trainer)
    wanted = {f"{kind}:{name}": array for kind in places for name, array in places[kind].items()}
    if sorted(wanted) != list(file.names):
        raise ValueError("got other arrays than those of the run's model and optimiser")
    for name, array in wanted.items():
        if file.shape(name) != array.shape or file.dtype(name) != STORED[array.dtype.name]:
            raise ValueError(
                f"tensor {quoted(name)}: got {file.dtype(name)} of shape {file.shape(name)}, "
                f"allowed is {STORED[array.dtype.name]} of {array.shape}"
            )
        array[...] = file.read(name)
