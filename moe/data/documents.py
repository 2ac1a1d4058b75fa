"""Texts in files and folders, each with its domain: what a model's routing is recorded on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import check_int, shown

MAX_TEXT_BYTES = 8_000_000


@dataclass(frozen=True)
class Document:
    """A text to record: its domain, or its name where it is one of a kind, and its bytes."""

    domain: str
    text: bytes


def read_documents(paths: Sequence[str | Path]) -> list[Document]:
    """Read texts from files and folders of files; every file is a domain.

    Raises
    ------
    ValueError
        If there is no such file, none in a folder, or one is empty or larger than 8 MB.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        try:
            inside = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
        except OSError as error:
            raise ValueError(
                f"text: got {shown(str(path))} ({error.strerror}), allowed: files"
            ) from error
        if not inside:
            raise ValueError(f"text: got {str(path)!r}, allowed is a folder with files in it")
        files += inside
    documents = []
    stems = [path.stem for path in files]
    for path in files:
        name = path.stem if stems.count(path.stem) == 1 else str(path)
        documents.append(Document(name[-256:], _read(path)))
    return documents


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ValueError(
                f"text: got {shown(str(path))}, allowed is a file or folder that exists"
            )
        size = path.stat().st_size
        check_int(f"bytes of {path.name}", size, 1, MAX_TEXT_BYTES, "a text to record")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"text: got {shown(str(path))} ({error.strerror}), allowed is a readable file"
        ) from error
