"""Traces survive their files, and nothing hostile passes or crashes."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import moe
from moe import CheckpointError
from moe.traces import Trace, apart, load_trace, make_trace, save_trace, trace_of_routings


def some_trace(n_tokens: int = 12, logits: bool = True, domains: bool = True) -> Trace:
    rng = np.random.default_rng(7)
    logits_LNE = rng.standard_normal((2, n_tokens, 6)).astype(np.float32)
    router = moe.make_router("topk", k=2)
    routings = [router.choose(layer_NE) for layer_NE in logits_LNE]
    tokens = ["é", "␣", "", "x", " ", "\n"]
    return trace_of_routings(
        routings,
        np.arange(n_tokens) % 6,
        model="tiny",
        layers=(1, 3),
        logits_LNE=logits_LNE if logits else None,
        tokens=[tokens[i % 6] for i in range(n_tokens)],
        sequence_N=np.arange(n_tokens) // 4,
        domain_N=np.arange(n_tokens) // 4 % 2 if domains else None,
        domains=("prose", "code") if domains else (),
        context=6 if domains else None,
    )


def assert_same(one: Trace, other: Trace) -> None:
    for name in Trace.__dataclass_fields__:
        mine, theirs = getattr(one, name), getattr(other, name)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype and mine.shape == theirs.shape, name
            assert np.array_equal(mine, theirs), name
        else:
            assert mine == theirs, name


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
@pytest.mark.parametrize("full", [True, False])
def test_a_trace_comes_back_as_it_was(tmp_path: Path, ending: str, full: bool) -> None:
    trace = some_trace(logits=full, domains=full)
    path = tmp_path / f"trace{ending}"
    save_trace(trace, path)
    assert_same(trace, load_trace(path))
    assert_same(trace, load_trace(path.read_bytes()))


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_tokens_with_fewer_experts_come_back(tmp_path: Path, ending: str) -> None:
    experts = np.array([[[3, 0], [2, -1], [-1, -1]]])
    weights = np.array([[[0.5, 0.25], [1.0, 0], [0, 0]]])
    trace = make_trace(experts, weights, 4, np.arange(3))
    path = tmp_path / f"trace{ending}"
    save_trace(trace, path)
    assert_same(trace, load_trace(path))
    routing = load_trace(path).routing(0)
    assert routing.token_A.tolist() == [0, 0, 1]
    assert routing.load.tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_a_trace_without_token_ids_comes_back(tmp_path: Path, ending: str) -> None:
    trace = replace(some_trace(), token_ids_N=None)
    save_trace(trace, tmp_path / f"trace{ending}")
    assert_same(trace, load_trace(tmp_path / f"trace{ending}"))


def test_a_part_of_a_trace_is_those_tokens() -> None:
    trace, at_n = some_trace(), np.array([1, 4, 5])
    part = trace.part(at_n)
    assert part.tokens == tuple(trace.tokens[n] for n in at_n)
    for name in ("expert_LNK", "weight_LNK", "logits_LNE"):
        assert np.array_equal(getattr(part, name), getattr(trace, name)[:, at_n])
    for name in ("token_ids_N", "sequence_N", "domain_N"):
        assert np.array_equal(getattr(part, name), getattr(trace, name)[at_n])


def test_no_tokens_come_back(tmp_path: Path) -> None:
    trace = some_trace(0)
    save_trace(trace, tmp_path / "trace.npz")
    assert_same(trace, load_trace(tmp_path / "trace.npz"))


def test_the_same_trace_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_trace(some_trace(), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_routing_is_what_the_router_said() -> None:
    trace = some_trace()
    assert trace.logits_LNE is not None
    routing = moe.make_router("topk", k=2).choose(trace.logits_LNE[1])
    mine = trace.routing(1)
    assert np.array_equal(mine.expert_A, routing.expert_A)
    assert np.allclose(mine.weight_A, routing.weight_A)
    assert trace.layer_index(3) == 1
    assert "6 experts" in trace.describe()
    for call in (lambda: trace.routing(2), lambda: trace.layer_index(2)):
        with pytest.raises(ValueError, match="allowed"):
            call()


def test_rerouted_tokens_are_recorded_where_they_wanted_to_go() -> None:
    logits_NE = np.tile(np.array([3.0, 2, 1, 0], np.float32), (4, 1))
    routing = moe.Capacity(0.5, "order").apply(moe.make_router("topk", k=1).choose(logits_NE))
    trace = trace_of_routings([routing], np.arange(4))
    assert (trace.expert_LNK == 0).all()


def test_a_table_written_by_pandas_is_read(tmp_path: Path) -> None:
    trace = some_trace()
    save_trace(trace, tmp_path / "trace.parquet")
    table = pd.read_parquet(tmp_path / "trace.parquet")
    assert len(table) == 24 and table.loc[13, "layer"] == 3
    table = table.sort_values("token_id", kind="stable")  # not layer by layer any more
    table = table.sort_values("sequence", kind="stable").reset_index(drop=True)
    table.to_parquet(tmp_path / "other.parquet")
    back = load_trace(tmp_path / "other.parquet")
    assert sorted(back.tokens) == sorted(trace.tokens)
    for layer in range(2):
        load_E = back.routing(layer).load
        assert np.array_equal(load_E, trace.routing(layer).load)


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_experts": 0}, "n_experts: got 0"),
        ({"n_experts": 5}, "experts: got numbers|logits"),
        ({"layers": (3, 1)}, "layers: got 3, 1"),
        ({"layers": (1,)}, "experts: got int16 of shape"),
        ({"model": "x" * 300}, "model: got"),
        ({"weight_LNK": np.zeros((2, 12, 3), np.float32)}, "weights: got float32 of shape"),
        ({"weight_LNK": np.full((2, 12, 2), np.nan, np.float32)}, "weights: got NaN"),
        ({"logits_LNE": np.zeros((2, 12, 5), np.float32)}, "logits: got float32 of shape"),
        ({"expert_LNK": np.zeros((2, 12, 2), np.int16)}, "one expert twice"),
        ({"expert_LNK": np.tile(np.array([-1, 1], np.int16), (2, 12, 1))}, "-1 before|without"),
        ({"tokens": ("a",)}, "tokens: got 1"),
        ({"tokens": ("\0",) * 12}, "tokens: got '\\\\x00'"),
        ({"tokens": ("\ud800",) * 12}, "tokens: got"),
        ({"sequence_N": np.array([0, 1] * 6, np.int32)}, "sequences: got one in two places"),
        ({"token_ids_N": np.zeros(11, np.int64)}, "token_ids: got"),
        ({"domain_N": np.full(12, 2, np.int32)}, "domain: got numbers"),
        ({"domains": ("a", "a")}, "domains: got one name twice"),
        ({"context": 0}, "context: got 0"),
        ({"context": True}, "context: got True"),
    ],
)
def test_a_trace_that_does_not_fit_together_is_refused(change: dict, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        replace(some_trace(), **change)


def test_numbers_that_would_wrap_around_are_refused() -> None:
    ones = np.ones((1, 1, 1))
    with pytest.raises(CheckpointError, match="experts: got numbers"):
        make_trace(np.array([[[65536]]]), ones, 4, np.zeros(1, int))
    with pytest.raises(CheckpointError, match="sequences: got numbers beyond"):
        make_trace(
            np.zeros((1, 1, 1), int), ones, 4, np.zeros(1, int), sequence_N=np.array([2**40])
        )
    with pytest.raises(CheckpointError, match="weights: got NaN"):
        make_trace(np.zeros((1, 1, 1), int), ones * 1e300, 4, np.zeros(1, int))


def archive(**change: object) -> bytes:
    """A good trace's archive with arrays put in (None: left out; bytes: as the entry)."""
    buffer = io.BytesIO()
    trace = some_trace()
    arrays: dict[str, object] = {
        "format": np.array("moescope-trace-1"), "n_experts": np.array(6),
        "experts": trace.expert_LNK, "weights": trace.weight_LNK, "token_ids": trace.token_ids_N,
    }  # fmt: skip
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        for name, array in (arrays | change).items():
            if array is None:
                continue
            if not isinstance(array, bytes):
                entry = io.BytesIO()
                np.save(entry, array, allow_pickle=True)
                array = entry.getvalue()
            out.writestr(f"{name}.npy", array)
    return buffer.getvalue()


def header(shape: str, descr: str = "<f4") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def test_the_least_that_a_file_must_have_is_enough() -> None:
    trace = load_trace(archive())
    assert load_trace(archive(token_ids=None)).token_ids_N is None
    assert trace.layers == (0, 1) and trace.tokens[7] == "1" and trace.logits_LNE is None


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "file: got one that begins with b''"),
        (b"\x80\x04.", "allowed is a trace"),
        (b"PK\x03\x04" + b"x" * 100, "cannot be read"),
        (b"PAR1" + b"x" * 100 + b"PAR1", "cannot be read"),
        (archive(experts=None), "no array 'experts'"),
        (archive(extra=np.zeros(1)), "got array 'extra'"),
        (archive(**{"../x": np.zeros(1)}), "'../x.npy'"),
        (archive(format=np.array("other-9")), "format: got 'other-9'"),
        (archive(n_experts=np.array(2.5)), "n_experts: got float64"),
        (archive(n_experts=np.array([6, 6])), "n_experts: got int64 of shape"),
        (archive(experts=np.array([[["a"]]])), "experts: got <U1"),
        (archive(tokens=np.arange(12)), "tokens: got int64"),
        (archive(tokens=np.array(["x" * 500] * 12)), "tokens: got <U500"),
        (archive(layers=np.zeros((2, 2), int)), "layers: got int64"),
        (archive(context=np.array([6, 7])), "context: got int64"),
        (archive(context=np.array(-1)), "context: got -1"),
        (archive(model=np.array({"a": 1}, dtype=object)), "'model': got pickled objects"),
        (archive(weights=header("(1000000000000,)")), "'weights': got .* bytes, which do not fit"),
        (archive(weights=header("(-1, 5)")), "'weights': got a header"),
        (archive(weights=header("(2, 12, 2)")), "'weights': got .* bytes, which do not fit"),
        (archive(weights=header("(1, 1)") + b"12345"), "'weights': got .* bytes, which do not fit"),
        (archive(weights=header("(0, 99999999999999)")), "'weights': got shape .* without numbers"),
        (archive(weights=b"\x93NUMPY\x07\x00"), "'weights': got something"),
        (archive(weights=b"no"), "'weights': got something"),
    ],
)
def test_a_hostile_file_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        load_trace(raw)


def test_large_files_and_bombs_are_refused_before_they_unpack(tmp_path: Path) -> None:
    bomb = archive(weights=np.zeros(3_000_000, np.float32))
    assert len(bomb) < 50_000
    with pytest.raises(CheckpointError, match=r"unpack to .*, allowed are 1000000"):
        load_trace(bomb, max_bytes=1_000_000)
    with pytest.raises(CheckpointError, match="allowed are 100"):
        load_trace(bomb, max_bytes=100)
    pd.DataFrame({"format": ["x"] * 100_000}).to_parquet(tmp_path / "bomb.parquet")
    with pytest.raises(CheckpointError, match="no column"):
        load_trace(tmp_path / "bomb.parquet", max_bytes=10_000)
    for missing in (tmp_path / "none.npz", tmp_path, "a\0b"):
        with pytest.raises(CheckpointError, match="file: got"):
            load_trace(missing)


def table(**change: object) -> bytes:
    buffer = io.BytesIO()
    columns: dict[str, object] = {
        "format": ["moescope-trace-1"] * 4, "n_experts": [4] * 4, "layer": [0, 0, 1, 1],
        "experts": [[0, 1], [2], [3, 0], []], "weights": [[0.5, 0.5], [1.0], [0.5, 0.5], []],
        "token_id": [5, 6, 5, 6],
    }  # fmt: skip
    kept = {name: values for name, values in (columns | change).items() if values is not None}
    pd.DataFrame(kept).to_parquet(buffer)
    return buffer.getvalue()


def test_the_least_table_is_enough() -> None:
    trace = load_trace(table())
    with pytest.raises(CheckpointError, match="n_experts: got 2 values"):  # said from apart, too
        load_trace(table(n_experts=[4, 4, 4, 5]))
    assert trace.expert_LNK.tolist() == [[[0, 1], [2, -1]], [[3, 0], [-1, -1]]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"experts": None}, "no column 'experts'"),
        ({"more": [1] * 4}, "got column 'more'"),
        ({"format": ["x"] * 4}, "format: got 'x'"),
        ({"n_experts": [4, 4, 4, 5]}, "n_experts: got 2 values"),
        ({"n_experts": [4.5] * 4}, "n_experts: got type double"),
        ({"layer": [0, 0, 0, 1]}, "layer: got different numbers"),
        ({"context": [6, 6, 6, 7]}, "context: got 2 values"),
        ({"token_id": [5, 6, 5, 7]}, "token_id: got different ones by layer"),
        ({"weights": [[0.5], [1.0], [0.5, 0.5], []]}, "weights: got other lengths"),
        ({"experts": [[0, 4], [2], [3, 0], []]}, "experts: got numbers"),
        ({"experts": [[0, 1], None, [3, 0], []]}, "experts: got missing"),
        ({"experts": [[0, None], [2], [3, 0], []]}, "experts: got|cannot be read"),
        ({"logits": [[1.0], [2.0], [1.0], [0.0]]}, "logits: got other lengths"),
        ({"token": ["x" * 2000] * 4}, "token: got 2000 bytes of text"),
    ],
)
def test_a_hostile_table_is_refused(
    change: dict, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "_inside", True)  # what is refused is the same in either process
    with pytest.raises(CheckpointError, match=words):
        load_trace(table(**change))


def test_a_table_that_unpacks_to_too_much_is_refused() -> None:
    long = {"experts": [[0] * 9_000_000, [2], [3, 0], []]}
    raw = table(**long)
    assert len(raw) < 100_000
    with pytest.raises(CheckpointError, match="more than 10000000 bytes"):
        load_trace(raw, max_bytes=10_000_000)
    with pytest.raises(CheckpointError, match=r"lists of up to 9000000"):
        load_trace(raw)


def check_changed_byte(raw: bytes, place: int, value: int) -> None:
    changed = bytearray(raw)
    changed[place % len(raw)] = value
    try:
        assert isinstance(load_trace(bytes(changed), max_bytes=10**7), Trace)
    except CheckpointError as error:
        assert str(error)


@given(st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_a_changed_byte_of_an_npz_gives_a_trace_or_a_clear_error(place: int, value: int) -> None:
    check_changed_byte(archive(), place, value)


@given(st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=4, deadline=None)  # each starts a process; `make soak` takes 1000
def test_a_changed_byte_of_a_table_gives_a_trace_or_a_clear_error(place: int, value: int) -> None:
    check_changed_byte(table(), place, value)


def test_a_table_that_crashes_its_reader_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if the library had crashed: whatever the child dies of, only the child dies.
    monkeypatch.setattr(apart, "sys", SimpleNamespace(executable="/bin/false"))
    with pytest.raises(CheckpointError, match="breaks its reader"):
        load_trace(table())


@pytest.mark.soak
@given(st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=1000, deadline=None)
def test_many_changed_bytes_of_a_table(place: int, value: int) -> None:
    check_changed_byte(table(), place, value)
