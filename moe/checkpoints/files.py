"""A checkpoint folder, config.json and safetensors files: only requested tensors are read."""

from __future__ import annotations

import json
import math
import mmap
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self
from weakref import WeakValueDictionary

import numpy as np

from ..errors import CheckpointError, check_choice, check_int
from .dtypes import DTYPES, from_bfloat16, to_bfloat16
from .header import Header, TensorInfo, check_name, read_header, read_limited
from .nearest import nearest
from .strict_json import parse_object, quoted

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_CONFIG = 4 * 2**20
MAX_INDEX = 32 * 2**20  # the largest published index has 14 MB
SHARD_BYTES = 5 * 10**9

_SHARD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,200}\.safetensors")


class Checkpoint:
    """An open checkpoint; use it in a `with` block, so that an unpacked upload is removed.

    Attributes
    ----------
    config
        Content of config.json; its values are unchecked.
    names
        Names of all tensors, sorted.
    metadata
        Texts in the header of a single file, or the metadata in the index of a sharded one.
    """

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        file_of: Mapping[str, str],
        metadata: Mapping[str, Any],
    ) -> None:
        self.folder = folder
        self.config = config
        self.names = tuple(sorted(file_of))
        self.metadata = dict(metadata)
        self._file_of = file_of
        self._headers: dict[str, Header] = {}
        # Arrays keep their mapping alive, so that weak references suffice. All tensors of a file
        # share a mapping, since each mapping takes a file descriptor.
        self._maps: WeakValueDictionary[str, mmap.mmap] = WeakValueDictionary()
        self._remove: Callable[[], None] | None = None

    def __contains__(self, name: object) -> bool:
        return name in self._file_of

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor; no more than the header of its file is read.

        Raises
        ------
        CheckpointError
            If there is no such tensor, or its file is missing or broken.
        """
        return self._info(name).shape

    def dtype(self, name: str) -> str:
        """Element type of a tensor as safetensors names it, for example "BF16" or "F8_E4M3".

        Raises
        ------
        CheckpointError
            As `shape`.
        """
        return self._info(name).dtype

    def read(self, name: str, place: int | None = None) -> np.ndarray:
        """Read one tensor, in the shape that it has in the file, or one entry of its first axis.

        BF16 becomes float32, exactly; F8 and U8 become uint8, the raw bytes; all other types stay
        as they are and are memory-mapped, and thus read-only. The mapping lives as long as the
        array.

        Raises
        ------
        CheckpointError
            As `shape`, or if numpy has no such element type, or if memory runs out.
        """
        info = self._info(name)
        if place is not None:
            info = info.entry(place)
        file = self._file_of[name]
        where = f"{file}: tensor {quoted(name)}"
        kind = DTYPES[info.dtype]
        if kind.stored is None:
            raise CheckpointError(f"{where}: got dtype {info.dtype}, which cannot be read here")
        try:
            pages = self._mapped(file)
            raw = _view(pages, info, np.dtype(kind.stored))
            if info.dtype == "BF16":
                values = from_bfloat16(raw)
                _let_go(pages, info)
                return values
            if info.dtype == "BOOL" and raw.view(np.uint8).max(initial=0) > 1:
                raise CheckpointError(f"{where}: got bytes other than 0 and 1 for BOOL")
            return np.asarray(raw, kind.read)
        except CheckpointError:
            raise
        except (OSError, ValueError, MemoryError) as error:
            raise CheckpointError(f"{where}: cannot be read ({error})") from error

    def missing(self, name: str) -> CheckpointError:
        """The error for a tensor that is not there, with the nearest one."""
        near = nearest(self.names, name)
        return CheckpointError(f"got no tensor {quoted(name)} in this checkpoint{near}")

    def on_close(self, remove: Callable[[], None]) -> None:
        """Let `close` call `remove`, which deletes unpacked files."""
        self._remove = remove

    def close(self) -> None:
        """Forget the files; remove the folder if it was unpacked from an upload."""
        self._headers.clear()
        if self._remove is not None:
            self._remove()
            self._remove = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _info(self, name: str) -> TensorInfo:
        file = self._file_of.get(name)
        if file is None:
            raise self.missing(name)
        if file not in self._headers:
            self._headers[file] = read_header(inside(self.folder, file), file)
        info = self._headers[file].tensors.get(name)
        if info is None:
            raise CheckpointError(f"{file}: got no tensor {quoted(name)}, which {INDEX} promises")
        return info

    def _mapped(self, file: str) -> mmap.mmap:
        pages = self._maps.get(file)
        if pages is None:
            with inside(self.folder, file).open("rb") as stream:
                pages = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            self._maps[file] = pages
        return pages


def open_checkpoint(folder: str | Path) -> Checkpoint:
    """Open a folder with config.json and model.safetensors, or shards with their index.

    A single safetensors file may also have another name. The index and the header of a single file
    are checked at once. A shard is opened when one of its tensors is requested, so that the other
    shards may be missing.

    Raises
    ------
    CheckpointError
        If something is missing, broken or points out of the folder.
    """
    root = _folder(folder)
    config = read_config(root)
    try:
        single = SINGLE if (root / SINGLE).exists() else None
        if single is None and not (root / INDEX).exists():
            single = _only_file(root)
    except OSError as error:
        raise CheckpointError(f"folder: cannot be listed ({error.strerror})") from error
    if single is None:
        file_of, metadata = _read_index(root)
        return Checkpoint(root, config, file_of, metadata)
    header = read_header(inside(root, single), single)
    checkpoint = Checkpoint(root, config, dict.fromkeys(header.tensors, single), header.metadata)
    checkpoint._headers[single] = header
    return checkpoint


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read a folder's config.json; its values are unchecked, and the folder needs no tensors.

    Raises
    ------
    CheckpointError
        If there is no such folder or file, or the file is not plain JSON.
    """
    return _read_json(_folder(folder), CONFIG, MAX_CONFIG)


def _folder(folder: str | Path) -> Path:
    try:
        root = Path(folder)
        is_folder = root.is_dir()
    except (TypeError, ValueError, OSError) as error:
        raise CheckpointError(f"folder: got {quoted(folder)}, allowed is a path") from error
    if not is_folder:
        raise CheckpointError(f"folder: got {quoted(str(root))}, allowed is an existing folder")
    return root


def inside(folder: Path, name: str) -> Path:
    """Path of a file in the folder, with links resolved.

    The Hugging Face hub's cache links from snapshots/REVISION/ to the blobs/ folder beside
    snapshots/, which is the only place outside the folder that a link may lead to.

    Raises
    ------
    CheckpointError
        If a link leads elsewhere.
    """
    try:
        root, path = folder.resolve(), (folder / name).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # for example a circle of links
        raise CheckpointError(f"{name}: got a link that leads nowhere") from error
    allowed = [root]
    if root.parent.name == "snapshots":
        allowed.append(root.parent.parent / "blobs")
    if not any(path.is_relative_to(place) for place in allowed):
        raise CheckpointError(f"{name}: got a link that leads out of the folder")
    return path


def write_checkpoint(
    folder: str | Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, tuple[np.ndarray, str]],
    max_shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a folder that `open_checkpoint` and the reference library read.

    Parameters
    ----------
    folder
        A new folder, or one without a checkpoint in it.
    tensors
        For each name the array and its safetensors element type. BF16 takes float32, which is
        rounded to nearest, and F8 takes uint8 bytes; others take arrays of exactly their type.
    max_shard_bytes
        Largest size of a file; a tensor that is larger gets a file for itself.

    Raises
    ------
    ValueError
        If an argument does not fit, or the folder holds a checkpoint already.
    """
    check_int("max_shard_bytes", max_shard_bytes, 1)
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    if any(root.glob("*.safetensors")) or (root / INDEX).exists() or (root / CONFIG).exists():
        raise ValueError(
            f"folder: got {str(root)!r}, which holds a checkpoint; allowed is a new one"
        )
    text = json.dumps(config, indent=2)
    for name, (array, dtype) in tensors.items():
        _check_writable(name, array, dtype)  # all of them before the first file is written
    shards = _split(tensors, max_shard_bytes)
    weight_map: dict[str, str] = {}
    for place, names in enumerate(shards, 1):
        file = SINGLE
        if len(shards) > 1:
            file = f"model-{place:05d}-of-{len(shards):05d}.safetensors"
        write_file(root / file, {name: tensors[name] for name in names}, {"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    if len(shards) > 1:
        total = sum(_n_bytes(*tensor) for tensor in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (root / INDEX).write_text(json.dumps(index, indent=2), "utf-8")
    # Written last, so that a folder whose writing was interrupted cannot be opened.
    (root / CONFIG).write_text(text, "utf-8")


def write_file(
    path: Path, tensors: Mapping[str, tuple[np.ndarray, str]], metadata: Mapping[str, str]
) -> None:
    """Write one safetensors file; tensors and errors are those of `write_checkpoint`."""
    from safetensors import TensorSpec, serialize_file

    for name, (array, dtype) in tensors.items():
        _check_writable(name, array, dtype)
    bodies = {name: _body(*tensor) for name, tensor in tensors.items()}  # alive until written
    specs = {
        name: TensorSpec(
            dtype=DTYPES[tensors[name][1]].writer,
            shape=tensors[name][0].shape,
            data_ptr=body.ctypes.data,
            data_len=body.nbytes,
        )
        for name, body in bodies.items()
    }
    serialize_file(specs, path, dict(metadata))


def _read_json(root: Path, name: str, limit: int) -> dict[str, Any]:
    return parse_object(read_limited(inside(root, name), name, limit), name)


def _only_file(root: Path) -> str:
    names = sorted(path.name for path in root.glob("*.safetensors"))
    if len(names) != 1:
        raise CheckpointError(
            f"folder: got {len(names)} safetensors files and no {INDEX}, allowed is one file, "
            "or shards with their index"
        )
    return names[0]


def _read_index(root: Path) -> tuple[dict[str, str], dict[str, Any]]:
    index = _read_json(root, INDEX, MAX_INDEX)
    file_of, metadata = index.get("weight_map"), index.get("metadata", {})
    if not isinstance(file_of, dict) or not isinstance(metadata, dict):
        raise CheckpointError(f"{INDEX}: got no weight_map, or metadata that is no object")
    for name in file_of:
        check_name(name, INDEX)
    files = {file if isinstance(file, str) else quoted(file) for file in file_of.values()}
    for file in files:
        if not _SHARD.fullmatch(file):
            raise CheckpointError(
                f"{INDEX}: got the file name {quoted(file)}, "
                "allowed is a plain name that ends in .safetensors"
            )
    return file_of, metadata


def _view(pages: mmap.mmap, info: TensorInfo, dtype: np.dtype) -> np.ndarray:
    if info.start + info.n_bytes > len(pages):
        raise OSError("the file has become shorter")
    array = np.ndarray(info.shape, dtype, buffer=pages, offset=info.start if info.n_bytes else 0)
    return array if array.flags.aligned else array.copy()


def _let_go(pages: mmap.mmap, info: TensorInfo) -> None:
    """Release pages that have been converted; a later read loads them again."""
    if hasattr(mmap, "MADV_DONTNEED"):
        ahead = info.start % mmap.PAGESIZE
        pages.madvise(mmap.MADV_DONTNEED, info.start - ahead, info.n_bytes + ahead)


def _check_writable(name: str, array: np.ndarray, dtype: str) -> None:
    check_name(name, "tensors")
    check_choice(f"dtype of {name}", dtype, [key for key, kind in DTYPES.items() if kind.writer])
    if not isinstance(array, np.ndarray) or array.dtype != DTYPES[dtype].read:
        got = getattr(array, "dtype", type(array).__name__)
        raise ValueError(f"{name}: got {got}, allowed for {dtype} is {DTYPES[dtype].read}")


def _n_bytes(array: np.ndarray, dtype: str) -> int:
    return math.prod(array.shape) * DTYPES[dtype].bits // 8


def _body(array: np.ndarray, dtype: str) -> np.ndarray:
    """The bytes to write, contiguous and little-endian."""
    if dtype == "BF16":
        array = to_bfloat16(array)
    return np.ascontiguousarray(array, DTYPES[dtype].stored)


def _split(tensors: Mapping[str, tuple[np.ndarray, str]], limit: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    filled = 0
    for name, tensor in tensors.items():
        n_bytes = _n_bytes(*tensor)
        if shards[-1] and filled + n_bytes > limit:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += n_bytes
    return shards
