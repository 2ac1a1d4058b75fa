"""Uploads: a checkpoint as a zip file, unpacked within limits and removed when it is closed."""

from __future__ import annotations

import io
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ..errors import CheckpointError
from .files import CONFIG, INDEX, Checkpoint, open_checkpoint
from .header import MAX_NAME, regular_size
from .strict_json import quoted

CHUNK = 2**20
FREE_BYTES = 16 * 2**20  # below this any ratio is harmless: zeros shrink a thousandfold
ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags: encrypted, strongly encrypted, headers masked
LOCAL_HEADER = 30  # bytes of the header in front of an entry, without its name


@dataclass(frozen=True)
class Limits:
    """What an archive may hold.

    Parameters
    ----------
    packed_bytes
        Size of the file.
    unpacked_bytes
        Size of all its entries together.
    entries
        Number of entries, folders included.
    ratio
        Unpacked size over packed size; it is limited only beyond 16 MB unpacked.
    """

    packed_bytes: int = 200 * 2**20
    unpacked_bytes: int = 256 * 2**20
    entries: int = 1000
    ratio: int = 20


LIMITS = Limits()


def open_archive(source: bytes | str | Path, limits: Limits = LIMITS) -> Checkpoint:
    """Unpack a zip file of a checkpoint folder, or read a bare safetensors file.

    config.json may be in any one folder of the archive. From that folder only the index and the
    safetensors files are unpacked; archives inside the archive are not. A bare file has an empty
    config. Use the result in a `with` block: leaving it removes all unpacked files.

    Raises
    ------
    CheckpointError
        If the archive is broken, encrypted, larger than the limits or holds names that lead
        elsewhere; or as `open_checkpoint`.
    """
    folder = tempfile.TemporaryDirectory(prefix="moescope-", ignore_cleanup_errors=True)
    try:
        root = Path(folder.name)
        with plain_errors("archive"), open_source(source, limits, "archive") as (file, size):
            if file.read(2) == b"PK":
                _unpack(file, size, limits, root)
            else:
                _copy_bare(file, root)
        checkpoint = open_checkpoint(root)
        checkpoint.on_close(folder.cleanup)
    except BaseException:
        folder.cleanup()
        raise
    return checkpoint


@contextmanager
def open_source(
    source: bytes | str | Path, limits: Limits, what: str
) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file or bytes as a readable stream, and yield it with its size.

    Raises
    ------
    CheckpointError
        If it is not a plain file or is larger than `limits.packed_bytes`.
    """
    if isinstance(source, bytes):
        size = len(source)
    elif isinstance(source, str | Path):
        size = regular_size(Path(source), f"{what} {quoted(str(source))}")
    else:
        raise CheckpointError(f"{what}: got {type(source).__name__}, allowed are bytes or a path")
    if size > limits.packed_bytes:
        raise CheckpointError(f"{what}: got {size} bytes, allowed are {limits.packed_bytes}")
    with (
        Path(source).open("rb") if isinstance(source, str | Path) else io.BytesIO(source) as stream
    ):
        yield stream, size


@contextmanager
def plain_errors(what: str) -> Iterator[None]:
    """Turn all errors of the readers of a broken archive into a CheckpointError."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # zipfile and zlib raise a dozen types of errors
        raise CheckpointError(
            f"{what}: got a file that cannot be read ({type(error).__name__}: {quoted(str(error))})"
        ) from error


@contextmanager
def open_zip(
    file: BinaryIO, size: int, limits: Limits, what: str
) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """Open a zip file and yield its entries, without folders, after the checks before unpacking.

    Raises
    ------
    CheckpointError
        If an entry is encrypted, is packed by anything but deflate, is a link, occurs twice,
        overlaps another one or has a name that leads elsewhere; if there are too many or too large
        entries; or if there are bytes in front of the first.
    """
    file.seek(0)
    if file.read(4) not in (
        b"PK\x03\x04",
        b"PK\x05\x06",
    ):  # zipfile would look past whatever stands in front
        raise CheckpointError(f"{what}: got a file that does not begin as a zip file")
    with zipfile.ZipFile(_Careful(file)) as archive:
        entries = archive.infolist()
        if len(entries) > limits.entries:
            raise CheckpointError(
                f"{what}: got {len(entries)} entries, allowed are {limits.entries}"
            )
        unpacked = sum(entry.file_size for entry in entries)
        allowed = min(limits.unpacked_bytes, max(FREE_BYTES, limits.ratio * size))
        if unpacked > allowed:
            raise CheckpointError(
                f"{what}: got {size} bytes that unpack to {unpacked}, allowed are {allowed}"
            )
        seen: set[str] = set()
        for entry in entries:
            _check_entry(entry, what)
            if entry.filename in seen:
                raise CheckpointError(f"{what}: got {quoted(entry.filename)} twice")
            seen.add(entry.filename)
        _check_apart(entries, archive.start_dir, what)
        yield archive, [entry for entry in entries if not entry.is_dir()]


def pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, what: str) -> Iterator[bytes]:
    """Yield the content of an entry in pieces of a megabyte, of exactly the declared size in all.

    Raises
    ------
    CheckpointError
        If it is shorter; a longer one fails its checksum.
    """
    left = entry.file_size
    with archive.open(entry) as stream:
        while piece := stream.read(CHUNK):
            left -= len(piece)
            yield piece
    if left:
        raise CheckpointError(f"{what}: got {quoted(entry.filename)} {left} bytes short")


class _Careful:
    """A file that reads no more than a megabyte at once.

    zipfile asks for as many bytes as the archive claims, and Python allocates memory for them
    before it reads. This also refuses a list of entries of more than a megabyte.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, n: int = -1) -> bytes:
        if n > CHUNK:
            raise CheckpointError("zip file: got a list of entries of more than 1 MB")
        return self._file.read(n if n >= 0 else CHUNK)


def _check_entry(entry: zipfile.ZipInfo, what: str) -> None:
    name = entry.orig_filename
    where = f"{what}: entry {quoted(name)}"
    path = PurePosixPath(name)
    if (
        not 0 < len(name) <= MAX_NAME
        or not name.isprintable()
        or path.is_absolute()
        or ".." in path.parts
        or any(mark in name for mark in "\\:")
    ):
        raise CheckpointError(f"{where}: got a name that leads out of the archive")
    if entry.flag_bits & ENCRYPTED:
        raise CheckpointError(f"{where}: is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CheckpointError(f"{where}: got packing {entry.compress_type}, allowed is deflate")
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise CheckpointError(f"{where}: is a link or a device")


def _check_apart(entries: list[zipfile.ZipInfo], end: int, what: str) -> None:
    """Refuse entries that share bytes, as in zip bombs, and bytes in front of the first entry."""
    for entry in sorted(entries, key=lambda entry: entry.header_offset, reverse=True):
        if entry.header_offset + LOCAL_HEADER + entry.compress_size > end:
            raise CheckpointError(f"{what}: entry {quoted(entry.filename)} overlaps another one")
        end = entry.header_offset
    if end:
        raise CheckpointError(f"{what}: got {end} bytes in front of the first entry")


def _unpack(file: BinaryIO, size: int, limits: Limits, root: Path) -> None:
    with open_zip(file, size, limits, "archive") as (archive, entries):
        paths = [(PurePosixPath(entry.filename), entry) for entry in entries]
        configs = [path for path, _ in paths if path.name == CONFIG]
        depth = min((len(path.parts) for path in configs), default=0)
        folders = [path.parent for path in configs if len(path.parts) == depth]
        if len(folders) != 1:
            raise CheckpointError(
                f"archive: got {len(folders)} folders with a {CONFIG}, allowed is one"
            )
        for path, entry in paths:
            if path.parent == folders[0] and (
                path.name in (CONFIG, INDEX) or path.suffix == ".safetensors"
            ):
                with (root / path.name).open("xb") as out:
                    for piece in pieces(archive, entry, "archive"):
                        out.write(piece)


def _copy_bare(file: BinaryIO, root: Path) -> None:
    file.seek(8)
    if file.read(1) != b"{":
        raise CheckpointError("archive: got neither a zip file nor a safetensors file")
    file.seek(0)
    with (root / "model.safetensors").open("xb") as out:
        while piece := file.read(CHUNK):
            out.write(piece)
    (root / CONFIG).write_text("{}", "utf-8")
