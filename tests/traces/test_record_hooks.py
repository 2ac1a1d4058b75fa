"""Recording by hooks, with stand-ins for the reference library that say what they were asked.

`test_record_hf.py` holds the same code against the library itself, where that is installed.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moe import CheckpointError
from moe.data.documents import Document
from moe.traces import record_hf as recorder
from moe.traces.record_hf import record_hf, record_module, router_output

E, K, VOCAB = 6, 2, 40


class Tensor:
    """A table that is read as PyTorch's are: floats by way of `float`, all by way of `cpu`."""

    def __init__(self, values: Any, steps: tuple[str, ...] = ()) -> None:
        self.values, self.steps = np.asarray(values), steps
        self.ndim, self.shape = self.values.ndim, self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def is_floating_point(self) -> bool:
        return self.values.dtype.kind == "f"

    def float(self) -> Tensor:
        return Tensor(self.values.astype(np.float32), (*self.steps, "float"))

    def cpu(self) -> Tensor:
        return Tensor(self.values, (*self.steps, "cpu"))

    def numpy(self) -> np.ndarray:
        assert self.steps == (("float", "cpu") if self.is_floating_point() else ("cpu",))
        return self.values


class Part:
    """A module with a name that calls its hooks with what it returns."""

    def __init__(self, answer: Callable[[np.ndarray], Any]) -> None:
        self.answer, self.hooks = answer, {}

    def register_forward_hook(self, hook: Callable) -> Any:
        key = object()
        self.hooks[key] = hook
        return types.SimpleNamespace(remove=lambda: self.hooks.pop(key))

    def __call__(self, ids: np.ndarray) -> None:
        said = self.answer(ids)
        for hook in self.hooks.values():
            hook(self, (ids,), said)


class Model:
    """A model of some parts, each asked in turn."""

    def __init__(self, parts: dict[str, Callable[[np.ndarray], Any]], breaks: bool = False) -> None:
        self.parts = {name: Part(answer) for name, answer in parts.items()}
        self.training, self.modes, self.seen, self.breaks = True, [], [], breaks

    def named_modules(self) -> list[tuple[str, Part]]:
        return list(self.parts.items())

    def eval(self) -> Model:
        self.training = False
        return self

    def train(self, mode: bool) -> None:
        self.training = mode

    def __call__(self, ids: Tensor) -> None:
        self.modes.append((self.training, torch_mode[-1]))
        assert ids.ndim == 2 and len(ids) == 1
        self.seen.append(ids.values[0].tolist())
        if self.breaks:
            raise RuntimeError("no")
        for part in self.parts.values():
            part(ids.values[0])


torch_mode = ["grad"]


@contextlib.contextmanager
def inference_mode() -> Iterator[None]:
    torch_mode.append("inference")
    yield
    torch_mode.pop()


@pytest.fixture(autouse=True)
def torch(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    stand_in = types.ModuleType("torch")
    stand_in.__spec__ = importlib.machinery.ModuleSpec("torch", None)
    stand_in.is_tensor = lambda part: isinstance(part, Tensor)
    stand_in.from_numpy = Tensor
    stand_in.inference_mode = inference_mode
    monkeypatch.setitem(sys.modules, "torch", stand_in)
    return stand_in


def logits_of(ids: np.ndarray, layer: int = 0) -> np.ndarray:
    """Logits that depend on the token alone, without ties."""
    table = np.random.default_rng(layer).permutation(VOCAB * E).reshape(VOCAB, E) / 100
    return table[ids].astype(np.float32)


def by_index(layer: int, k: int = K) -> Callable[[np.ndarray], Any]:
    def answer(ids: np.ndarray) -> tuple[Tensor, ...]:
        logits = logits_of(ids, layer)
        experts = np.argsort(-logits, axis=1)[:, :k][:, ::-1]  # worst first
        return Tensor(logits), Tensor(np.take_along_axis(logits, experts, 1)), Tensor(experts)

    return answer


def by_score(layer: int) -> Callable[[np.ndarray], Any]:
    def answer(ids: np.ndarray) -> tuple[Tensor, ...]:
        logits = logits_of(ids, layer)
        chosen = np.argsort(np.argsort(-logits, axis=1), axis=1) < K
        return Tensor(np.where(chosen, 1 / (1 + np.exp(-logits)), 0)), Tensor(logits)

    return answer


def nothing(ids: np.ndarray) -> Tensor:
    return Tensor(np.ones((len(ids), 3)))


@pytest.mark.parametrize("kind", [by_index, by_score])
@pytest.mark.parametrize("context", [1, 4, 5, 100])
def test_every_token_is_recorded_in_its_place(kind: Callable, context: int) -> None:
    model = Model(
        {"": nothing, "layers.1.gate": kind(0), "layers.3.gate": kind(1), "norm": nothing}
    )
    sequences = [np.arange(5), np.arange(7, 16), np.array([3])]
    trace = record_module(
        model, sequences, name="mine", context=context, text_of=lambda n: f"<{n}>",
        domains=("a", "b", "c"),
    )  # fmt: skip
    ids = np.concatenate(sequences)
    for layer in (0, 1):
        logits = logits_of(ids, layer)
        best = np.argsort(-logits, axis=1)[:, :K]
        weights = np.take_along_axis(logits, best, 1)
        if kind is by_score:
            weights = 1 / (1 + np.exp(-weights))
        assert np.array_equal(trace.logits_LNE[layer], logits)
        assert np.array_equal(trace.expert_LNK[layer], best)
        assert np.allclose(trace.weight_LNK[layer], weights)
    assert trace.layers == (1, 3) and trace.n_experts == E
    assert trace.token_ids_N.tolist() == ids.tolist()
    assert trace.tokens == tuple(f"<{n}>" for n in ids)
    lengths = [5, 9, 1]
    assert trace.sequence_N.tolist() == np.repeat([0, 1, 2], lengths).tolist()
    assert trace.domain_N.tolist() == trace.sequence_N.tolist()
    assert (trace.domains, trace.model, trace.context) == (("a", "b", "c"), "mine", context)
    # It saw each document in pieces, in order, as for use and without gradients.
    pieces = [
        s[low : low + context].tolist() for s in sequences for low in range(0, len(s), context)
    ]
    assert model.seen == pieces and set(model.modes) == {(False, "inference")}
    assert model.training and not any(part.hooks for part in model.parts.values())


def test_a_model_is_left_as_it_was_even_if_it_fails() -> None:
    for training in (True, False):
        model = Model({"gate": by_index(0)}, breaks=True)
        model.training = training
        with pytest.raises(RuntimeError):
            record_module(model, [np.arange(3)])
        assert model.training is training and not model.parts["gate"].hooks


def test_what_is_not_said_has_a_default() -> None:
    trace = record_module(Model({"gate": by_index(0)}), [np.arange(30), np.arange(2)])
    assert trace.domain_N is None and trace.domains == () and trace.model == ""
    assert trace.context == 1024 and trace.tokens[:2] == ("0", "1")
    assert trace.layers == (0,)


@pytest.mark.parametrize(
    ("names", "layers"),
    [
        (("h.0.gate", "h.7.gate"), (0, 7)),
        (("0", "1"), (0, 1)),
        (("h.2.gate", "h.1.gate"), (0, 1)),  # numbers that do not rise are not the layers'
        (("h.4.gate", "h.4.other"), (0, 1)),
        (("gate", "h.3.gate"), (0, 1)),
        (("h.3.gate", "h.gate"), (0, 1)),
        (("h2.gate", "h9.gate"), (0, 1)),  # a number within a name is none
        (("h.1.e.5.gate", "h.2.e.4.gate"), (1, 2)),  # the first number is the layer's
        (("a.12", "b.30"), (12, 30)),
    ],
)
def test_layers_have_the_numbers_in_their_names(
    names: tuple[str, ...], layers: tuple[int, ...]
) -> None:
    model = Model({name: by_index(i) for i, name in enumerate(names)})
    assert record_module(model, [np.arange(4)]).layers == layers


def test_a_module_around_a_router_is_not_a_second_one() -> None:
    around = {"mlp": by_index(0), "mlp.gate": by_index(1), "mlpx": by_index(2)}
    trace = record_module(Model(around), [np.arange(4)])
    assert trace.n_layers == 2
    assert np.array_equal(trace.logits_LNE[0], logits_of(np.arange(4), 1))
    assert np.array_equal(trace.logits_LNE[1], logits_of(np.arange(4), 2))


def test_layers_of_fewer_choices_are_filled_up_with_none() -> None:
    trace = record_module(Model({"a": by_index(0, 1), "b": by_index(1, 3)}), [np.arange(5)])
    assert trace.expert_LNK.shape == (2, 5, 3)
    assert (trace.expert_LNK[0, :, 1:] == -1).all() and not trace.weight_LNK[0, :, 1:].any()
    assert (trace.expert_LNK[0, :, 0] == logits_of(np.arange(5), 0).argmax(axis=1)).all()
    assert (trace.expert_LNK[1] >= 0).all()


def test_models_without_one_kind_of_router_are_refused() -> None:
    def half(ids: np.ndarray) -> Any:
        return tuple(Tensor(part.values[:1]) for part in by_index(0)(ids))

    def few(ids: np.ndarray) -> Any:
        logits = logits_of(ids)[:, :4]
        experts = np.argsort(-logits, axis=1)[:, :K]
        return Tensor(logits), Tensor(np.take_along_axis(logits, experts, 1)), Tensor(experts)

    three = [np.arange(3)]
    for model, text in (
        (Model({"a": nothing}), three),
        (Model({"a": half}), three),  # which routed some tokens only
        (Model({"a": by_index(0)}), []),
        (Model({"a": by_index(0)}), [np.zeros(0, int)]),
    ):
        with pytest.raises(CheckpointError, match="without a router that is recognised"):
            record_module(model, text)
    with pytest.raises(CheckpointError, match=r"got layers of \[4, 6\] experts, allowed is one"):
        record_module(Model({"a": by_index(0), "b": few}), three)
    assert record_module(Model({"a": half, "b": by_index(1)}), three).n_layers == 1


def test_outputs_that_are_no_routing_are_passed_over() -> None:
    logits, weights, experts = (part.values for part in by_index(0)(np.arange(5)))
    score, raw = (part.values for part in by_score(0)(np.arange(5)))

    def said(*parts: Any) -> Any:
        return router_output(tuple(Tensor(part) for part in parts))

    for order in itertools.permutations((logits, weights, experts)):
        found = said(*order)
        assert np.array_equal(found.expert_NK, np.argsort(-logits, axis=1)[:, :K])
        assert (np.diff(found.weight_NK, axis=1) < 0).all()
        assert found.expert_NK.dtype == np.int64
    whole = said(logits, weights, experts)
    # What is no table is passed over; and of more tables the widest holds the logits.
    more = router_output((Tensor(logits), Tensor(weights), Tensor(experts), 3.0))
    assert np.array_equal(more.logits_NE, whole.logits_NE)
    four = said(weights, logits[:, :3], experts, logits)
    assert np.array_equal(four.logits_NE, logits)
    assert said(score, raw).expert_NK.tolist() == whole.expert_NK.tolist()
    tied = said(logits, np.ones((5, 2)), experts)
    assert tied.expert_NK.tolist() == experts.tolist()  # as they stood

    negative = np.where(score == score.max(), -1.0, score)
    unchosen = raw.copy()
    unchosen[0, score[0].argmin()] = raw.max() + 1
    for parts in (
        (logits,), (logits, weights), (weights, experts), (score, raw, 1.0 * raw),
        (logits, weights, experts, experts), (logits, weights[:, :1], experts),
        (logits, weights, experts + E), (logits, weights, experts - E),
        (logits[:4], weights, experts), (np.ones((5, E)), raw), (np.zeros((5, E)), raw),
        (negative, raw), (score, unchosen), (score, raw[:, :5]),
        (np.where(np.eye(5, E) > 0, 1.0, score), raw),
        (logits, weights, experts, raw, raw),
    ):  # fmt: skip
        assert said(*parts) is None, [part.shape for part in parts]
    assert router_output([Tensor(logits), Tensor(weights), Tensor(experts)]) is None
    assert router_output((logits, weights, experts)) is None
    assert router_output((Tensor(score), Tensor(raw), None)) is None
    # The edges of what counts: expert 0 and the last one, one of two experts, no token.
    edge = said(np.ones((1, 3)), np.array([[2.0, 1.0]]), np.array([[2, 0]]))
    assert edge.expert_NK.tolist() == [[2, 0]]
    alone = said(np.array([[0.5, 0.0]]), np.array([[1.0, 1.0]]))
    assert (alone.expert_NK.tolist(), alone.weight_NK.tolist()) == ([[0]], [[0.5]])
    assert said(np.zeros((0, 4)), np.zeros((0, 2)), np.zeros((0, 2), int)).logits_NE.shape == (0, 4)


# Loading ----------------------------------------------------------------------------------------


class Words:
    """A tokenizer of words by their first letters."""

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [ord(word[0]) % VOCAB for word in text.split()]}

    def decode(self, ids: list[int]) -> str:
        return f"w{ids[0]}\0\ud800" + "x" * 1000


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """What the library was asked, and what it answers."""
    said = types.SimpleNamespace(asked=[], quiet=[], model=Model({"h.0.gate": by_index(0)}))
    said.config = types.SimpleNamespace(vocab_size=VOCAB, max_position_embeddings=8)
    said.error = said.bad_words = None

    def load(where: str, **options: Any) -> Any:
        said.asked.append((where, options))
        if said.error:
            raise said.error
        loaded = types.SimpleNamespace(
            base_model=said.model, config=types.SimpleNamespace(get_text_config=lambda: said.config)
        )
        loaded.eval = lambda: loaded
        return loaded

    def words(where: str, **options: Any) -> Words:
        said.asked.append((where, options))
        if said.bad_words:
            raise said.bad_words
        return Words()

    library = types.ModuleType("transformers")
    library.__spec__ = importlib.machinery.ModuleSpec("transformers", None)
    library.AutoModelForCausalLM = types.SimpleNamespace(from_pretrained=load)
    library.AutoTokenizer = types.SimpleNamespace(from_pretrained=words)
    utils = types.ModuleType("transformers.utils")
    utils.logging = types.SimpleNamespace(
        set_verbosity_error=lambda: said.quiet.append("words"),
        disable_progress_bar=lambda: said.quiet.append("bar"),
    )
    monkeypatch.setitem(sys.modules, "transformers", library)
    monkeypatch.setitem(sys.modules, "transformers.utils", utils)
    return said


CAT = Document("pets", b"cat \xff dog cat mouse")


def test_nothing_is_downloaded_and_no_code_is_run(library: Any, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    record_hf(tmp_path, [CAT])
    (where, model), (words_where, words) = library.asked
    assert where == words_where == str(tmp_path)
    assert model.pop("dtype") == "auto" and model.pop("use_safetensors") is True
    assert model == words == {"local_files_only": True, "trust_remote_code": False}
    assert set(library.quiet) == {"words", "bar"}


@pytest.mark.parametrize("name", recorder.TOKENIZER_FILES)
def test_a_folder_with_any_tokenizer_has_its_texts(library: Any, tmp_path: Path, name: str) -> None:
    assert (tmp_path / name).suffix in (".json", ".model")
    (tmp_path / name).write_text("{}")
    recorded = record_hf(tmp_path, [CAT], max_tokens=4)
    ids = [ord(c) % VOCAB for c in "c\ufffddc"]
    assert recorded.trace.token_ids_N.tolist() == ids and recorded.notes == ()
    assert recorded.trace.domains == () and recorded.trace.domain_N is None
    text = recorded.trace.tokens[0]
    assert text.startswith(f"w{ids[0]}␀?x") and len(text) == recorder.MAX_TOKEN_TEXT


def test_a_folder_without_a_tokenizer_has_bytes(library: Any, tmp_path: Path) -> None:
    recorded = record_hf(tmp_path / "..", [CAT, Document("b", b"AB")], max_tokens=3)
    text = b"catAB"
    assert recorded.trace.token_ids_N.tolist() == [byte % VOCAB for byte in text]
    assert recorded.trace.domains == ("pets", "b")
    assert recorded.trace.domain_N.tolist() == [0, 0, 0, 1, 1]
    assert f"modulo {VOCAB}" in recorded.notes[0] and len(recorded.notes) == 1
    assert [where for where, _ in library.asked] == [str(tmp_path / "..")]  # no tokenizer
    library.config.vocab_size = 300
    library.model = Model({"a": lambda ids: by_index(0)(ids % VOCAB)})
    assert record_hf(tmp_path, [Document("a", b"az\n")]).trace.tokens == ("a", "z", "⏎")


def test_a_name_is_looked_up_in_the_cache(library: Any) -> None:
    assert record_hf("someone/model", [CAT]).trace.model == "model"
    assert [where for where, _ in library.asked] == ["someone/model"] * 2
    library.asked.clear()
    for none in ("./none", "/none/at/all", "../none-such"):
        with pytest.raises(CheckpointError, match="allowed is a folder that exists"):
            record_hf(none, [CAT])
    assert not library.asked


@pytest.mark.parametrize(
    ("longest", "asked", "context"), [(8, 5, 5), (8, 8, 8), (8, 9, 8), (None, 9, 9), (0, 9, 9)]
)
def test_a_model_sees_no_more_at_once_than_it_can(
    library: Any, tmp_path: Path, longest: int | None, asked: int, context: int
) -> None:
    library.config.max_position_embeddings = longest
    trace = record_hf(tmp_path, [Document("a", b"x" * 20)], context=asked).trace
    assert trace.context == context and len(library.model.seen[0]) == context
    if longest is None:
        del library.config.max_position_embeddings
        assert record_hf(tmp_path, [CAT], context=asked).trace.context == context


def test_a_text_is_recorded_up_to_4096_tokens(library: Any, tmp_path: Path) -> None:
    library.config.max_position_embeddings = 10_000
    trace = record_hf(tmp_path, [Document("a", b"x" * 5000)]).trace
    assert trace.n_tokens == 4096 and trace.context == 1024
    for name in ("max_tokens", "context"):
        with pytest.raises(ValueError, match=f"{name}: got 0"):
            record_hf(tmp_path, [CAT], **{name: 0})
        assert record_hf(tmp_path, [CAT], **{name: 1}).trace.n_tokens


def test_what_the_library_cannot_read_is_said_in_a_line(library: Any, tmp_path: Path) -> None:
    library.error = KeyError("one\n two" + "x" * 1000)
    with pytest.raises(CheckpointError, match=r"nothing is downloaded.*KeyError: 'one\\n") as told:
        record_hf(tmp_path, [CAT])
    assert len(str(told.value).partition("KeyError: ")[2]) == 300
    library.error, library.bad_words = None, OSError("no")
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer: got one in .* \(OSError\), allowed"):
        record_hf(tmp_path, [CAT])


@pytest.mark.parametrize("missing", [{"torch"}, {"transformers"}, {"torch", "transformers"}])
def test_what_is_not_installed_is_named(
    missing: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = {"torch", "transformers"} - missing
    monkeypatch.setattr(
        recorder.importlib.util, "find_spec", lambda name: object() if name in there else None
    )
    with pytest.raises(ValueError, match=r"is missing; allowed after") as told:
        record_hf(tmp_path, [CAT])
    words = str(told.value).split("library, and ")[1].split(" is missing")[0]
    assert words == " and ".join(sorted(missing))
