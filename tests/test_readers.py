"""Whatever opens a file is known here: what a stranger may have made is refused in one line.

Every function of the library that opens or parses a file is found by reading its source. Either
the file is the library's own, or one of the readers below reads it, and each of those is tried with
broken and hostile files of every kind.
"""

from __future__ import annotations

import ast
import json
import os
import pickle
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import moe
from moe.app.shared.guesses import Given, file_of, read_guesses
from moe.checkpoints.archives import open_archive
from moe.checkpoints.files import open_checkpoint
from moe.checkpoints.header import read_header
from moe.checkpoints.npz import read_npy, read_npz
from moe.checkpoints.strict_json import parse_object
from moe.cluster.eplb_report import read_loads
from moe.cost.from_config import model_from_config
from moe.data.corpus import from_file
from moe.data.documents import read_documents
from moe.gates.recording import read_recordings
from moe.lessons.steps.grade import read_marks
from moe.lessons.steps.submission import read_source
from moe.saved import load
from moe.sweeps.plan import read_plan
from moe.traces import load_trace, make_trace, read_logits_csv, save_trace
from moe.traces.importers import import_trace
from moe.traces.npz import pack_trace, unpack_trace
from moe.traces.report import read_placement
from tests.checkpoints import fabricate
from tests.checkpoints.test_hostile import cases, scarred
from tests.traces.importers import writers

ROOT = Path(__file__).resolve().parent.parent
MAX_SECONDS, MAX_PEAK = 1.0, 200e6

# What opens files ------------------------------------------------------------------------------

OPENS = {
    "open", "read_text", "read_bytes", "loadtxt", "genfromtxt", "fromfile", "fromregex", "memmap",
    "ParquetFile", "read_schema", "read_table", "read_csv", "read_parquet", "DictReader",
    "ZipFile", "safe_open", "load_file", "deserialize", "TarFile",
    "parse_object", "parse_json", "read_limited", "read_npz", "read_npy", "open_source",
}  # fmt: skip
LOADERS = ("json", "np", "numpy", "tomllib", "pickle", "marshal", "torch", "yaml")
OF_A_MODULE = {"load": LOADERS, "loads": LOADERS, "reader": ("csv",), "mmap": ("mmap",)}

OWN = {
    # Written: nothing is read.
    "moe/sweeps/chart.py: write_figure": "written",
    "moe/checkpoints/archives.py: _copy_bare": "written",
    "moe/checkpoints/archives.py: _unpack": "written",
    "moe/cli/streams.py: _Raw._swallow": "written",
    "moe/sweeps/store.py: SweepStore.add": "written",
    "moe/sweeps/store.py: SweepStore.locked": "written",
    "moe/sweeps/store.py: _sync_folder": "written",
    "moe/layer_file.py: write_layer": "written",
    "moe/traces/logits_csv.py: write_logits_csv": "written",
    "moe/traces/npz.py: write_npz": "written",
    "moe/app/static/build.py: build": "written",
    "moe/traces/importers/base.py: Loads.save": "written",
    # Files of the package, of Python and of the machine.
    "moe/cluster/calibration.py: measurements": "package",
    "moe/cost/tables.py: _text": "package",
    "moe/cost/tables.py: configs": "package",
    "moe/cost/tables.py: rows_of": "package",
    "moe/traffic/tables.py: load_table": "package",
    "moe/lessons/catalogue.py: lesson": "package",
    "moe/lm/shipped/__init__.py: unpack": "package",
    "moe/lessons/recorded.py: recorded": "package",
    "moe/app/five_million/page.py: show": "package",
    "moe/app/frame.py: logo": "package",
    "moe/app/frame.py: style": "package",
    "moe/app/reading/story.py: Piece.image": "package",
    "moe/app/shared/documents.py: _title": "package",
    "moe/app/reading/story.py: pieces": "package",
    "moe/app/reading/story.py: source": "package",
    "moe/app/shared/component.py: component.joined": "package",
    "moe/app/static/build.py: _document": "package",
    "moe/app/static/build.py: theme": "package",
    "moe/app/your_model/page.py: _what_can_be_opened": "package",
    "moe/app/server/assets.py: _pack": "Streamlit",
    "moe/app/server/assets.py: first_page": "Streamlit",
    "moe/data/corpus.py: _c": "Python",
    "moe/data/corpus.py: _html": "Python",
    "moe/data/corpus.py: _python": "Python",
    "moe/data/corpus.py: _tables": "Python",
    "moe/app/server/memory.py: resident": "machine",
    "moe/kernels/cores.py: _words": "machine",
    "moe/lessons/cage/inside.py: _limit": "machine",
    "moe/lessons/cage/files.py: read_only": "machine",
    # What the judge sends, and what it put there to be tried.
    "moe/lessons/cage/inside.py: main": "own",
    "moe/lessons/cage/inside.py: _shut_in": "own",
    "moe/lessons/steps/grade.py: replace_file": "written",
    "moe/lessons/steps/texts.py: text_of": "package",
    "moe/traces/apart.py: _limit": "machine",
    # What the library wrote itself, into folders that are its own.
    "moe/app/learn/chart.py: on_page": "own",
    "moe/pictures/figure.py: Figure.spec": "own",
    "moe/pictures/figure.py: Figure.themed": "own",
    "moe/kernels/cache.py: source_stamp": "own",
    "moe/kernels/cache.py: KernelCache.load_overload": "own",
    "moe/sweeps/store.py: SweepStore.rows": "own",
    "moe/traces/importers/parquet.py: answer": "own",
    "moe/lm/run_folder.py: read_settings": "own",
    "moe/lm/run_folder.py: read_steps": "own",
    "moe/lm/run_folder.py: save_state": "written",
    "moe/lm/run_folder.py: _train_in": "written",
    # What a component or a chart of a page was given, and a value that was just written as JSON.
    "moe/app/static/elements.py: _chart": "own",
    "moe/app/static/elements.py: _component": "own",
    "moe/app/static/elements.py: _followed": "own",
    "moe/training/live.py: _plain": "own",
    # Only a hash is made of it.
    "moe/sweeps/experiments.py: _cluster_data": "hash",
}

READ_BY = {
    "moe/checkpoints/archives.py: open_archive": "archive",
    "moe/checkpoints/archives.py: open_source": "archive",
    "moe/checkpoints/archives.py: open_zip": "archive",
    "moe/checkpoints/archives.py: pieces": "archive",
    "moe/checkpoints/files.py: Checkpoint._mapped": "checkpoint",
    "moe/checkpoints/files.py: _read_json": "checkpoint",
    "moe/checkpoints/header.py: read_header": "header",
    "moe/checkpoints/header.py: read_limited": "config",
    "moe/checkpoints/local_cache.py: cached_folder": "config",
    "moe/checkpoints/npz.py: read_npy": "npy",
    "moe/checkpoints/npz.py: read_npz": "npz",
    "moe/checkpoints/strict_json.py: parse_json": "json object",
    "moe/checkpoints/strict_json.py: parse_object": "json object",
    "moe/app/shared/guesses.py: read_guesses": "guesses",
    "moe/cost/from_config.py: _load": "config",
    "moe/data/corpus.py: from_file": "text",
    "moe/gates/recording.py: _read_arrays": "gate",
    "moe/cluster/eplb_report.py: _numbers": "loads",
    "moe/data/documents.py: _read": "document",
    "moe/sweeps/plan.py: read_plan": "plan",
    "moe/traces/report.py: read_placement": "placement",
    "moe/lm/pruning_files.py: prune_layer_file": "npy",
    "moe/saved.py: load": "saved layer",
    "moe/lessons/cage/outside.py: Cage._ask": "json object",
    "moe/lessons/steps/grade.py: read_marks": "marks",
    "moe/lessons/steps/submission.py: read_source": "submission",
    "moe/traces/importers/esft.py: Esft._documents": "score file",
    "moe/traces/importers/olmoe.py: read_counters": "counters",
    "moe/traces/importers/parquet.py: _check_head": "choices",
    "moe/traces/importers/parquet.py: _columns": "choices",
    "moe/traces/importers/routed_experts.py: read_arrays": "routed experts",
    "moe/traces/importers/vllm.py: Vllm.read_path": "routed experts",
    "moe/traces/files.py: load_trace": "trace",
    "moe/traces/files.py: read_bytes": "trace",
    "moe/traces/logits_csv.py: _read": "logits",
    "moe/traces/logits_csv.py: read_logits_csv": "logits",
    "moe/traces/npz.py: read_npz_trace": "trace",
    "moe/traces/npz.py: unpack": "answer",
    "moe/traces/parquet.py: _read_columns": "trace",
}


def opening(path: Path) -> Iterator[str]:
    """Functions of a source file that open or parse a file, as 'Class.method'."""

    def visit(node: ast.AST, inside: tuple[str, ...]) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                yield from visit(child, (*inside, child.name))
                continue
            # What is called, and what is handed to a call, such as `map(json.loads, lines)`.
            asked = [child.func, *child.args] if isinstance(child, ast.Call) else []
            if any(opens(part) for part in asked):
                yield ".".join(inside)
            yield from visit(child, inside)

    yield from visit(ast.parse(path.read_text("utf-8")), ())


def opens(part: ast.expr) -> bool:
    """Whether an expression names what opens or parses a file."""
    if isinstance(part, ast.Name):
        return part.id in OPENS
    if not isinstance(part, ast.Attribute):
        return False
    base = part.value.id if isinstance(part.value, ast.Name) else ""
    if part.attr in OF_A_MODULE:
        return base in OF_A_MODULE[part.attr]
    return part.attr in OPENS


def test_every_function_that_opens_a_file_is_known() -> None:
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {name}"
        for path in [*ROOT.glob("moe/**/*.py"), ROOT / "app.py"]
        for name in opening(path)
    }
    known = set(OWN) | set(READ_BY)
    assert not set(OWN) & set(READ_BY)
    assert found - known == set(), "is the file the library's own, or whose reader reads it?"
    assert known - found == set(), "no longer opens anything"
    assert set(READ_BY.values()) == set(READERS)


def test_a_new_opening_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "new.py"
    path.write_text(
        "import json, numpy as np\n"
        "class A:\n"
        "    def one(self, path): return [np.load(p) for p in path]\n"
        "    def none(self, path): return self.load(path)\n"
        "def two(path):\n"
        "    def inner(): return path.read_text()\n"
        "    return inner\n"
        "three = lambda path: json.load(open(path))\n"
        "def four(pages): return map(json.loads, pages)\n"
    )
    assert set(opening(path)) == {"A.one", "two.inner", "", "four"}


# Readers ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reader:
    """A function that reads files of strangers.

    Attributes
    ----------
    read
        Called with the path.
    good
        A file that it reads.
    name
        File name.
    """

    read: Callable[[Path], Any]
    good: Callable[[], bytes]
    name: str
    any_bytes: bool = False  # whether any content will do


@cache
def made(ending: str) -> bytes:
    """A small trace, layer or table in a file of that kind."""
    rng = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"made{ending}"
        if ending == ".layer":
            moe.MoELayer.init(4, 3, 2, router="topk", k=1, seed=0).save(path)
        elif ending == ".npy":
            np.save(path, rng.random((2, 8)))
        elif ending == ".routed":
            with path.open("wb") as file:
                np.savez(file, one=np.array([[[0, 1]], [[3, 2]]], np.int16))
        elif ending == ".choices":
            writers.write_layer_parquet(path, [[0, 1], [3, 2]], [[0.5, 0.25]] * 2)
        elif ending == ".gate":
            with path.open("wb") as file:
                np.savez(
                    file, logits=rng.normal(size=(6, 4)), experts=np.tile([0, 1], (6, 1)),
                    weights=np.full((6, 2), 0.5), score="softmax", renormalize=True, n_group=1,
                )  # fmt: skip
        else:
            expert_LNK = np.tile(np.array([[0, 1]], np.int16), (2, 6, 1))
            weight_LNK = np.full(expert_LNK.shape, 0.5, np.float32)
            trace = make_trace(expert_LNK, weight_LNK, 4, np.arange(6), tokens=["a"] * 6)
            save_trace(trace, path)
        return path.read_bytes()


def some_trace() -> Any:
    expert_LNK, weight_LNK = np.zeros((2, 3, 1), np.int16), np.ones((2, 3, 1), np.float32)
    return make_trace(expert_LNK, weight_LNK, 4, np.arange(3))


LOGITS = b"layer,token,logit_0,logit_1\n0,a,1,2\n0,b,3,4\n1,a,5,6\n1,b,7,8\n"
MIXTRAL = json.dumps({
    "model_type": "mixtral", "hidden_size": 8, "intermediate_size": 4, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 16, "num_local_experts": 4,
    "num_experts_per_tok": 2,
}).encode()  # fmt: skip
PLAN = b"""experiment = "train"
seeds = [0, 1]

[settings]
steps = 2
learning_rate = 0.01

[grid]
router = ["topk", "switch"]
"""


def open_folder(path: Path) -> Any:
    """A checkpoint's folder of which this is the safetensors file."""
    (path.parent / "config.json").write_bytes(json.dumps(fabricate.CONFIG).encode())
    with open_checkpoint(path.parent) as checkpoint:
        return {name: checkpoint.read(name).tolist() for name in checkpoint.names}


def open_zip(path: Path) -> Any:
    with open_archive(path) as checkpoint:
        return checkpoint.names


READERS = {
    "archive": Reader(open_zip, lambda: fabricate.zipped(fabricate.single()), "a.zip"),
    "checkpoint": Reader(open_folder, lambda: fabricate.GOOD, "model.safetensors"),
    "header": Reader(lambda p: read_header(p, "file"), lambda: fabricate.GOOD, "a.safetensors"),
    "npz": Reader(read_npz, fabricate.good_npz, "a.npz"),
    "npy": Reader(read_npy, lambda: made(".npy"), "a.npy"),
    "json object": Reader(
        lambda p: parse_object(p.read_bytes(), "file"), lambda: MIXTRAL, "a.json"
    ),
    "config": Reader(model_from_config, lambda: MIXTRAL, "config.json"),
    "guesses": Reader(
        lambda p: read_guesses(p.read_bytes()),
        lambda: file_of([Given("cure", "How many?", ("2", "9"), "2", "9", "It was 8.")]),
        "guesses.json",
    ),
    "text": Reader(from_file, lambda: b"to be or not to be " * 200, "a.txt", any_bytes=True),
    "gate": Reader(read_recordings, lambda: made(".gate"), "gate.npz"),
    "loads": Reader(read_loads, lambda: b"1,2,3,4\n5,6,7,8\n", "loads.csv"),
    "document": Reader(
        lambda p: read_documents([p]), lambda: b"to be or not", "a.txt", any_bytes=True
    ),
    "plan": Reader(read_plan, lambda: PLAN, "plan.toml"),
    "placement": Reader(
        lambda p: read_placement(str(p), some_trace()), lambda: b"[0, 1, 2, 3]", "placement.json"
    ),
    "saved layer": Reader(load, lambda: made(".layer"), "layer.safetensors"),
    "marks": Reader(
        lambda p: read_marks(p, ["scores"]),
        lambda: b"file,sha256,scores,right,note\na.py,00,right,1,\n",
        "marks.csv",
    ),
    "submission": Reader(read_source, lambda: b"def scores(): pass", "a.py", any_bytes=True),
    "trace": Reader(load_trace, lambda: made(".npz"), "trace.npz"),
    "score file": Reader(
        lambda p: import_trace("esft", p.parent, n_experts=4, k=2),
        lambda: b"0\t2\t1\t3\t\t0.5\t0.2\t0.1\t0.3\n",
        "expert_weights_1.txt",
    ),
    "counters": Reader(
        lambda p: import_trace("olmoe", p),
        lambda: pickle.dumps([Counter({np.int64(1): 5}), Counter({2: 3})]),
        "arxiv.pkl",
    ),
    "choices": Reader(
        lambda p: import_trace("parquet", p), lambda: made(".choices"), "layer_1.parquet"
    ),
    "routed experts": Reader(
        lambda p: import_trace("vllm", p), lambda: made(".routed"), "answers.npz"
    ),
    "logits": Reader(
        lambda p: read_logits_csv(p, moe.make_router("topk", k=1), max_bytes=2**20),
        lambda: LOGITS,
        "logits.csv",
    ),
}
READERS["answer"] = Reader(
    lambda p: unpack_trace(p.read_bytes(), 2**20), lambda: pack_trace(some_trace()), "answer.npz"
)
OTHER_KINDS = {  # the same readers, of files with another ending
    "loads as json": Reader(read_loads, lambda: b"[[1, 2], [3, 4]]", "loads.json"),
    "loads as npy": Reader(read_loads, lambda: made(".npy"), "loads.npy"),
    "a trace as parquet": Reader(load_trace, lambda: made(".parquet"), "trace.parquet"),
    "loads of a trace": Reader(read_loads, lambda: made(".npz"), "loads.npz"),
}
ALL = READERS | OTHER_KINDS


def attempt(reader: Reader, path: Path) -> bool:
    """Whether the file is read; fails if it is refused otherwise than in one line, or is slow."""
    tracemalloc.start()
    began = time.thread_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            reader.read(path)
        accepted = True
    except ValueError as error:
        accepted = False
        assert str(error).isprintable() and 0 < len(str(error)) < 1500, str(error)[:2000]
    finally:
        seconds = time.thread_time() - began
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seconds < MAX_SECONDS and peak < MAX_PEAK, f"{seconds:.2f} s, {peak / 1e6:.0f} MB"
    return accepted


@cache
def warm(reader: Reader) -> None:
    """Read a good file once, since the first use of a router compiles kernels."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / reader.name
        path.write_bytes(reader.good())
        reader.read(path)


def written(folder: Path, reader: Reader, content: bytes) -> Path:
    warm(reader)
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / reader.name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ALL)
def test_the_good_file_is_read(tmp_path: Path, name: str) -> None:
    assert attempt(ALL[name], written(tmp_path, ALL[name], ALL[name].good()))


HUGE = b"9" * 5000
CONTENTS = {
    "nothing": b"",
    "zero": b"\0",
    "zeros": bytes(70_000),
    "not text": bytes(range(256)) * 20,
    "latin-1": "é,ü\n".encode("latin-1") * 9,
    "utf-16": "[1, 2]".encode("utf-16"),
    "half a surrogate": b'["\\ud800"]',
    "surrogate bytes": b"\xed\xa0\x80,1\n",
    "a long line": b"a" * 2_000_000,
    "a long number": b"9" * 2_000_000,
    "long key": b'{"' + b"k" * 200_000 + b'": 1}',
    "many commas": b"," * 3_000_000,
    "many rows": b"1\n" * 1_500_000,
    "many quotes": b'"' * 1_000_001,
    "deep lists": b"[" * 200_000,
    "deep closed lists": b"[" * 40_000 + b"]" * 40_000,
    "deep objects": b'{"a":' * 50_000,
    "deep keys": b"a." * 60_000 + b"a = 1",
    "deep tables": b"[" + b"a." * 60_000 + b"a]\n",
    "deep values": b"settings = " + b"[" * 50_000,
    "deep inline tables": b"settings = " + b"{a = " * 10_000,
    "nested settings": b'experiment = "train"\nsettings.' + b"a." * 5_000 + b"a = 1\n",
    "empty lists": b"[" + b"[]," * 700_000 + b"[]]",
    "empty objects": b"[" + b"{}," * 700_000 + b"{}]",
    "twice": b'{"model_type": "mixtral", "model_type": "mixtral"}',
    "NaN": b"[NaN, Infinity, 1, 2]",
    "no number": b"nan,inf\n1,2\n",
    "beyond a float": b"1e999,1e999\n",
    "beyond an int": b"[" + HUGE + b"]",
    "an int of a plan": b'experiment = "train"\n[settings]\nlearning_rate = ' + HUGE[:400] + b"\n",
    "seeds of a plan": b'experiment = "train"\nseeds = [' + HUGE[:400] + b"]\n",
    "control characters": b'experiment = "\\u001b[31m"\n',
    "wrong type": b'{"model_type": ["mixtral", {}], "num_hidden_layers": "2"}',
    "wrong type of many": b'{"model_type": "' + b"x" * 500_000 + b'"}',
    "ragged": b"[[1, 2], [3]]",
    "text": b'"text"',
    "null": b"null",
    "true": b"true",
    "zip": fabricate.zipped({"a": b"b"}),
    "zip bomb": fabricate.zipped({"logits.npy": fabricate.npy("(7340032,)", bytes(28 << 20))}),
    "zip of many": fabricate.zipped({f"{n}.npy": b"" for n in range(3000)}),
    "zip with something before": b"MZ" + fabricate.good_npz(),
    "zip twice": fabricate.good_npz() * 2,
    "end of a zip": b"PK\x05\x06" + b"\xff" * 18,
    "lying npy": fabricate.npy("(1000000000000,)"),
    "lying npy of little": fabricate.npy("(3,)", b"\0"),
    "npy of objects": fabricate.npy("(1,)", b"cos\nsystem\n(S'true'\ntR.", "|O"),
    "npy of text beyond Unicode": fabricate.npy("(1,)", b"\xff\xff\xff\x7f", "<U1"),
    "npy of truth 7": fabricate.npy("(4,)", b"\7" * 4, "|b1"),
    "npy of complex": fabricate.npy("(2, 2)", bytes(64), "<c16"),
    "npy of many axes": fabricate.npy("(" + "1, " * 60 + ")", bytes(4)),
    "npy with code": fabricate.npy("", header=b"__import__('os').abort()\n"),
    "npy with a deep header": fabricate.npy("", header=b"(" * 3000),
    "npz of text beyond Unicode": fabricate.zipped(
        {"score.npy": fabricate.npy("()", b"\xff\xff\xff\x7f", "<U1")}
    ),
    "safetensors of huge header": (2**63).to_bytes(8, "little") + b"{}",
    "safetensors of deep header": fabricate.as_file(b'{"a":' * 9000),
}
# What is a good file of that kind, strange as it is.
ACCEPTED = {
    "json object": {"wrong type", "wrong type of many", "long key"},
    "plan": {"seeds of a plan"},  # any whole number seeds a generator
}


@pytest.mark.parametrize("name", [name for name in ALL if not ALL[name].any_bytes])
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    reader = ALL[name]
    accepted = {
        what
        for what, content in CONTENTS.items()
        if attempt(reader, written(tmp_path / str(len(what)), reader, content))
    }
    assert accepted == ACCEPTED.get(name, set())


@pytest.mark.parametrize("name", [name for name in ALL if ALL[name].any_bytes])
def test_readers_of_any_bytes_take_them_or_say_why(tmp_path: Path, name: str) -> None:
    for what, content in CONTENTS.items():
        attempt(ALL[name], written(tmp_path / what.replace(" ", "-"), ALL[name], content))


@cases(200)
def test_files_with_changed_bytes_are_read_or_refused_in_one_line(tmp_path, draw):
    reader = ALL[draw(st.sampled_from(sorted(ALL)))]
    attempt(reader, written(tmp_path, reader, scarred(draw, reader.good())))


NOT_FILES = {
    "nothing there": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": lambda path: path.symlink_to(path.with_name("none")),
}


@pytest.mark.parametrize(
    "name", [name for name in ALL if name not in ("checkpoint", "json object", "answer", "guesses")]
)
def test_what_is_no_plain_file_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    """A pipe would block, a device never end."""
    reader = ALL[name]
    for what, make in NOT_FILES.items():
        folder = tmp_path / what.replace(" ", "-")
        folder.mkdir()
        make(folder / reader.name)
        assert not attempt(reader, folder / reader.name), what
    for path in ("x" * 5000 + reader.name, "nul\0" + reader.name):
        assert not attempt(reader, Path(path)), path[:9]
