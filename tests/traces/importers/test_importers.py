"""Each kind of file, written by hand, comes in as it was; what is no such file is refused."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from moe.cluster.eplb_report import read_loads
from moe.errors import CheckpointError
from moe.traces import load_trace, save_trace
from moe.traces.importers import (
    FILES,
    IMPORTERS,
    Imported,
    Loads,
    base,
    import_trace,
    importer_rows,
    olmoe,
    parquet,
)
from moe.traces.importers.base import trace_of_choices
from moe.traces.importers.parquet import answer
from moe.traces.myths import check_myths
from moe.traces.npz import unpack
from moe.traces.report import analyse_trace
from tests.traces.importers import writers

Run = Callable[..., subprocess.CompletedProcess[str]]


def trace_of(kind: str, path: Path, **options: object) -> Imported:
    found = import_trace(kind, path, **options)
    assert isinstance(found, Imported)
    return found


# ESFT ------------------------------------------------------------------------------------------

TASKS = {
    "intent": [
        [
            [[(3, 0.5), (0, 0.25)], [(1, 0.1), (2, 0.9)]],
            [[(7, 0.6), (5, 0.3)], [(0, 0.4), (7, 0.2)]],
        ],
        [[[(2, 0.7), (6, 0.1)], [(4, 0.3), (3, 0.3)]]],
    ],
    "law": [[[[(5, 0.125), (6, 0.5)], [(6, 0.25), (7, 0.0)]]]],
}  # fmt: skip


@pytest.fixture
def esft(tmp_path: Path) -> Path:
    writers.write_esft(tmp_path / "ESFT", TASKS)
    return tmp_path / "ESFT"


def test_score_files_come_in_best_first_with_tasks_and_documents(esft: Path) -> None:
    trace = trace_of("esft", esft, n_experts=8, k=2).trace
    assert trace.layers == (1, 2) and trace.n_experts == 8 and trace.n_tokens == 4
    # Sorted by weight; of equals the lower number stands first, as the file has it.
    assert trace.expert_LNK.tolist() == [
        [[3, 0], [7, 5], [2, 6], [6, 5]], [[2, 1], [0, 7], [3, 4], [6, 7]],
    ]  # fmt: skip
    assert np.allclose(trace.weight_LNK[0], [[0.5, 0.25], [0.6, 0.3], [0.7, 0.1], [0.5, 0.125]])
    assert trace.domains == ("intent", "law") and trace.domain_N.tolist() == [0, 0, 0, 1]
    assert trace.sequence_N.tolist() == [0, 0, 1, 2] and trace.token_ids_N is None


def test_a_folder_of_tasks_or_one_task_will_do(esft: Path) -> None:
    scores = esft / "results" / "expert_scores"
    for path, n_tokens in ((scores, 4), (scores / "law", 1)):
        assert trace_of("esft", path, n_experts=8, k=2).trace.n_tokens == n_tokens


def spoil_esft(esft: Path, content: bytes, task: str = "law", layer: int = 1) -> None:
    path = esft / "results" / "expert_scores" / task / f"expert_weights_{layer}.txt"
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"1\t2\t\tnan\t0.5\n", "begins with"),
        (b"1\t2\t\t1e999\t0.5\n", "NaN or infinity"),
        (b"1\t99\t\t0.5\t0.5\n", "numbers from 0 to 99"),
        (b"1\t-2\t\t0.5\t0.5\n", "begins with"),
        (b"1\t1\t\t0.5\t0.5\n", "one expert twice"),
        (b"1\t2\t\t0.5\n", "got 2 experts and 1 weights"),
        (b"1\t2\t3\t\t0.5\t0.5\t0.5\n", "got 3 experts"),
        (b"1\t2\t3\t4\t\t0.5\t0.5\t0.5\t0.5\n", "documents of other lengths"),
        (b"1\t2\t\t0.5\t0.5\n1\t2\t\t0.5\t0.5\n", "documents of other lengths"),
        (b"1\t2\t\t0.5\t--\n", "no number"),
        (b"1_0\t2\t\t0.5\t0.5\n", "begins with"),
        (b"1\t" * 1_000_000 + b"1\t\t1\n", "got 1000001 experts and 1 weights"),
        (b"1\t" * 3_000_000, "beyond 4194304 bytes"),
        (b"9" * 3_000_000 + b"\t\t1\n", "begins with"),
        (b"", "documents of other lengths"),
    ],
)
def test_a_score_file_that_is_not_one_is_refused(esft: Path, content: bytes, words: str) -> None:
    spoil_esft(esft, content, layer=2)
    with pytest.raises(CheckpointError, match=words):
        trace_of("esft", esft, n_experts=8, k=2)


def test_links_out_of_a_clone_and_missing_layers_are_refused(esft: Path, tmp_path: Path) -> None:
    law = esft / "results" / "expert_scores" / "law"
    secret = tmp_path / "secret.txt"
    secret.write_text("1\t2\t\t0.5\t0.5\n")
    (law / "expert_weights_2.txt").unlink()
    with pytest.raises(CheckpointError, match="'law': got 1 layers, allowed are the 2 of 'intent'"):
        trace_of("esft", esft, n_experts=8, k=2)
    (law / "expert_weights_2.txt").symlink_to(secret)
    with pytest.raises(CheckpointError, match="leads out of the folder"):
        trace_of("esft", esft, n_experts=8, k=2)
    (law / "expert_weights_2.txt").unlink()
    os.mkfifo(law / "expert_weights_2.txt")
    with pytest.raises(CheckpointError, match="not a plain file"):
        trace_of("esft", esft, n_experts=8, k=2)


def test_a_trace_without_ids_says_what_it_cannot_tell(esft: Path) -> None:
    rng = np.random.default_rng(1)
    documents = [
        [
            [[(int(e), 0.5) for e in rng.permutation(8)[:2]] for _ in range(2)]
            for _ in range(200)
        ]
        for _ in range(2)
    ]  # fmt: skip
    writers.write_esft(esft / "more", {"a": documents, "b": documents})
    trace = trace_of("esft", esft / "more", n_experts=8, k=2).trace
    assert "cannot be told, as the trace has no token ids" in check_myths(trace)[0].answer
    assert all(layer.vocabulary is None for layer in analyse_trace(trace).layers)


# Arrays of servers -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64])
def test_arrays_of_servers_come_in_by_layer(tmp_path: Path, kind: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    one, two = (writers.choices(rng, n, 3, 2, 8).astype(dtype) for n in (5, 4))
    np.savez(tmp_path / "both.npz", one=one, two=two)
    found = trace_of(kind, tmp_path / "both.npz", n_experts=9)
    both = np.concatenate([one, two])
    for layer in range(3):
        assert (found.trace.expert_LNK[layer] == both[:, layer]).all()
    assert found.trace.sequence_N.tolist() == [0] * 5 + [1] * 4
    assert (found.trace.weight_LNK == 0.5).all() and "no gate weights" in found.notes[0]
    np.save(tmp_path / "one.npy", one)
    alone = trace_of(kind, tmp_path / "one.npy")
    assert alone.trace.n_experts == one.max() + 1 and "highest number" in alone.notes[0]


def test_dense_layers_and_tokens_that_did_not_pass_are_left_out(tmp_path: Path) -> None:
    array = writers.choices(np.random.default_rng(3), 6, 4, 2, 8) % 7 + 1
    array[:, :, 1] = (array[:, :, 0] + 1) % 8
    expected = array[:5, 1:]
    array[:, 0] = 0  # a layer without experts
    array[5] = 0  # the last token of an answer is never passed on
    np.save(tmp_path / "a.npy", array)
    found = trace_of("vllm", tmp_path / "a.npy", n_experts=8)
    assert found.trace.layers == (1, 2, 3)
    assert (found.trace.expert_LNK == expected.transpose(1, 0, 2)).all()
    assert "1 token with zeros" in found.notes[0] and "1 layer with zeros" in found.notes[1]


def test_answers_of_both_servers_are_read_without_building_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one, two = (writers.choices(rng, n, 3, 2, 8) for n in (5, 4))
    path = tmp_path / "answers.jsonl"
    path.write_bytes(writers.vllm_answer([one]) + b"\n" + writers.vllm_answer([two]))
    trace = trace_of("vllm", path, n_experts=8).trace
    assert (trace.expert_LNK == np.concatenate([one, two]).transpose(1, 0, 2)).all()
    path.write_bytes(writers.sglang_answer(one) + b"\n" + writers.sglang_answer(two))
    again = trace_of("sglang", path, n_experts=8, n_layers=3, k=2).trace
    assert (again.expert_LNK == trace.expert_LNK).all()
    flat = tmp_path / "flat.npy"
    np.save(flat, one.reshape(5, 6))
    assert trace_of("sglang", flat, n_layers=3, k=2).trace.n_tokens == 5
    with pytest.raises(CheckpointError, match="--n-layers 0 and --k 0"):
        trace_of("sglang", path)


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 2, 2), np.float32), "float32"),
        (np.full((4, 2, 2), np.nan), "float64"),
        (np.array([[[0, 1]], [[2, 8]]]), "numbers from 0 to 8"),
        (np.array([[[0, -2]]]), "numbers from -2 to 0"),
        (np.array([[[1, 1]]]), "one expert twice"),
        (np.array([[[-1, 1]]]), "-1 before an expert"),
        (np.zeros((1, 1, 1_000_000), np.int8), "got none"),
        (np.arange(1_000_000).reshape(1, 1, -1), "numbers from 0 to 999999"),
        (np.zeros((0, 2, 2), np.int16), "got none"),
        (np.ones((1, 5000, 1), np.int16), "layers"),
        (np.full((1, 1, 1), 2**40), "numbers from"),
    ],
)
def test_arrays_that_are_no_choices_are_refused(
    tmp_path: Path, kind: str, array: np.ndarray, words: str
) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(CheckpointError, match=words):
        trace_of(kind, tmp_path / "a.npy", n_experts=8)


def test_arrays_of_different_shapes_zip_bombs_and_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.ones((2, 2, 2), np.int8), b=np.ones((2, 3, 2), np.int8))
    with pytest.raises(CheckpointError, match="got 2 shapes"):
        trace_of("vllm", path)
    np.savez_compressed(path, a=np.zeros((100_000, 50, 8), np.int32))
    with pytest.raises(CheckpointError, match="npz file"):
        trace_of("vllm", path)
    path.write_bytes(pickled_call("touch", tmp_path / "ran"))
    with pytest.raises(CheckpointError, match="begins with"):
        trace_of("vllm", path)
    np.save(tmp_path / "o.npy", np.array([{}, []], object), allow_pickle=True)
    with pytest.raises(CheckpointError, match="pickled objects"):
        trace_of("sglang", tmp_path / "o.npy")
    path.write_bytes(b'{"routed_experts": "AAA"}')
    with pytest.raises(CheckpointError, match="no base64"):
        trace_of("sglang", path, n_layers=1, k=1)
    path.write_bytes(b'{"routed_experts": "AAAA"}')
    with pytest.raises(CheckpointError, match="got 3 bytes"):
        trace_of("sglang", path, n_layers=1, k=1)


# Counters --------------------------------------------------------------------------------------

TABLE = [{0: 5, 3: 2}, {1: 7}, {2: 300_000, 0: 2**40}]


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("plain", [False, True])
def test_counters_become_loads(tmp_path: Path, protocol: int, plain: bool) -> None:
    (tmp_path / "arxiv.pkl").write_bytes(writers.counters(TABLE, protocol, plain))
    (tmp_path / "book.pkl").write_bytes(writers.counters([{3: 1}, {3: 1}, {3: 1}], protocol))
    found = import_trace("olmoe", tmp_path)
    assert isinstance(found, Loads)
    assert found.load_LE.tolist() == [[5, 0, 0, 3], [0, 7, 0, 1], [2**40, 0, 300_000, 1]]
    assert found.layers == (0, 7, 15) and found.files == ("arxiv", "book")
    one = import_trace("olmoe", tmp_path / "arxiv.pkl", n_experts=6)
    assert isinstance(one, Loads) and one.load_LE.shape == (3, 6)
    for ending in (".csv", ".json"):
        found.save(tmp_path / f"loads{ending}")
        assert (read_loads(tmp_path / f"loads{ending}")[0] == found.load_LE).all()


def pickled_call(command: str, path: Path) -> bytes:
    """A pickle that would run a command."""

    class Evil:
        def __reduce__(self) -> tuple:
            return os.system, (f"{command} {path}",)

    return pickle.dumps([Evil()])


class Holder:
    """An object of somebody's class."""


def nested(depth: int) -> bytes:
    """A counter whose key is a pair of one pair twice, and so on: hashing it takes for ever."""
    key = b")" + b"q\x00h\x00\x86" * depth
    return b"\x80\x04](ccollections\nCounter\n}(" + key + b"K\x01u\x85Re."


def of_dtype(dtype: str, raw: bytes) -> bytes:
    """A counter whose key is built as numpy's scalars are."""
    scalar = b"cnumpy.core.multiarray\nscalar\n"
    kind = b"cnumpy\ndtype\n(X" + len(dtype).to_bytes(4, "little") + dtype.encode() + b"\x89\x88tR"
    bytes_ = b"C" + bytes([len(raw)]) + raw
    return b"\x80\x04](ccollections\nCounter\n}(" + scalar + kind + bytes_ + b"\x86RK\x05u\x85Re."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "names 'os.system'"),
        (b"\x80\x04cbuiltins\neval\nX\x01\x00\x00\x001\x85R.", "names 'builtins.eval'"),
        (nested(60), "something else than whole numbers"),
        (pickle.dumps([Counter({(0, 1): 1})]), "something else than whole numbers"),
        (pickle.dumps([Counter({True: 1})]), "something else than whole numbers"),
        (pickle.dumps([Counter({1: 1.5})]), "operation BINFLOAT"),
        (pickle.dumps([Counter({1: float("nan")})]), "operation BINFLOAT"),
        (pickle.dumps([Counter({1: Fraction(1, 2)})]), "names 'fractions.Fraction'"),
        (pickle.dumps([Counter({-1: 1})]), "got expert -1"),
        (pickle.dumps([Counter({10**9: 1})]), "got expert 1000000000"),
        (pickle.dumps([Counter({1: 10**300})]), "chosen 1000000000"),
        (pickle.dumps([Counter({1: -1})]), "chosen -1 times"),
        (pickle.dumps([{1}]), "operation EMPTY_SET"),
        (pickle.dumps([Holder()]), "names|operation"),
        (pickle.dumps({1: 2}), "no list"),
        (pickle.dumps([]), "no list"),
        (pickle.dumps([[1]]), "something else than a counter"),
        (pickle.dumps(Counter({1: 1}))[:-8], "cannot be read"),
        (b"\x80\x04]" + b"\x94" * 900_000, "cannot be read"),
        (b"\x80\x04](" + b"K\x01" * 400_000 + b"e.", "no list"),
        (b"\x80\x04]\x94h\x00\x85h\x00\x86\x93.", "names values"),
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", "cannot be read"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "cannot be read"),
        (of_dtype("i8", bytes(4)), "another size"),
        (of_dtype("O", b""), "builds something else"),
        (of_dtype("V2147483647", b""), "builds something else"),
        (b"\x80\x04(((((.", "no list"),
        (b".", "cannot be read"),
        (b"x" * 2_000_000, "2000000 bytes"),
    ],
)
def test_a_pickle_that_is_no_counter_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        import_trace("olmoe", path)


def test_a_good_number_of_numpy_is_read_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(of_dtype("i8", (6).to_bytes(8, "little")))
    found = import_trace("olmoe", tmp_path)
    assert isinstance(found, Loads) and found.load_LE.tolist() == [[0] * 6 + [5]]


def test_nothing_of_a_pickle_is_run(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickled_call("touch", tmp_path / "ran"))
    with pytest.raises(CheckpointError, match=r"names '(posix|nt).system'"):
        import_trace("olmoe", tmp_path)
    assert not (tmp_path / "ran").exists()
    text = Path(import_trace.__code__.co_filename).with_name("olmoe.py").read_text()
    assert not re.search(r"^import pickle$|pickle\.loads?\b|Unpickler\(", text, re.MULTILINE)


def test_counters_of_several_lengths_links_and_few_experts_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "counts"
    folder.mkdir()
    with pytest.raises(CheckpointError, match=r"with 0 files that end in \.pkl"):
        import_trace("olmoe", folder)
    (folder / "a.pkl").write_bytes(writers.counters(TABLE))
    with pytest.raises(CheckpointError, match="n_experts: got 3"):
        import_trace("olmoe", folder, n_experts=3)
    (folder / "b.pkl").write_bytes(writers.counters(TABLE[:2]))
    with pytest.raises(CheckpointError, match=r"got \[2, 3\] layers"):
        import_trace("olmoe", folder)
    (folder / "b.pkl").unlink()
    (tmp_path / "out.pkl").write_bytes(writers.counters(TABLE))
    (folder / "b.pkl").symlink_to(tmp_path / "out.pkl")
    with pytest.raises(CheckpointError, match="leads out of the folder"):
        import_trace("olmoe", folder)


# Parquet ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fixed", [False, True])
def test_parquet_of_layers_comes_in_with_ids(tmp_path: Path, fixed: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    experts = writers.choices(np.random.default_rng(5), 6, 2, 3, 8).transpose(1, 0, 2).tolist()
    scores = [[[0.5, 0.25, 0.125]] * 6] * 2
    for layer in (2, 10):
        writers.write_layer_parquet(
            tmp_path / f"layer_{layer:02d}.parquet", experts[layer > 2], scores[layer > 2], fixed
        )
    (tmp_path / "notes.txt").write_text("no layer")
    ids = tmp_path / "ids.parquet"
    pq.write_table(pa.table({"token_id": pa.array([9, 8, 7, 6, 5, 4], pa.int32())}), ids)
    trace = trace_of("parquet", tmp_path, max_tokens=4, token_ids=str(ids)).trace
    assert trace.layers == (2, 10) and trace.expert_LNK.tolist() == [e[:4] for e in experts]
    assert trace.token_ids_N.tolist() == [9, 8, 7, 6]
    assert (trace.weight_LNK == np.array([0.5, 0.25, 0.125], np.float32)).all()
    one = trace_of("parquet", tmp_path / "layer_10.parquet", n_experts=8).trace
    assert one.layers == (10,) and one.n_tokens == 6 and one.token_ids_N is None


def test_parquet_that_is_no_table_of_choices_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "layer_1.parquet"
    bad = {
        "allowed is a list of numbers": {"indices": [1, 2]},
        "got no column 'indices'": {"experts": [[1, 2]]},
        "lists of up to 2000": {"indices": [list(range(2000))]},
        "numbers from 0 to 99": {"indices": [[0, 99]]},
        "other lengths than indices": {"indices": [[0, 1]], "scores": [[0.5]]},
        "one expert twice": {"indices": [[1, 1]]},
        "missing values": {"indices": [[1, None]]},
        "NaN or infinity": {"indices": [[1]], "scores": [[float("nan")]]},
    }
    for words, columns in bad.items():
        pq.write_table(pa.table(columns), path)
        request = {"files": [str(path)], "token_ids": [], "max_tokens": 9}
        with pytest.raises(CheckpointError, match=words):  # what the separate process does
            arrays, _ = unpack(answer(json.dumps(request).encode()), 2**20)
            trace_of_choices(arrays["experts"], 8, weight_LNK=arrays.get("weights"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + whole[-8:])
    with pytest.raises(
        CheckpointError, match=r"layer_1\.parquet': got Parquet that cannot be read"
    ):
        trace_of("parquet", path)
    path.write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="2 bytes that are no Parquet"):
        trace_of("parquet", path)


def test_lists_of_different_lengths_end_with_no_expert(tmp_path: Path) -> None:
    path = tmp_path / "layer_3.parquet"
    writers.write_layer_parquet(path, [[1, 2], [3], [0, 4]], None)
    found = trace_of("parquet", path)
    assert found.trace.expert_LNK.tolist() == [[[1, 2], [3, -1], [0, 4]]]
    assert found.trace.weight_LNK.tolist() == [[[0.5, 0.5], [1, 0], [0.5, 0.5]]]


# All of them -----------------------------------------------------------------------------------


def test_every_file_has_one_kind_with_its_source() -> None:
    assert list(IMPORTERS) == list(FILES) == [row["name"] for row in importer_rows()]
    for row in importer_rows():
        assert row["source"].startswith("https://") and row["gives"] in ("trace", "loads")


def test_a_wrong_kind_or_option_is_named() -> None:
    with pytest.raises(ValueError, match="from: got 'magic', allowed is one of esft, vllm"):
        import_trace("magic", ".")
    with pytest.raises(ValueError, match="option of vllm: got 'k', allowed is one of n_experts"):
        import_trace("vllm", ".", k=2)
    with pytest.raises(ValueError, match="k: got 0, allowed is a whole number in"):
        import_trace("esft", ".", k=0)


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_file_of_that_kind_is_one_line(tmp_path: Path, kind: str, run_moe: Run) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_bytes(b"\x00" * 100)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    out = tmp_path / ("out.csv" if IMPORTERS[kind].gives == "loads" else "out.npz")
    for name in ("none", "empty", "pipe", "text", "loop", "x" * 4000):
        done = run_moe(
            "trace", "import", "--from", kind, str(tmp_path / name), "--out", str(out), code=2
        )
        (line,) = done.stderr.splitlines()
        assert line.startswith("moe: ") and done.stdout == "" and len(line) < 600, name
    assert not out.exists()


def test_the_command_writes_a_trace_that_the_others_read(
    esft: Path, tmp_path: Path, run_moe: Run
) -> None:
    out = tmp_path / "out.npz"
    command = "trace", "import", "--from", "esft", str(esft), "--out", str(out)
    said = json.loads(run_moe(*command, "--n-experts", "8", "--k", "2", "--json").stdout)
    assert said["n_tokens"] == 4 and said["layers"] == [1, 2] and said["k"] == 2
    again = load_trace(out)
    assert again.domains == ("intent", "law") and again.token_ids_N is None
    text = run_moe(*command, "--n-experts", "8", "--k", "2", COLUMNS="200").stdout
    assert "4 tokens, 2 MoE layers, 2 of 8 experts per token" in text and "moe analyze" in text
    out = tmp_path / "out.parquet"
    run_moe(*command[:-1], str(out), "--n-experts", "8", "--k", "2")
    assert (load_trace(out).expert_LNK == again.expert_LNK).all()


def test_loads_are_no_trace_and_the_command_says_so(tmp_path: Path, run_moe: Run) -> None:
    (tmp_path / "arxiv.pkl").write_bytes(writers.counters(TABLE))
    command = "trace", "import", "--from", "olmoe", str(tmp_path), "--out"
    line = run_moe(*command, str(tmp_path / "out.npz"), code=2).stderr
    assert "not by which token" in line and "`moe place` reads loads" in line
    said = json.loads(run_moe(*command, str(tmp_path / "out.json"), "--json").stdout)
    assert said["loads"] == [[5, 0, 0, 2], [0, 7, 0, 0], [2**40, 0, 300_000, 0]]
    assert json.loads((tmp_path / "out.json").read_text()) == said["loads"]
    done = run_moe("place", str(tmp_path / "out.json"), "--gpus", "2", "--json")
    assert json.loads(done.stdout)["layers"] == [0, 1, 2]


def test_the_help_names_every_kind_and_every_option_of_it(run_moe: Run) -> None:
    said = " ".join(run_moe("trace", "import", "--help", COLUMNS="400").stdout.split())
    for row in importer_rows():
        assert re.search(rf"\b{row['name']}\b", said), row["name"]
        for name in row["options"]:
            assert f"--{name.replace('_', '-')} " in said, name


def test_the_page_lists_every_kind_as_the_registry_has_it() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "traces.md").read_text("utf-8")
    for row in importer_rows():
        options = ", ".join(f"`--{name.replace('_', '-')}`" for name in row["options"])
        line = (
            f"| `{row['name']}` | [{row['title']}]({row['source']}) | {row['reads']} "
            f"| {row['gives']} | {options} |"
        )
        assert line in page, line
    assert page.count("](https://") >= len(FILES)


# Files that are made to mislead ----------------------------------------------------------------


def test_what_a_folder_holds_is_read_whole_or_not_at_all(
    esft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums over the first files of many would be wrong, and nobody would see it."""
    counts = tmp_path / "counts"
    counts.mkdir()
    for name in "abc":
        (counts / f"{name}.pkl").write_bytes(writers.counters(TABLE))
    monkeypatch.setattr(olmoe, "MAX_FILES", 2)
    with pytest.raises(
        CheckpointError, match=r"with 3 files that end in \.pkl, allowed are 1 to 2"
    ):
        import_trace("olmoe", counts)
    monkeypatch.setattr(base, "MAX_ENTRIES", 1)
    for kind, path in (("olmoe", counts), ("parquet", counts), ("esft", esft)):
        with pytest.raises(CheckpointError, match="got more than 1 entries"):
            import_trace(kind, path)


def test_a_small_pickle_of_much_is_refused(tmp_path: Path) -> None:
    """A counter that is named over and over again takes two bytes each time."""
    path = tmp_path / "a.pkl"
    one = (
        b"\x80\x04](ccollections\nCounter\n}J"
        + (2**20 - 1).to_bytes(4, "little")
        + b"K\x01s\x85Rq\x00"
    )
    path.write_bytes(one + b"h\x00" * 4000 + b"e.")
    with pytest.raises(CheckpointError, match="got 4001 layers of 1048576 experts"):
        import_trace("olmoe", path)
    path.write_bytes(writers.counters([{0: 2**53, 1: 1}]))
    with pytest.raises(CheckpointError, match="got 9007199254740993 choices in a layer"):
        import_trace("olmoe", path)
    # Layers together may have more choices than 64 bits count.
    full = np.full((1100, 1), 2**53, np.int64)
    assert f"{1100 * 2**53:,} assignments" in Loads((0,), full, ("a",)).describe()


def test_documents_tokens_and_answers_beyond_what_memory_holds_are_refused(
    esft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moe.traces.importers import esft as esft_file
    from moe.traces.importers import routed_experts

    monkeypatch.setattr(esft_file, "MAX_DOCUMENTS", 5)
    with pytest.raises(CheckpointError, match="got more than 5 documents so far"):
        trace_of("esft", esft, n_experts=8, k=2)
    monkeypatch.setattr(esft_file, "MAX_DOCUMENTS", 6)
    assert trace_of("esft", esft, n_experts=8, k=2).trace.n_tokens == 4
    np.save(tmp_path / "a.npy", np.ones((base.MAX_TOKENS + 1, 1, 1), np.uint8))
    with pytest.raises(
        CheckpointError, match="tokens: got 4,194,305, allowed are at most 4,194,304"
    ):
        trace_of("vllm", tmp_path / "a.npy")
    monkeypatch.setattr(routed_experts, "MAX_ARRAYS", 2)
    path = tmp_path / "a.json"
    path.write_bytes(b'{"routed_experts": "AAAAAA=="}' * 3)
    with pytest.raises(CheckpointError, match="got more than 2 answers"):
        trace_of("sglang", path, n_layers=1, k=1)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ('"routed_experts": [[[1, 2]]]', r'"routed_experts": \['),
        ('"routed_experts": {"data": "AA"}', r'"routed_experts": \{'),
        ('"prompt_routed_experts": "AAAA", "routed_experts": "AAAA"', '"prompt_routed_experts": '),
    ],
)
def test_other_forms_of_a_servers_answer_are_named(tmp_path: Path, field: str, words: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(f"{{{field}}}")
    with pytest.raises(CheckpointError, match=f"got an answer with .*{words}"):
        trace_of("vllm", path)
    path.write_text('{"prompt_routed_experts": null, "routed_experts": null}')
    with pytest.raises(CheckpointError, match=r"allowed is \.npy"):
        trace_of("vllm", path)


def test_layers_and_choices_that_the_file_says_are_not_overruled(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.npy"
    np.save(path, writers.choices(rng, 5, 3, 2, 8))
    for asked in ({}, {"n_layers": 3}, {"k": 2}, {"n_layers": 3, "k": 2}):
        assert trace_of("sglang", path, **asked).trace.n_layers == 3
    for asked in ({"n_layers": 2}, {"k": 3}, {"n_layers": 2, "k": 3}):
        with pytest.raises(CheckpointError, match=r"\(5, 3, 2\) with --n-layers"):
            trace_of("sglang", path, **asked)
    (tmp_path / "b.json").write_bytes(b'{"routed_experts": ""}')
    with pytest.raises(CheckpointError, match="got 0 bytes, allowed are four"):
        trace_of("sglang", tmp_path / "b.json", n_layers=1, k=1)
    for kind, name in (("sglang", "n_layers"), ("sglang", "k"), ("vllm", "n_experts"),
                       ("esft", "n_experts"), ("parquet", "n_experts")):  # fmt: skip
        with pytest.raises(ValueError, match=rf"{name}: got 1000.*, allowed is a whole number in"):
            import_trace(kind, path, **{name: 10**20})


def test_a_task_is_named_after_its_folder_and_never_read_over(
    esft: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    law = esft / "results" / "expert_scores" / "law"
    monkeypatch.chdir(law)
    assert trace_of("esft", Path(), n_experts=8, k=2).trace.domains == ("law",)
    os.rename(law.parent / "intent", law / "law")
    with pytest.raises(CheckpointError, match="got task 'law' twice"):
        trace_of("esft", law, n_experts=8, k=2)


def test_names_that_are_no_text_are_read_all_the_same(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/mod\xe8le.npy"))
    np.save(path, writers.choices(np.random.default_rng(0), 5, 3, 2, 8))
    assert trace_of("vllm", path).trace.model == "mod?le"


def test_a_place_that_cannot_be_written_is_named(esft: Path, tmp_path: Path) -> None:
    (tmp_path / "arxiv.pkl").write_bytes(writers.counters(TABLE))
    loads = import_trace("olmoe", tmp_path / "arxiv.pkl")
    assert isinstance(loads, Loads)
    with pytest.raises(ValueError, match=r"out: got .*No such file.*, allowed is a place to write"):
        loads.save(tmp_path / "none" / "a.csv")
    trace = trace_of("esft", esft, n_experts=8, k=2).trace
    with pytest.raises(ValueError, match=r"path: got .*, allowed is a place to write"):
        save_trace(trace, tmp_path / "none" / "a.npz")


def test_choices_without_weights_say_whose_order_they_are_in(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", writers.choices(np.random.default_rng(0), 5, 3, 2, 8))
    assert "which may not be best first" in trace_of("vllm", tmp_path / "a.npy").notes[-1]


def asked_of_parquet(files: list[Path], ids: list[Path] | None = None) -> dict[str, np.ndarray]:
    """What the separate process answers."""
    request = {
        "files": list(map(str, files)), "token_ids": list(map(str, ids or [])), "max_tokens": 9,
    }  # fmt: skip
    arrays, _ = unpack(answer(json.dumps(request).encode()), 2**20)
    return arrays


def test_parquet_whose_columns_do_not_fit_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, ids = tmp_path / "layer_1.parquet", tmp_path / "ids.parquet"
    uneven = {"indices": [[0, 1], [2, 3]], "scores": [[0.5], [0.5, 0.5]]}
    pq.write_table(pa.table(uneven), path)
    with pytest.raises(CheckpointError, match="scores: got other lengths than indices"):
        asked_of_parquet([path])
    for indices, words in (
        (pa.array([[2**64 - 1]], pa.list_(pa.uint64())), "indices: got 18446744073709551615"),
        (pa.array([[1], None], pa.list_(pa.int16())), "got rows without a list"),
        (pa.array([], pa.list_(pa.int16())), "layer_1.parquet': got no rows"),
    ):
        pq.write_table(pa.table({"indices": indices}), path)
        with pytest.raises(CheckpointError, match=words):
            asked_of_parquet([path])
    pq.write_table(pa.table({"indices": [[0, 1], [2, 3]]}), path)
    for table, words in (
        ({"token": [1, 2]}, "ids.parquet': got no column 'token_id'"),
        ({"token_id": [1]}, "got 1 of int64, allowed are 2"),
        ({"token_id": [1, None]}, "got 2 of float64"),
    ):
        pq.write_table(pa.table(table), ids)
        with pytest.raises(CheckpointError, match=words):
            asked_of_parquet([path], [ids])
    monkeypatch.setattr(parquet, "IMPORT_BYTES", 63)  # a layer has 32 bytes
    with pytest.raises(CheckpointError, match="more than 63 bytes in 2 layers"):
        asked_of_parquet([path, path])
    (tmp_path / "layer_01.parquet").write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match="got layer 1 twice"):
        trace_of("parquet", tmp_path)
