"""Thousands of broken uploads: each is refused in plain words, at once and in little memory.

A safetensors file that is accepted must also be accepted by the safetensors package, and mean the
same there; an npz file must mean what numpy reads; everything else what it meant before.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moe.checkpoints.archives import open_archive
from moe.checkpoints.dtypes import DTYPES
from moe.checkpoints.families import PARTS
from moe.checkpoints.files import Checkpoint, open_checkpoint
from moe.checkpoints.load import load_layer, read_layer
from moe.checkpoints.npz import read_npy, read_npz
from moe.errors import CheckpointError
from tests.checkpoints.fabricate import (
    ARRAYS,
    CONFIG,
    DATA,
    GOOD,
    HEADER,
    INDEX,
    as_file,
    good_npz,
    mixtral,
    npy,
    sharded,
    single,
    write_folder,
    write_sparse,
    zipped,
)

MAX_SECONDS, MAX_PEAK = 1.0, 200e6
ROOT = Path(__file__).resolve().parents[2]
SHARE = {"short": 1, "soak": 40}


def cases(n: int) -> Callable[[Callable[..., None]], Any]:
    """Run a test with n mutations, the same each time; and, as a soak test, with forty times more.

    The test gets `tmp_path` and, last, the mutation.
    """

    def wrap(test: Callable[..., None]) -> Any:
        @pytest.mark.parametrize("length", ["short", pytest.param("soak", marks=pytest.mark.soak)])
        def run(tmp_path: Path, length: str) -> None:
            inner = given(data=st.data())(lambda data: test(tmp_path, data.draw))
            settings(
                max_examples=n * SHARE[length],
                deadline=None,
                database=None,
                derandomize=length == "short",
                suppress_health_check=list(HealthCheck),
            )(inner)()

        run.__doc__ = test.__doc__
        return run

    return wrap


def attempt(action: Callable[[], Any]) -> Any:
    """What the action returns, or None for a refusal; fails if it is slow, large or unclear."""
    tracemalloc.start()
    began = time.thread_time()
    try:
        result = action()
    except CheckpointError as error:
        result = None
        # A message may list all model types.
        assert str(error).isprintable() and len(str(error)) < 1500
    finally:
        seconds = time.thread_time() - began
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seconds < MAX_SECONDS and peak < MAX_PEAK, f"{seconds:.2f} s, {peak / 1e6:.0f} MB"
    return result


def whole(checkpoint: Checkpoint) -> dict[str, Any]:
    with checkpoint:
        return {
            name: (checkpoint.dtype(name), checkpoint.shape(name), checkpoint.read(name).tolist())
            for name in checkpoint.names
        }


def same(a: Any, b: Any) -> bool:
    return repr(a) == repr(b)  # NaN equals NaN here


def as_the_package_reads(content: bytes) -> dict[str, Any]:
    """The same by the safetensors package; a file that it refuses raises."""
    found = {}
    for name, entry in safetensors.deserialize(content):
        kind = DTYPES[entry["dtype"]]
        values = np.frombuffer(entry["data"], kind.stored).reshape(entry["shape"])
        if entry["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        found[name] = (entry["dtype"], tuple(entry["shape"]), values.tolist())
    return dict(sorted(found.items()))


def check_file(folder: Path, content: bytes) -> None:
    got = attempt(lambda: whole(open_checkpoint(write_folder(folder, single(content)))))
    if got is not None:
        assert same(got, as_the_package_reads(content))


BYTES = st.integers(0, 255)
ODD_NUMBERS = st.sampled_from(
    [0, 1, -1, 2, 3, 23, 24, 25, 40, 41, 2**31, 2**32 - 1, 2**32, 2**62, 2**63, 2**64 - 1, 10**30]
)
ODD_VALUES = st.one_of(
    ODD_NUMBERS,
    st.floats(),
    st.none(),
    st.booleans(),
    st.text(max_size=5),
    st.lists(ODD_NUMBERS, max_size=4),
    st.sampled_from([*DTYPES, {}, {"a": 1}, [[]], "../x", "\x00", "a" * 600]),
)


def scarred(draw: Callable[..., Any], content: bytes, first: int = 0) -> bytes:
    """The content with some bytes changed, cut out, doubled or added, from `first` on."""
    body = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(first, max(first, len(body) - 1)))
        how = draw(st.sampled_from(["set", "flip", "cut", "double", "insert", "end"]))
        size = draw(st.integers(1, 20))
        if how == "set":
            body[at : at + 1] = bytes([draw(BYTES)])
        elif how == "flip" and at < len(body):
            body[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del body[at : at + size]
        elif how == "double":
            body[at:at] = body[at : at + size]
        elif how == "insert":
            body[at:at] = draw(st.binary(max_size=20))
        elif how == "end":
            del body[at:]
    return bytes(body)


# safetensors -------------------------------------------------------------------------------------


@cases(200)
def test_files_with_changed_bytes(tmp_path, draw):
    check_file(tmp_path, scarred(draw, GOOD))


@cases(200)
def test_headers_with_changed_text_and_a_length_that_fits(tmp_path, draw):
    check_file(tmp_path, as_file(scarred(draw, json.dumps(HEADER).encode())))


@cases(200)
def test_headers_with_changed_values(tmp_path, draw):
    header = json.loads(json.dumps(HEADER))
    for _ in range(draw(st.integers(1, 3))):
        entry = header[draw(st.sampled_from(sorted(header)))]
        if isinstance(entry, dict) and entry:
            key = draw(st.sampled_from(sorted(entry)))
            part = entry[key]
            if isinstance(part, list) and part and draw(st.booleans()):
                part[draw(st.integers(0, len(part) - 1))] = draw(ODD_NUMBERS)
            else:
                entry[key] = draw(ODD_VALUES)
    check_file(tmp_path, as_file(header))


@cases(75)
def test_offsets_that_overlap_leave_holes_or_change_places(tmp_path, draw):
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=4))
    header, data = {}, bytes(range(sum(sizes)))
    for number, size in enumerate(sizes):
        start = sum(sizes[:number]) + draw(st.sampled_from([0, 0, 0, 0, -1, 1]))
        ends = [start, start + size]
        header[f"t{number}"] = {"dtype": "U8", "shape": [size], "data_offsets": ends}
    order = draw(st.permutations(list(header)))
    check_file(tmp_path, as_file({name: header[name] for name in order}, data))


@cases(50)
def test_header_lengths_that_lie(tmp_path, draw):
    length = draw(st.one_of(st.integers(0, len(GOOD) + 9), st.integers(0, 2**64 - 1)))
    check_file(tmp_path, as_file(HEADER, DATA, length))


@cases(50)
def test_random_bytes(tmp_path, draw):
    content = draw(st.binary(max_size=300))
    check_file(tmp_path, content)
    assert attempt(lambda: whole(open_archive(content))) is None
    assert attempt(lambda: read_npz(content)) is None


@cases(50)
def test_keys_that_come_twice(tmp_path, draw):
    raw = json.dumps(HEADER)
    key = draw(st.sampled_from([*HEADER, "dtype", "shape", "data_offsets", "format"]))
    at = raw.index(f'"{key}"')
    twin = draw(st.sampled_from([f'"{key}": 1, ', f'"{key}": "F32", ', f'"{key}": [], ']))
    content = as_file((raw[:at] + twin + raw[at:]).encode())
    folder = write_folder(tmp_path, single(content))
    assert attempt(lambda: whole(open_checkpoint(folder))) is None


# config.json and the index -----------------------------------------------------------------------


def check_folder(folder: Path, files: dict[str, bytes], meaning: object) -> None:
    got = attempt(lambda: whole(open_checkpoint(write_folder(folder, files))))
    assert got is None or same(got, meaning)


MEANING = as_the_package_reads(GOOD)
JSON = st.recursive(
    ODD_VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@cases(75)
def test_configs_with_changed_bytes_or_of_wrong_types(tmp_path, draw):
    if draw(st.booleans()):
        config = scarred(draw, json.dumps(CONFIG).encode())
    else:
        config = json.dumps(draw(JSON)).encode()
    files = single(GOOD, config)
    check_folder(tmp_path, files, MEANING)
    folder = write_folder(tmp_path, files)
    checkpoint = attempt(lambda: open_checkpoint(folder))
    if checkpoint is not None:
        assert same(checkpoint.config, json.loads(config))


@cases(50)
def test_deep_and_wide_json(tmp_path, draw):
    opener = draw(st.sampled_from(["[", '{"a":', "[[],", '{"a":[', '["', '{"\\"[":', "[0,"]))
    count = draw(st.sampled_from([10, 31, 33, 64, 65, 999, 1001, 20_000, 200_000]))
    closer = draw(st.sampled_from(["", "]", "}", "]}", '"]']))
    text = (opener * count + draw(st.sampled_from(["", "1"])) + closer * count).encode()
    for files in (single(GOOD, b'{"x":' + text + b"}"), single(as_file(text))):
        check_folder(tmp_path, files, MEANING)


@cases(75)
def test_indexes_with_changed_bytes_or_names(tmp_path, draw):
    index: Any = json.loads(json.dumps(INDEX))
    how = draw(st.integers(0, 2))
    if how == 0:
        index = scarred(draw, json.dumps(INDEX).encode())
    elif how == 1:
        pieces = st.sampled_from(["..", "/", "\\", "a", ".safetensors", "\x00", "~", "C:", "etc"])
        names = draw(st.lists(st.lists(pieces, max_size=5).map("".join), max_size=3))
        index["weight_map"] |= dict.fromkeys([*HEADER][1 : 1 + len(names)], "")
        index["weight_map"] |= dict(zip([*HEADER][1:], names))
    else:
        index[draw(st.sampled_from(["metadata", "weight_map", "more"]))] = draw(JSON)
    secret = write_folder(tmp_path / "secret", {"a.safetensors": GOOD})
    folder = write_folder(tmp_path / "folder", sharded(index))
    (folder / "a.safetensors").unlink(missing_ok=True)
    (folder / "a.safetensors").symlink_to(secret / "a.safetensors")
    got = attempt(lambda: whole(open_checkpoint(folder)))
    assert got is None or all(same(MEANING[name], value) for name, value in got.items())


KINDS = ("mixtral", "qwen2_moe", "deepseek_v3", "gpt_oss", "llama4", "hunyuan_v1_moe")
SMALL, TENSORS = mixtral(2, 8, 8, "F32")
STACKED = mixtral(2, 8, 8, "F32", True)[1]


@cases(150)
def test_layers_of_models_with_configs_of_wrong_types(tmp_path, draw):
    config: Any = dict(SMALL)
    for _ in range(draw(st.integers(1, 3))):
        config[draw(st.sampled_from([*SMALL, "quantization_config", *PARTS]))] = draw(JSON)
    if draw(st.booleans()):
        config["model_type"] = draw(st.sampled_from(KINDS))
    if draw(st.booleans()):
        config = {"model_type": "larger", draw(st.sampled_from(PARTS)): config}
        config |= draw(st.dictionaries(st.sampled_from(["quantization_config", *PARTS]), JSON))
    name, tensors = draw(st.sampled_from([("model", TENSORS), ("stacked", STACKED)]))
    folder = tmp_path / name
    if not folder.exists():
        write_sparse(folder, SMALL, tensors, 1)
    (folder / "config.json").write_text(json.dumps(config))
    number, prefix = (
        draw(st.sampled_from([0, 1, 2, -1])),
        draw(st.sampled_from([None, "model.", "x"])),
    )
    layer = attempt(lambda: load_layer(folder, number, prefix))
    assert layer is None or layer.params["gate_DE"].shape == (8, 8)


@pytest.mark.parametrize("name", ["{:x}.gate.weight", "model.layers.1.block_sparse_moe.{:x}"])
def test_a_missing_gate_among_very_many_names_is_told_at_once(tmp_path, name):
    names = [name.format(number) for number in range(100_000)]
    index = {"weight_map": dict.fromkeys(names, "a.safetensors")}
    folder = write_folder(tmp_path, sharded(index))
    (folder / "config.json").write_text(json.dumps(SMALL))
    with open_checkpoint(folder) as checkpoint:  # which has a limit of its own
        assert attempt(lambda: read_layer(checkpoint, 1)) is None


NEW_NAMES = [
    "experts.gate_up_proj", "experts.down_proj", "experts.gate_up_proj_blocks", "gate.weight",
    "experts.gate_up_proj_scales", "experts.down_proj_scale_inv", "experts.0.w1.weight", "x",
]  # fmt: skip


@cases(150)
def test_stacked_layers_with_other_shapes_types_and_names(tmp_path, draw):
    """The file itself is sound; whatever is accepted has the configuration's shapes."""
    tensors = dict(STACKED)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(tensors)))
        shape, dtype = tensors[name]
        how = draw(st.integers(0, 3))
        if how == 0:
            sizes = st.sampled_from([0, 1, 7, 8, 9, 16, 17])
            shape = tuple(draw(st.lists(sizes, max_size=4)))
        elif how == 1:
            shape = tuple(draw(st.permutations(shape)))
        elif how == 2:
            dtype = draw(st.sampled_from([kind for kind in DTYPES if DTYPES[kind].bits >= 8]))
        else:
            del tensors[name]
            blocks = st.sampled_from(["mlp", "block_sparse_moe"])
            name = f"model.layers.1.{draw(blocks)}.{draw(st.sampled_from(NEW_NAMES))}"
        tensors[name] = (shape, dtype)
    folder = tmp_path / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    write_sparse(folder, SMALL, tensors, 1)
    layer = attempt(lambda: load_layer(folder, 1))
    assert layer is None or [a.shape for a in layer.params.values()] == [
        (8, 8), (8, 8, 16), (8, 8, 8)
    ]  # fmt: skip


# Archives ----------------------------------------------------------------------------------------


ZIP = {method: zipped(single(), method) for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)}


def check_archive(content: bytes) -> None:
    got = attempt(lambda: whole(open_archive(content)))
    assert got is None or same(got, MEANING)


@cases(150)
def test_archives_with_changed_bytes(tmp_path, draw):
    content = ZIP[draw(st.sampled_from(list(ZIP)))]
    first = draw(st.sampled_from([0, content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")]))
    check_archive(scarred(draw, content, first))


@cases(50)
def test_archives_with_fields_that_lie(tmp_path, draw):
    content = bytearray(ZIP[draw(st.sampled_from(list(ZIP)))])
    start = content.index(draw(st.sampled_from([b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"])))
    at = start + draw(st.integers(4, 44))
    size = draw(st.sampled_from([2, 4]))
    value = draw(ODD_NUMBERS) % 256**size
    content[at : at + size] = value.to_bytes(size, "little")
    check_archive(bytes(content))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@cases(50)
def test_archives_with_names_that_lead_elsewhere(tmp_path, draw):
    pieces = st.sampled_from(["..", "/", "\\", "a", ".", "config.json", "\x00", "C:", "~", "é"])
    name = "".join(draw(st.lists(pieces, min_size=1, max_size=6)))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for inner, body in single().items():
            archive.writestr(inner, body)
        entry = zipfile.ZipInfo("a")
        entry.filename = name  # as it is, without the corrections of the constructor
        archive.writestr(entry, "{}")
    before = set(tmp_path.parent.rglob("*"))
    check_archive(stream.getvalue())
    assert set(tmp_path.parent.rglob("*")) == before


@cases(15)
def test_zip_bombs(tmp_path, draw):
    zeros = bytes(draw(st.integers(17, 40)) << 20)
    name = draw(st.sampled_from(["config.json", "model.safetensors", "b.safetensors", "other"]))
    bomb = zipped({**single(), name: zeros})
    if draw(st.booleans()):
        nested = zipped({**single(), "inner.zip": bomb})
        assert same(attempt(lambda: whole(open_archive(nested))), MEANING)  # it stays packed
    assert attempt(lambda: whole(open_archive(bomb))) is None
    assert attempt(lambda: read_npz(zipped({"a.npy": npy(f"({len(zeros) // 4},)", zeros)}))) is None


# npz ---------------------------------------------------------------------------------------------


def check_npz(content: bytes) -> None:
    got = attempt(lambda: read_npz(content))
    if got is not None:
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
        assert set(got) == set(loaded.files)
        for name, array in got.items():
            assert array.dtype == loaded[name].dtype.newbyteorder("=")
            theirs = loaded[name].astype(array.dtype)  # ours are in this machine's byte order
            assert array.shape == theirs.shape and array.tobytes() == theirs.tobytes()
            array.tolist()


NPZ = {compressed: good_npz(compressed) for compressed in (False, True)}
assert same(read_npz(NPZ[True]), ARRAYS | {"flag": np.array(True)})


@cases(100)
def test_npz_files_with_changed_bytes(tmp_path, draw):
    check_npz(scarred(draw, NPZ[draw(st.booleans())]))


@pytest.mark.parametrize("front", [b"P", b"\0", b"PKxx", b"MZ" + bytes(60)])
def test_nothing_may_stand_in_front_of_a_zip_file(front):
    for raw in NPZ.values():
        check_npz(front + raw)


@cases(50)
def test_npy_files_with_changed_bytes(tmp_path, draw):
    stream = io.BytesIO()
    np.save(stream, ARRAYS[draw(st.sampled_from([name for name in ARRAYS if name != "flag"]))])
    content = scarred(draw, stream.getvalue())
    got = attempt(lambda: read_npy(content))
    if got is not None:
        theirs = np.load(io.BytesIO(content), allow_pickle=False)
        assert got.shape == theirs.shape and got.tobytes() == theirs.astype(got.dtype).tobytes()


@cases(75)
def test_array_headers_with_changed_text(tmp_path, draw):
    check_npz(zipped({"a.npy": scarred(draw, npy("(2, 3)", bytes(24)))}))


@cases(75)
def test_array_headers_that_lie(tmp_path, draw):
    kinds = ["<f4", ">f8", "|u1", "|b1", "<U2", "|S4", "|O", "<c8", "<M8", "|V8", "<f16", "<U9999"]
    shape = draw(st.lists(ODD_NUMBERS, max_size=4))
    text = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
    descr, data = draw(st.sampled_from(kinds)), draw(st.binary(max_size=48))
    check_npz(zipped({"a.npy": npy(text, data, descr)}))


def test_an_array_without_numbers_may_not_have_a_billion_rows():
    assert attempt(lambda: read_npz(zipped({"a.npy": npy("(1000000000, 0)", b"")}))) is None


def test_numbers_of_the_other_byte_order_are_the_same_numbers():
    check_npz(zipped({"a.npy": npy("()", bytes(7) + b"\1", ">f8")}))
    assert read_npz(zipped({"a.npy": npy("(1,)", b"\0\0\0\7", ">i4")}))["a"].tolist() == [7]


@cases(25)
def test_pickles_in_npz_files_never_run(tmp_path, draw):
    call = b"cos\nmkdir\n(V" + str(tmp_path / "owned").encode() + b"\ntR."
    shape = draw(st.sampled_from(["()", "(1,)", "(0,)", "(2, 2)"]))
    descr = draw(st.sampled_from(["|O", "O", "<O8", "|O8"]))
    name = draw(st.sampled_from(["a.npy", "a", "a.pkl"]))
    assert attempt(lambda: read_npz(zipped({name: npy(shape, call, descr)}))) is None
    assert not (tmp_path / "owned").exists()


# The worst of each kind, in a process that cannot take more ---------------------------------------

WORST = """
import json, sys, time
from pathlib import Path
from moe.checkpoints.archives import open_archive
from moe.checkpoints.files import open_checkpoint
from moe.checkpoints.npz import read_npy, read_npz
from moe.errors import CheckpointError
from tests.checkpoints.peak import allow_more, peak_bytes

folder, before = Path(sys.argv[1]), peak_bytes()
allow_more(400 * 2**20)
for case in sorted(folder.iterdir()):
    began = time.thread_time()
    try:
        if case.is_dir():
            open_checkpoint(case)
        elif case.suffix == ".npz":
            read_npz(case)
        else:
            open_archive(case).close()
        outcome = "accepted"
    except CheckpointError as error:
        outcome = str(error)
    print(json.dumps([case.name, time.thread_time() - began, peak_bytes() - before, outcome]))
"""


def worst(folder: Path) -> None:
    """Files that make a careless reader slow or large, as big as may be."""
    for kind, size in (("header", 2**24), ("index", 2**25)):
        texts = {
            "objects": b"{}," * (size // 3),
            "lists": b"[" * size,
            "closed": b"[]" * (size // 2),
            "ends": b"]" * size,
            "empty texts": b'""' * (size // 2),
            "escapes": b'"' + b'\\"' * (size // 2 - 1),
            "backslashes": b'"' + b"\\" * (size - 1),
            "wide": b'{"a": "' + "😀".encode() * (size // 4 - 9) + b'"}',
            "escaped wide": b'{"a": "\\ud83d\\ude00' + b"a" * (size - 50) + b'"}',
            "digits": b'{"a": ' + b"9" * (size - 10) + b"}",
            "fraction": b'{"a": 0.' + b"9" * (size - 10) + b"}",
            "pairs": b"{" + b",".join(b'"%x":1' % n for n in range(290_000)) + b"}",
            "long pairs": b"{" + b",".join(b'"%0105x":1' % n for n in range(size // 120)) + b"}",
            "twins": b"{" + b'"a":1,' * 290_000 + b'"b":1}',
            "floats": b'{"a":[' + b"0.5," * 590_000 + b"1]}",
        }
        for name in texts if kind == "header" else ("empty texts", "long pairs", "digits"):
            if kind == "header":
                files = single(as_file(b"{" + texts[name][1:]))
            else:
                files = sharded(texts[name])
            write_folder(folder / f"{kind} {name}", files)
    tensor = '"%x":{"dtype":"U8","shape":[1],"data_offsets":[%d,%d]}'
    many = ",".join(tensor % (n, n, n + 1) for n in range(39_000))
    write_folder(folder / "tensors", single(as_file(f"{{{many}}}".encode(), bytes(39_000))))
    sparse = write_folder(folder / "sparse", single(as_file(HEADER)))
    with (sparse / "model.safetensors").open("r+b") as file:
        file.truncate(2**40)
    noise = np.random.default_rng(0).bytes(2**20)
    (folder / "bomb.zip").write_bytes(zipped({**single(), "a.safetensors": bytes(2**28)}))
    (folder / "noisy bomb.zip").write_bytes(
        zipped({**single(), "a.safetensors": bytes(2**25), "noise": noise})
    )
    (folder / "list.zip").write_bytes(zipped({f"{n}": b"" for n in range(20_000)}))
    (folder / "bomb.npz").write_bytes(zipped({"a.npy": npy(f"({2**28},)", bytes(2**28), "|u1")}))
    (folder / "large.npz").write_bytes(
        zipped({f"{n}.npy": npy("(15, 1048576)", noise * 15, "|u1") for n in range(8)})
    )
    big = npy("(31457280,)", noise * 120, ">u4")
    (folder / "swapped.npz").write_bytes(zipped({"a.npy": big}, zipfile.ZIP_STORED))


@pytest.mark.soak
def test_the_worst_of_each_kind_stays_below_a_second_and_200_mb(tmp_path):
    (tmp_path / "cases").mkdir()
    worst(tmp_path / "cases")
    run = subprocess.run(
        [sys.executable, "-c", WORST, str(tmp_path / "cases")],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(lines) == len(list((tmp_path / "cases").iterdir())) == 26
    for name, seconds, held, outcome in lines:
        assert seconds < MAX_SECONDS and held < MAX_PEAK, (name, seconds, held, outcome)
    accepted = [name for name, *_, outcome in lines if outcome == "accepted"]
    assert accepted == ["large.npz", "swapped.npz", "tensors"]
