"""Files that ask for too much: each is refused or opened within 2 s of processor and 300 MB."""

from __future__ import annotations

import io
import json
import resource
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from moe.app.your_model import closer, opening, upload
from moe.app.your_model.weights import read_contents, run_layer
from moe.traces import apart, load_trace, make_trace, samples, save_trace
from moe.traces.apart import Allowed, ask
from moe.traces.logits_csv import LEAST_VALUES
from moe.traces.myths import check_myths
from moe.traces.report import analyse_trace
from tests.app.your_model.test_story import PARITY, made, zipped

ROOT = Path(__file__).resolve().parents[3]
SECONDS, MEGABYTES = 2.0, 300
# In every process of Python that finds it: how much memory it took at most, in kB.
PEAK = """
import atexit, os, pathlib, resource, sys
def write():
    try:
        said = pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    except OSError:
        said = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    pathlib.Path(__file__).with_name("peak").write_text(str(said))
atexit.register(write)
leave = os._exit
os._exit = lambda code: (write(), leave(code))
"""
HOGS = """
import os, pathlib, sys, tempfile
def answer(raw, what):
    if what == "echo":
        print("noise", file=sys.stderr)
        return raw[::-1]
    if what == "refuse":
        raise ValueError("file: got " + raw.decode() + ",\\n allowed is another")
    if what == "crash":
        os.abort()
    if what == "much":
        return b"x" * (1 << 20)
    if what == "memory":
        return bytes(bytearray(1 << 30))
    if what == "leave":
        return tempfile.mkdtemp().encode()
    while True:
        pass
"""
FORMAT = np.array("moescope-trace-1")


def nobody(words: str = "") -> None:
    """Wait as one who stays."""


def npz(n_tokens: int = 1, n_layers: int = 1, **changed: object) -> bytes:
    shape = (n_layers, n_tokens, 1)
    arrays = {
        "format": FORMAT, "n_experts": np.array(2), "experts": np.zeros(shape, np.int16),
        "weights": np.ones(shape, np.float32), "token_ids": np.zeros(n_tokens, np.int64),
    }  # fmt: skip
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays | {k: np.asarray(v) for k, v in changed.items()})
    return packed.getvalue()


def lying_npz() -> bytes:
    """An array whose header says a thousand times more than there is."""
    with zipfile.ZipFile(io.BytesIO(npz())) as packed:
        entries = {name: packed.read(name) for name in packed.namelist()}
    entries["experts.npy"] = entries["experts.npy"].replace(b"(1, 1, 1)", b"(1, 9999999, 999)")
    made_of = io.BytesIO()
    with zipfile.ZipFile(made_of, "w") as packed:
        for name, content in entries.items():
            packed.writestr(name, content)
    return made_of.getvalue()


def bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("experts.npy", bytes(100 * 2**20))
    return packed.getvalue()


def csv(column: str, n: int, each: str = "{}") -> bytes:
    rows = "".join(f"1,2,{each.format(i)}\n" for i in range(n))
    return f"logit_0,logit_1,{column}\n{rows}".encode()


def columns(n: int) -> bytes:
    names = ",".join(f"logit_{i}" for i in range(n))
    return f"{names}\n{'1,' * (n - 1)}1\n".encode()


def parquet(tmp: Path, n: int) -> bytes:
    """A table in which every token is a domain of its own, and one token's text is long."""
    names = [f"d{i}" for i in range(n)]
    tokens = ["x" * 256, *["y"] * (n - 1)]
    trace = make_trace(
        np.zeros((1, n, 1), np.int16), np.ones((1, n, 1), np.float32), 2, np.arange(n),
        tokens=tokens, domain_N=np.arange(n), domains=names,
    )  # fmt: skip
    save_trace(trace, tmp / "t.parquet")
    return (tmp / "t.parquet").read_bytes()


def ratings(n_rows: int, n_experts: int) -> bytes:
    rng = np.random.default_rng(0)
    rows = [",".join(f"{x:.2f}" for x in rng.standard_normal(n_experts)) for _ in range(50)]
    head = ",".join(f"logit_{i}" for i in range(n_experts))
    return "\n".join([head, *(rows * (n_rows // 50))]).encode()


def filled(n: int, layers: int, n_experts: int, k: int, domains: int, each: int = 2) -> bytes:
    """A trace in which nothing is alike, of sequences of `each` tokens."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, n_experts, (layers, n, 1))
    return npz(
        n_experts=n_experts, experts=((first + np.arange(k)) % n_experts).astype(np.int16),
        weights=np.ones((layers, n, k), np.float32), token_ids=rng.integers(0, n // 20 + 1, n),
        sequences=np.arange(n, dtype=np.int32) // each, tokens=["ab"] * n,
        domain=np.arange(n, dtype=np.int32) * domains // n,
        domains=[f"d{i}" for i in range(domains)],
    )  # fmt: skip


CASES: dict[str, tuple[str, Callable[[Path], bytes], str]] = {
    "12,000 experts": ("a.npz", lambda _: npz(n_experts=12_000), "got 12,000 experts"),
    "1,000,000 columns": ("a.csv", lambda _: columns(1_000_000), "got 1,000,000 columns"),
    "500 domains": ("a.csv", lambda _: csv("domain", 500), ""),
    "2,000 domains": ("a.csv", lambda _: csv("domain", 2_000), "got 2,000 domains"),
    "200,000 domains": ("a.csv", lambda _: csv("domain", 200_000), "got 200,000 domains"),
    "500 sequences": ("a.csv", lambda _: csv("sequence", 500), ""),
    "2,000 sequences": ("a.csv", lambda _: csv("sequence", 2_000), ""),
    "200,000 sequences": ("a.csv", lambda _: csv("sequence", 200_000), "got 200,000 sequences"),
    "500 layers": ("a.csv", lambda _: csv("layer", 500), "got 500 layers"),
    "4,000 layers": ("a.csv", lambda _: csv("layer", 4_000), "got 4,000 layers"),
    "200,000 layers": ("a.csv", lambda _: csv("layer", 200_000), "layers: got 0, 1"),
    "4.5 million rows": (
        "a.csv", lambda _: b"logit_0,logit_1\n" + b"1,2\n" * 4_500_000, "got 4,500,001 lines",
    ),
    "a row of commas": ("a.csv", lambda _: b"logit_0,logit_1\n" + b"," * 19_000_000, "line 2"),
    "one field": ("a.csv", lambda _: b'logit_0,logit_1\n"' + b"1" * 19_000_000, "cannot be read"),
    "UTF-16": ("a.csv", lambda _: "logit_0,logit_1\n1,2\n".encode("utf-16"), "cannot be read"),
    "latin-1": ("a.csv", lambda _: csv("token", 3).replace(b"0", b"\xe9"), "cannot be read"),
    "NUL": ("a.csv", lambda _: csv("token", 3, "\0"), "UTF-8 can hold"),
    "lying sizes": ("a.npz", lambda _: lying_npz(), "do not fit"),
    "a bomb": ("a.npz", lambda _: bomb(), "that unpack to"),
    "broken Parquet": ("a.parquet", lambda _: b"PAR1" + bytes(range(256)) * 4 + b"PAR1", "Parquet"),
    "Parquet of domains": ("a.parquet", lambda tmp: parquet(tmp, 50_000), "got 50,000 domains"),
}  # fmt: skip
LARGE: dict[str, tuple[str, Callable[[Path], bytes], str]] = {
    "many tokens": ("a.npz", lambda _: filled(90_000, 1, 4, 1, 1000), ""),
    "some layers": ("a.npz", lambda _: filled(20_000, 4, 64, 2, 100, 500), ""),
    "many layers": ("a.npz", lambda _: filled(2_000, 70, 128, 4, 100), ""),
    "most layers": ("a.npz", lambda _: filled(1_200, 200, 1024, 1, 3), ""),
    "many experts": ("a.npz", lambda _: filled(4_000, 2, 1024, 32, 100), ""),
    "ratings of 64": ("a.csv", lambda _: ratings(38_000, 64), ""),
    "ratings of 2": ("a.csv", lambda _: ratings(312_000, 2), ""),
    "50,000 sequences": ("a.csv", lambda _: csv("sequence", 50_000), ""),
}


def check_within(name: str, case: tuple[str, Callable[[Path], bytes], str], tmp: Path) -> None:
    """Open a file as the page does, and look at what the process took that did it."""
    file, make, problem = case
    raw = make(tmp)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if problem:
        with pytest.raises(ValueError, match=problem) as refused:
            opening.open_trace(file, raw, 2, nobody)
        assert "\n" not in str(refused.value) and "Warning" not in str(refused.value)
    else:
        assert opening.open_trace(file, raw, 2, nobody).report
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    megabytes = int((tmp / "peak").read_text()) / 1024
    assert seconds <= SECONDS and megabytes <= MEGABYTES, f"{name}: {seconds} s, {megabytes} MB"


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every Python started here writes how much memory it took."""
    (tmp_path / "sitecustomize.py").write_text(PEAK)
    (tmp_path / "hogs.py").write_text(HOGS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_takes_little(name: str, watched: Path) -> None:
    check_within(name, CASES[name], watched)


@pytest.mark.soak
@pytest.mark.parametrize("name", LARGE)
def test_the_largest_file_that_is_opened_takes_little(name: str, watched: Path) -> None:
    check_within(name, LARGE[name], watched)


def test_the_documentation_names_the_sizes() -> None:
    said = " ".join((ROOT / "docs" / "traces.md").read_text("utf-8").split())
    for what, most in upload.MOST.items():
        assert f"{most:,} {what}" in said
    allowed = opening.ALLOWED
    for words in (
        f"{upload.MAX_MB} MB of a stranger's file", f"{upload.MAX_VALUES:,} values",
        f"a row counts as {LEAST_VALUES} at least",
        f"{allowed.seconds} s of processor and {allowed.memory >> 20} MB",
    ):  # fmt: skip
        assert words in said


def test_what_comes_back_is_what_was_read(tmp_path: Path) -> None:
    trace = made()
    save_trace(trace, tmp_path / "t.npz")
    model = opening.open_trace("t.npz", (tmp_path / "t.npz").read_bytes(), 2, nobody)
    assert model.about == trace.describe()
    back = json.loads(json.dumps(model.as_json()))
    assert back["report"] == json.loads(json.dumps(analyse_trace(trace).as_json()))
    assert back["myths"] == json.loads(json.dumps([c.as_json() for c in check_myths(trace)]))
    for name in ("expert_LNK", "weight_LNK", "token_ids_N", "sequence_N", "domain_N"):
        assert np.array_equal(getattr(model.trace, name), getattr(trace, name))
    assert model.trace.tokens == trace.tokens and model.trace.domains == trace.domains
    assert (
        model.trace.layers == trace.layers and closer.line(model, "", "router_information").layers
    )


def test_ratings_are_chosen_by_as_in_the_library() -> None:
    raw = samples.CSV.read_bytes()
    model = opening.open_trace("my.csv", raw, 3, nobody)
    want = upload.read_trace("my.csv", raw, 3)
    assert np.array_equal(model.trace.expert_LNK, want.expert_LNK)
    assert np.allclose(model.trace.weight_LNK, want.weight_LNK, rtol=1e-5)


def test_a_checkpoint_is_looked_at_apart() -> None:
    raw = zipped(PARITY / "mixtral")
    contents = opening.open_contents(raw, nobody)
    assert contents == read_contents(raw)
    layer = contents.layers[0]
    here, there = run_layer(raw, layer), opening.open_layer(raw, layer, nobody)
    assert (there.title, there.sizes, there.words) == (here.title, here.sizes, here.words)
    assert np.array_equal(there.loads.value_RE, here.loads.value_RE)
    assert there.loads.experts == here.loads.experts and there.loads.rows == here.loads.rows


def workers() -> list[psutil.Process]:
    """Processes at work on a file; those of other tests, such as a browser, may stand beside."""
    found = psutil.Process().children()
    return [one for one in found if "moe.traces.apart" in " ".join(one.cmdline())]


def test_work_apart_answers_refuses_and_breaks_down_alone(watched: Path) -> None:
    assert ask("hogs", b"abc", "echo") == b"cba"
    for what, problem in (
        ("refuse", "file: got abc, allowed is another"),
        ("crash", "breaks its reader"),
    ):
        with pytest.raises(ValueError, match=problem):
            ask("hogs", b"abc", what)
    with pytest.raises(ValueError, match="no process to read it in"):
        ask("hogs", b"", "x" * 10**7)
    left = Path(ask("hogs", b"", "leave").decode())
    assert left.parent.name.startswith("moe-") and not left.parent.exists()
    assert not workers()


def test_work_apart_ends_at_its_limits(watched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for what, allowed, problem in (
        ("much", Allowed(answer=1000), "more than 0 MB of results"),
        ("memory", Allowed(memory=64 << 20), "more than 64 MB of memory"),
        ("run", Allowed(seconds=0), "more than 0 s"),
    ):
        if what == "memory" and sys.platform != "linux":
            continue
        monkeypatch.setattr(apart, "WALL", 60)
        monkeypatch.setattr(apart, "MIN_WALL", 60)
        with pytest.raises(ValueError, match=problem):
            ask("hogs", b"", what, allowed=allowed)
    monkeypatch.setattr(apart, "MIN_WALL", 0)
    with pytest.raises(ValueError, match="more than 0 s"):
        ask("hogs", b"", "run", allowed=Allowed(seconds=0))
    assert not workers()


def test_work_apart_ends_when_nobody_waits_any_more(watched: Path) -> None:
    class Left(Exception):
        pass

    def leave() -> None:
        assert workers()
        raise Left

    with pytest.raises(Left):
        ask("hogs", b"x" * 2**20, "run", waiting=leave)
    assert not workers()


def test_few_files_are_opened_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from moe.speed.turns import Turns

    turns = Turns(1)
    monkeypatch.setattr(opening, "TURNS", turns)
    monkeypatch.setattr(opening, "ask", lambda *_, **__: pytest.fail("it did not wait"))

    class Full(Exception):
        pass

    def give_up(words: str) -> None:
        raise Full(words)

    with turns.training(), pytest.raises(Full, match="next in the queue"):
        opening.open_contents(b"", give_up)


def test_a_subverted_answer_is_refused() -> None:
    from moe.traces.npz import pack, unpack, unpack_trace

    for told in ({}, [1], {"tokens": 3}, {"tokens": ["x"], "domains": 7}):
        with pytest.raises(ValueError, match="allowed"):
            unpack_trace(pack({"experts": np.zeros((1, 1, 1), np.int16)}, told), 10**6)
    for raw in (b"", b"PK", pack({}, {})[:-30]):
        with pytest.raises(ValueError, match="npz file"):
            unpack(raw, 10**6)
    assert load_trace(samples.SAMPLES[0].path)
