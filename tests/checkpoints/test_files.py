"""Checkpoint folders, archives and npz files that are as they should be, and plain refusals."""

from __future__ import annotations

import gc
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

from moe.checkpoints.archives import open_archive
from moe.checkpoints.dtypes import from_bfloat16, to_bfloat16
from moe.checkpoints.files import open_checkpoint, write_checkpoint
from moe.checkpoints.npz import read_npz
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
    npy,
    sharded,
    single,
    write_folder,
    write_sparse,
    zipped,
)


def refusal(action, *args) -> str:
    """Message of the CheckpointError that must come: one printable line that is not long."""
    with pytest.raises(CheckpointError) as caught:
        action(*args)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 600, message
    return message


def read_all(folder: Path) -> dict[str, np.ndarray]:
    with open_checkpoint(folder) as checkpoint:
        return {name: checkpoint.read(name) for name in checkpoint.names}


def tensors(rng: np.random.Generator) -> dict[str, tuple[np.ndarray, str]]:
    upper = rng.normal(size=(3, 5)).astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return {
        "a.F32": (rng.normal(size=(4, 3)).astype(np.float32), "F32"),
        "b.BF16": (upper.view(np.float32), "BF16"),
        "c.F16": (rng.normal(size=7).astype(np.float16), "F16"),
        "d.F8": (rng.integers(0, 256, (2, 3, 4)).astype(np.uint8), "F8_E4M3"),
        "e.U8": (rng.integers(0, 256, 5).astype(np.uint8), "U8"),
        "f.I64": (rng.integers(-(2**60), 2**60, 3), "I64"),
        "g.BOOL": (np.array([True, False, True]), "BOOL"),
        "h.scalar": (np.array(1.5), "F64"),
        "i.empty": (np.zeros((0, 3), np.float32), "F32"),
    }


# Reading and writing -----------------------------------------------------------------------------


@pytest.mark.parametrize("max_shard_bytes", [10**9, 60, 1])
def test_what_was_written_is_read_bit_for_bit(tmp_path, rng, max_shard_bytes):
    written = tensors(rng)
    write_checkpoint(tmp_path / "new", CONFIG, written, max_shard_bytes)
    with open_checkpoint(tmp_path / "new") as checkpoint:
        assert checkpoint.config == CONFIG
        assert checkpoint.names == tuple(sorted(written))
        for name, (array, dtype) in written.items():
            assert checkpoint.dtype(name) == dtype and checkpoint.shape(name) == array.shape
            got = checkpoint.read(name)
            assert got.dtype == array.dtype and got.shape == array.shape
            assert got.tobytes() == array.tobytes()
    shards = list((tmp_path / "new").glob("*.safetensors"))
    assert len(shards) == {10**9: 1, 60: 4, 1: 9}[max_shard_bytes]
    assert (tmp_path / "new" / "model.safetensors.index.json").exists() == (len(shards) > 1)


def test_files_of_the_safetensors_package_are_read_and_ours_by_it(tmp_path, rng):
    arrays = {name: array for name, (array, kind) in tensors(rng).items() if kind != "BF16"}
    write_folder(tmp_path / "theirs", {"config.json": b"{}"})
    save_file(arrays, tmp_path / "theirs" / "model.safetensors", {"note": "hello"})
    got = read_all(tmp_path / "theirs")
    assert {name: got[name].tolist() for name in got} == {
        name: arrays[name].tolist() for name in arrays
    }
    assert open_checkpoint(tmp_path / "theirs").metadata == {"note": "hello"}
    plain = {name: pair for name, pair in tensors(rng).items() if pair[1] in ("F32", "F16", "I64")}
    write_checkpoint(tmp_path / "ours", {}, plain)
    loaded = load_file(tmp_path / "ours" / "model.safetensors")
    assert all(np.array_equal(loaded[name], array) for name, (array, _) in plain.items())


def test_bfloat16_is_exact_one_way_and_nearest_even_the_other():
    every = np.arange(2**16, dtype=np.uint16)
    wide = from_bfloat16(every)
    assert wide[0x3F80] == 1.0 and wide[0xC049] == np.float32(-3.140625)
    ordinary = ~np.isnan(wide)
    assert np.array_equal(to_bfloat16(wide)[ordinary], every[ordinary])
    assert np.isnan(from_bfloat16(to_bfloat16(wide[~ordinary]))).all()
    step = np.float32(2**-7)
    values = 1 + step * np.array([0.5, 1.5, 0.49, 0.51, 2.0], np.float32)
    assert from_bfloat16(to_bfloat16(values)).tolist() == [
        1, 1 + 2 * step, 1, 1 + step, 1 + 2 * step,
    ]  # fmt: skip
    huge = np.array([3.4e38, -3.4e38, np.inf], np.float32)
    assert from_bfloat16(to_bfloat16(huge)).tolist() == [np.inf, -np.inf, np.inf]


def test_a_tensor_at_an_odd_address_is_read_aligned(tmp_path):
    header = {"f": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    for spaces in range(4):
        raw = json.dumps(header).encode() + b" " * spaces
        content = as_file(raw, np.array([1.5, -2], "<f4").tobytes())
        array = read_all(write_folder(tmp_path, single(content)))["f"]
        assert array.tolist() == [1.5, -2] and array.flags.aligned


def test_arrays_outlive_the_checkpoint_and_cannot_change_the_file(tmp_path):
    write_checkpoint(tmp_path / "new", {}, {"w": (np.arange(6.0).reshape(2, 3), "F64")})
    array = read_all(tmp_path / "new")["w"]
    gc.collect()
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError):
        array[0, 0] = 7


def test_many_tensors_at_once_take_one_file_descriptor(tmp_path):
    many = {f"t{n}": (np.full(3, n, np.float32), "F32") for n in range(3000)}
    write_checkpoint(tmp_path / "many", {}, many)
    got = read_all(tmp_path / "many")
    assert all(got[f"t{n}"].tolist() == [n] * 3 for n in range(3000))


def test_only_the_shard_of_the_asked_tensor_has_to_be_there(tmp_path, rng):
    write_checkpoint(tmp_path / "parts", CONFIG, tensors(rng), 1)
    shards = sorted((tmp_path / "parts").glob("*.safetensors"))
    shards[-1].unlink()
    with open_checkpoint(tmp_path / "parts") as checkpoint:
        assert checkpoint.read("a.F32").shape == (4, 3)
        assert "got no such file" in refusal(checkpoint.read, "i.empty")


def test_the_cache_of_the_hub_is_read_through_its_links(tmp_path):
    blobs = write_folder(tmp_path / "blobs", {"aa": GOOD, "bb": b'{"model_type": "mixtral"}'})
    snapshot = tmp_path / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(blobs / "aa")
    (snapshot / "config.json").symlink_to(blobs / "bb")
    assert read_all(snapshot)["layers.0.blocks"].tolist() == [0] * 4


def test_a_lone_file_of_any_name_will_do(tmp_path):
    files = {"config.json": b"{}", "adapter.safetensors": GOOD}
    assert len(read_all(write_folder(tmp_path, files))) == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a": (np.zeros(2), "F32")}, "a: got float64, allowed for F32 is float32"),
        ({"a": (np.zeros(2), "F7")}, "dtype of a: got 'F7'"),
        ({"a": ([1.0], "F32")}, "a: got list"),
        ({"a\n": (np.zeros(2), "F64")}, "tensor name 'a\\n'"),
        ({"a": (np.zeros(2, np.uint8), "F4")}, "dtype of a: got 'F4'"),
    ],
)
def test_what_cannot_be_written_is_a_value_error(tmp_path, change, words):
    with pytest.raises(ValueError) as caught:
        write_checkpoint(tmp_path / "new", {}, change)
    assert words in str(caught.value)


def test_a_checkpoint_is_never_overwritten(tmp_path):
    write_folder(tmp_path, single())
    with pytest.raises(ValueError, match="holds a checkpoint"):
        write_checkpoint(tmp_path, {}, {"a": (np.zeros(2), "F64")})
    with pytest.raises(ValueError, match="max_shard_bytes: got 0"):
        write_checkpoint(tmp_path / "new", {}, {}, 0)


def test_reading_from_a_large_sparse_checkpoint_touches_its_tensor_only(tmp_path):
    layers = {f"layers.{n}.w": ((8, 2**20), "BF16") for n in range(64)}
    assert write_sparse(tmp_path / "big", CONFIG, layers, 4) == 2**30
    with open_checkpoint(tmp_path / "big") as checkpoint:
        assert len(checkpoint.names) == 64
        assert checkpoint.read("layers.40.w").shape == (8, 2**20)
        assert len(checkpoint._headers) == 1


# Refusals of folders -----------------------------------------------------------------------------


def tensor(**change) -> bytes:
    entry = {"dtype": "F32", "shape": [2, 5], "data_offsets": [0, 40], **change}
    return as_file({"w": {key: value for key, value in entry.items() if value is not None}})


W = '{"dtype": "F32", "shape": [2, 5], "data_offsets": [0, 40]}'
BAD_FILES = {
    "empty": (b"", "0 bytes, too few"),
    "longer than the file": (as_file(HEADER, length=2**40), "header of 1099511627776 bytes"),
    "longer than the limit": (as_file(HEADER, length=2**63 - 1), "allowed are 2..16777216"),
    "not an object": (as_file(b"[1, 2]"), "does not start with {"),
    "no JSON": (as_file(b'{"a": }'), "no JSON"),
    "no text": (as_file(b'{"\xff": 1}'), "no UTF-8"),
    "half a pair": (as_file(b'{"\\ud800": 1}'), "no JSON"),
    "cut short": (GOOD[:-1], "is it cut short?"),
    "with a tail": (GOOD + b"x", "is it cut short?"),
    "deep": (as_file(b'{"a":' * 5000 + b"1" + b"}" * 5000), "nested deeper than 32"),
    "twice": (as_file(f'{{"w": {W}, "w": {W}}}'.encode()), "key 'w' twice"),
    "twice inside": (as_file(b'{"w": {"dtype": "F32", "dtype": "F16"}}'), "key 'dtype' twice"),
    "no entry": (as_file({"w": 3}), "without just dtype"),
    "one key more": (tensor(extra=1), "without just dtype"),
    "one key less": (tensor(shape=None), "without just dtype"),
    "unknown dtype": (tensor(dtype="F31"), "got dtype 'F31'"),
    "dtype of a wrong type": (tensor(dtype=[1]), "got dtype [1]"),
    "negative": (tensor(shape=[-2, -5]), "got shape [-2, -5]"),
    "fraction": (tensor(shape=[2.0, 5]), "got shape [2.0, 5]"),
    "truth": (tensor(shape=[True, 10]), "got shape [True, 10]"),
    "many axes": (tensor(shape=[1] * 65), "up to 16 sizes"),
    "huge": (tensor(shape=[2**62, 2**62]), "more than any file can hold"),
    "huge and empty": (tensor(shape=[0, 2**62], data_offsets=[0, 0]), "more than any file"),
    "wraps to 40 bytes": (tensor(shape=[2**63, 2, 10]), "more than any file can hold"),
    "65 bits": (as_file(f'{{"w": [{2**65}]}}'.encode()), "allowed are 64 bits"),
    "4,000 digits": (as_file(f'{{"w": [{"9" * 4000}]}}'.encode()), "allowed are 64 bits"),
    "wrong size": (tensor(shape=[2, 4]), "do not fit F32 of shape (2, 4)"),
    "backwards": (tensor(data_offsets=[40, 0]), "do not fit"),
    "three offsets": (tensor(data_offsets=[0, 20, 40]), "allowed are two"),
    "outside": (tensor(data_offsets=[40, 80]), "leaves a hole"),
    "no name": (as_file({"": HEADER["layers.0.blocks"]}), "tensor name ''"),
    "control characters": (as_file({"a\x1b[31m": 1}), "tensor name 'a\\x1b[31m'"),
    "long name": (as_file({"a" * 1000: 1}), "1..512 printable"),
    "metadata of numbers": (as_file({"__metadata__": {"a": 1}}, b""), "not an object of texts"),
    "overlap": (
        as_file({name: {"dtype": "U8", "shape": [30], "data_offsets": [n, n + 30]}
                 for name, n in (("a", 0), ("b", 10))}),
        "'b' overlaps another one",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_broken_safetensors_file_is_refused_in_plain_words(tmp_path, case):
    content, words = BAD_FILES[case]
    assert words in refusal(open_checkpoint, write_folder(tmp_path, single(content)))
    with pytest.raises(safetensors.SafetensorError):
        oops() if case in LENIENT else safetensors.deserialize(content)


LENIENT = ("twice", "twice inside", "one key more", "control characters", "no name", "long name")


def oops() -> None:
    raise safetensors.SafetensorError("stricter here than there")


def test_types_that_numpy_lacks_are_listed_but_not_read(tmp_path):
    header = {"w": {"dtype": "F4", "shape": [8, 10], "data_offsets": [0, 40]}}
    with open_checkpoint(write_folder(tmp_path, single(as_file(header)))) as checkpoint:
        assert checkpoint.shape("w") == (8, 10)
        assert "dtype F4, which cannot be read" in refusal(checkpoint.read, "w")
        assert "no tensor 'v'" in refusal(checkpoint.read, "v")


def test_truth_values_are_0_and_1(tmp_path):
    header = {"w": {"dtype": "BOOL", "shape": [40], "data_offsets": [0, 40]}}
    checkpoint = open_checkpoint(write_folder(tmp_path, single(as_file(header))))
    assert "other than 0 and 1" in refusal(checkpoint.read, "w")


def test_a_file_that_shrinks_after_opening_is_noticed(tmp_path):
    checkpoint = open_checkpoint(write_folder(tmp_path, single()))
    (tmp_path / "model.safetensors").write_bytes(GOOD[:-20])
    assert "cannot be read" in refusal(checkpoint.read, "layers.0.blocks")


def index(file: object, **more) -> dict[str, bytes]:
    return sharded({"metadata": {}, "weight_map": {"layers.0.blocks": file}, **more})


BAD_NAMES = [
    "../model-00001-of-00001.safetensors", "/etc/passwd", "/tmp/a.safetensors", "a/b.safetensors",
    "..\\a.safetensors", "C:\\a.safetensors", "..safetensors", ".a.safetensors", "a.bin", "",
    "a\x00.safetensors", "a\n.safetensors", "\u202ea.safetensors", "a" * 300 + ".safetensors", 7,
    None, ["a.safetensors"], {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_an_index_names_plain_files_of_its_folder(tmp_path, name):
    message = refusal(open_checkpoint, write_folder(tmp_path, index(name)))
    assert "allowed is a plain name that ends in .safetensors" in message


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "config.json: got no such file"),
        ({"config.json": b"{}"}, "got 0 safetensors files"),
        ({"config.json": b"{}", "a.safetensors": b"", "b.safetensors": b""}, "got 2 safetensors"),
        (single(config=[1]), "config.json: got a list, allowed is a JSON object"),
        (single(config=b"null"), "config.json: got a NoneType"),
        (single(config=b""), "config.json: got text that is no JSON"),
        (single(config=b'{"a": 1, "a": 2}'), "config.json: got the key 'a' twice"),
        (single(config=b"[" * 100_000), "config.json: got brackets that do not match"),
        (single(config=b'{"a": "' + b" " * 2**22 + b'"}'), "allowed are 4194304"),
        (sharded([]), "index.json: got a list"),
        (sharded({}), "no weight_map"),
        (sharded({"weight_map": []}), "no weight_map"),
        (sharded({"weight_map": {}, "metadata": 3}), "metadata that is no object"),
        (sharded({"weight_map": {"a\n": "b"}}), "tensor name 'a\\n'"),
    ],
)
def test_a_folder_that_lacks_something_is_refused_in_plain_words(tmp_path, files, words):
    assert words in refusal(open_checkpoint, write_folder(tmp_path / "a", files))


def test_an_index_that_promises_too_much_is_noticed_when_read(tmp_path):
    names = {"weight_map": {"other": "model-00001-of-00001.safetensors", "gone": "x.safetensors"}}
    checkpoint = open_checkpoint(write_folder(tmp_path, sharded(names)))
    assert "no tensor 'other', which model.safetensors.index.json" in refusal(
        checkpoint.shape, "other"
    )
    assert "x.safetensors: got no such file" in refusal(checkpoint.shape, "gone")
    assert "other" in checkpoint and "layers.0.blocks" not in checkpoint


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_links_out_of_the_folder_pipes_and_folders_are_refused(tmp_path, name):
    elsewhere = write_folder(tmp_path / "elsewhere", single())
    for number, make in enumerate(
        [
            lambda path: path.symlink_to(elsewhere / name),
            lambda path: path.symlink_to(path),
            lambda path: path.symlink_to("/dev/zero"),
            os.mkfifo,
            os.mkdir,
        ]
    ):
        folder = write_folder(tmp_path / str(number), single())
        (folder / name).unlink()
        make(folder / name)
        refusal(open_checkpoint, folder)


@pytest.mark.parametrize("folder", ["no/such", "a\x00b", 3, None, b"bytes", ["a"]])
def test_what_is_no_folder_is_refused(folder):
    assert "folder: got" in refusal(open_checkpoint, folder)


# Archives ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "my model/", "a/b/c/"])
@pytest.mark.parametrize("files", [single(), sharded(INDEX)], ids=["single", "sharded"])
def test_a_zipped_folder_is_read_and_nothing_of_it_stays(tmp_path, monkeypatch, prefix, files):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    content = {prefix + name: body for name, body in files.items()}
    content |= {prefix + "inner.zip": zipped(files), "__MACOSX/x/._config.json": b"", "top/": b""}
    with open_archive(zipped(content)) as checkpoint:
        assert checkpoint.config == CONFIG and len(checkpoint.names) == 5
        array = checkpoint.read("layers.0.gate.weight")
        assert [path.suffix for path in sorted(tmp_path.rglob("*.*"))].count(".zip") == 0
    assert not list(tmp_path.iterdir())
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_an_archive_may_be_a_path_or_a_bare_safetensors_file(tmp_path):
    path = tmp_path / "upload"
    path.write_bytes(zipped(single()))
    with open_archive(path) as checkpoint:
        assert checkpoint.config == CONFIG
    with open_archive(GOOD) as checkpoint:
        assert checkpoint.config == {} and len(checkpoint.names) == 5


def patched(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


def central(content: bytes, at: int, value: bytes) -> bytes:
    """Change a field of the first entry in the list at the archive's end."""
    return patched(content, content.index(b"PK\x01\x02") + at, value)


def with_link() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        entry = zipfile.ZipInfo("config.json")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    return stream.getvalue()


def twice() -> bytes:
    content = zipped(single() | {"config.jsom": b"{}"})
    return content.replace(b"config.jsom", b"config.json")


def overlapping() -> bytes:
    """Two entries of the list that share one body."""
    content = zipped({"a.json": b"{}" * 50, "b.json": b"{}" * 50})
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)
    return patched(content, second + 42, bytes(4))


STORED = zipped(single(), zipfile.ZIP_STORED)
BAD_ARCHIVES = {
    "nothing": (b"", "neither a zip file nor"),
    "no zip": (b"hello" * 10, "neither a zip file nor"),
    "half": (zipped(single())[:200], "cannot be read (BadZipFile"),
    "no config": (zipped({"a": b""}), "0 folders with a config.json"),
    "zip in zip": (zipped({"a.zip": zipped(single())}), "0 folders with a config.json"),
    "two": (zipped({"a/config.json": b"{}", "b/config.json": b"{}"}), "2 folders with a"),
    "up": (zipped({**single(), "../a.safetensors": b""}), "leads out of the archive"),
    "up inside": (zipped({**single(), "a/../../b": b""}), "leads out of the archive"),
    "root": (zipped({**single(), "/etc/a": b""}), "leads out of the archive"),
    "backslash": (zipped({**single(), "..\\a": b""}), "leads out of the archive"),
    "drive": (zipped({**single(), "C:a": b""}), "leads out of the archive"),
    "control": (zipped({**single(), "a\x1b": b""}), "leads out of the archive"),
    "encrypted": (central(STORED, 8, b"\x01"), "is encrypted"),
    "lzma": (zipped(single(), zipfile.ZIP_LZMA), "got packing 14"),
    "bzip2": (zipped(single(), zipfile.ZIP_BZIP2), "got packing 12"),
    "link": (with_link(), "is a link"),
    "twice": (twice(), "got 'config.json' twice"),
    "many": (zipped({f"{n}": b"" for n in range(1001)}), "1001 entries, allowed are 1000"),
    "overlap": (overlapping(), "overlaps another one"),
    "bomb": (zipped({**single(), "a.safetensors": bytes(2**25)}), "that unpack to"),
    "claims much": (central(STORED, 24, b"\xff" * 3 + b"\x7f"), "that unpack to 21474"),
    "claims more": (central(STORED, 24, b"\x10\x27"), "bytes short"),
    "claims less": (central(STORED, 24, b"\x05\x00"), "Bad CRC-32"),
    "packed more": (central(STORED, 20, b"\xff\xff\xff\x7f"), "overlaps another one"),
    "flipped": (patched(STORED, 50, b"!"), "Bad CRC-32"),
    "bad config": (zipped(single(config=[])), "config.json: got a list"),
    "bad file": (zipped(single(GOOD[:-1])), "is it cut short?"),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_a_broken_archive_is_refused_and_leaves_nothing(tmp_path, monkeypatch, case):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    content, words = BAD_ARCHIVES[case]
    assert words in refusal(open_archive, content)
    assert not list(tmp_path.iterdir())


def test_archives_beyond_the_limits_or_of_a_wrong_kind_are_refused(tmp_path):
    path = tmp_path / "huge"
    with path.open("wb") as stream:
        stream.truncate(201 * 2**20)
    assert "allowed are 209715200" in refusal(open_archive, path)
    assert "no such file" in refusal(open_archive, tmp_path / "none")
    assert "not a plain file" in refusal(read_npz, tmp_path)
    assert "got int, allowed are bytes or a path" in refusal(open_archive, 3)
    names = {f"{n:05d}" * 90: b"" for n in range(3000)}
    assert "list of entries of more than 1 MB" in refusal(open_archive, zipped(names))


# npz ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_of_numpy_come_back_as_they_were(compressed):
    got = read_npz(good_npz(compressed))
    assert set(got) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert got[name].dtype == array.dtype and got[name].shape == array.shape
        assert np.array_equal(got[name], array) and got[name].flags.aligned


@pytest.mark.parametrize("kind", [">i4", ">f8", ">U3", "<u2", "S2", "f2", "?"])
def test_either_byte_order_and_every_kind_is_read(kind):
    stream = io.BytesIO()
    array = np.array([[1, 0], [0, 1]]).astype(kind)
    np.savez(stream, a=array)
    got = read_npz(stream.getvalue())["a"]
    assert got.tolist() == array.tolist() and got.dtype.isnative


BAD_ARRAYS = {
    "nothing": (b"", "not in numpy's format"),
    "not numpy": (b"hello" * 100, "not in numpy's format"),
    "newer version": (b"\x93NUMPY\x09\x00" + bytes(64), "not in numpy's format"),
    "no data": (npy("(1000000, 1)"), "do not fit float32"),
    "more data": (npy("(1, 1)", bytes(40)), "do not fit float32"),
    "huge": (npy("(1000000000000, 1000000000000)"), "more than any file"),
    "huge and empty": (npy("(0, 9999999999999999999)"), "more than any file"),
    "negative": (npy("(-1, 4)"), "numpy.savez does not write"),
    "text as shape": (npy("'a'"), "numpy.savez does not write"),
    "commas": (npy("(1,,2)"), "got the shape '1,,2'"),
    "many axes": (npy("(" + "1, " * 99 + "1)", bytes(4)), "more than any file"),
    "pickle": (npy("(1,)", bytes(8), "|O"), "pickled objects"),
    "complex": (npy("(1,)", bytes(8), "<c8"), "got dtype '<c8'"),
    "dates": (npy("(1,)", bytes(8), "<M8"), "got dtype '<M8'"),
    "text of length 0": (npy("(1,)", b"", "<U0"), "got dtype '<U0'"),
    "code": (npy("", header=b"__import__('os').abort()\n"), "numpy.savez does not write"),
    "deep": (npy("", header=b"(" * 3000), "numpy.savez does not write"),
    "long": (npy("", header=b" " * 5000), "header of 5000 bytes"),
    "cut short": (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "header of 4294967295 bytes"),
    "fields": (npy("", header=b"{'descr': [('a', '<f4')]}"), "numpy.savez does not write"),
    "truth": (npy("(1,)", b"\x07", "|b1"), "truth values other than"),
    "no Unicode": (npy("(1,)", b"\xff" * 4, "<U1"), "no Unicode"),
    "half a pair": (npy("(1,)", b"\x00\xd8\x00\x00", "<U1"), "no Unicode"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_a_broken_array_is_refused_in_plain_words(case):
    content, words = BAD_ARRAYS[case]
    assert words in refusal(read_npz, zipped({"a.npy": content}))


def test_what_numpy_pickles_is_refused():
    stream = io.BytesIO()
    np.savez(stream, a=np.array([{}, None]))
    assert "pickled objects" in refusal(read_npz, stream.getvalue())
    assert "got 'a.pkl', allowed are .npy arrays" in refusal(read_npz, zipped({"a.pkl": b""}))
    assert "that unpack to" in refusal(read_npz, zipped({"a.npy": bytes(2**25)}))
    assert "does not begin as a zip file" in refusal(read_npz, DATA)
