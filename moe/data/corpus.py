"""Real text without a download: labelled domains from the files of a Python installation."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from ..errors import check_int, shown

MAX_DOMAIN_BYTES = 400_000
MAX_FILE_BYTES = 8_000_000
MIN_FILE_BYTES = 2_000  # enough for training and held-out stretches at the longest context
MAX_DOMAINS = 127
SOURCES = (
    "argparse", "ast", "configparser", "datetime", "decimal", "difflib", "doctest", "enum",
    "fractions", "functools", "heapq", "inspect", "logging", "optparse", "pathlib", "pickle",
    "random", "shutil", "socket", "statistics", "string", "subprocess", "tarfile", "tempfile",
    "textwrap", "threading", "tokenize", "traceback", "typing", "unittest", "uuid", "zipfile",
)  # fmt: skip


@dataclass(frozen=True, eq=False)  # compared by identity: arrays have no single truth value
class Domain:
    """Text of one kind.

    Attributes
    ----------
    name, title, source
        Short name, readable name, and where the text comes from.
    data
        Its bytes, (n,) uint8.

    Raises
    ------
    ValueError
        If the data are not one row of bytes.
    """

    name: str
    title: str
    source: str
    data: np.ndarray

    def __post_init__(self) -> None:
        if self.data.dtype != np.uint8 or self.data.ndim != 1:
            raise ValueError(
                f"data: got {self.data.dtype} of shape {self.data.shape}, allowed is uint8 of (n,)"
            )


@dataclass(frozen=True, eq=False)
class Corpus:
    """Text with labelled domains.

    Attributes
    ----------
    domains
        The domains in a fixed order.
    missing
        Names of domains that this installation lacks.

    Raises
    ------
    ValueError
        If there is no domain, or more than the labels can tell apart.
    """

    domains: tuple[Domain, ...]
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_int("number of domains", len(self.domains), 1, MAX_DOMAINS)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the domains, whose positions are the labels."""
        return tuple(domain.name for domain in self.domains)

    @property
    def n_bytes(self) -> int:
        """Bytes in all domains."""
        return sum(domain.data.size for domain in self.domains)

    @cached_property
    def data(self) -> np.ndarray:
        """All domains one after the other, (n_bytes,) uint8, read-only."""
        stream = np.concatenate([domain.data for domain in self.domains])
        stream.flags.writeable = False
        return stream

    @cached_property
    def sha256(self) -> str:
        """Hash of names and bytes: texts differ between Python versions, so runs record it."""
        digest = hashlib.sha256()
        for domain in self.domains:
            digest.update(f"{domain.name}:{domain.data.size}\n".encode())
            digest.update(domain.data.tobytes())
        return digest.hexdigest()

    def describe(self) -> str:
        """One line of text: the domains with their sizes, and the missing ones."""
        parts = [f"{domain.title} ({domain.data.size / 1e3:.0f} kB)" for domain in self.domains]
        missing = f"; not on this machine: {', '.join(self.missing)}" if self.missing else ""
        return ", ".join(parts) + missing


def _library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _prose() -> Iterator[bytes]:
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield topics[name].encode()


def _python() -> Iterator[bytes]:
    # Read by path and not imported: a file of the same name beside the user's script would hide the
    # library's.
    for name in SOURCES:
        for path in (_library() / f"{name}.py", _library() / name / "__init__.py"):
            if path.is_file():
                yield path.read_bytes()


def _html() -> Iterator[bytes]:
    yield (_library() / "idlelib" / "help.html").read_bytes()


def _c() -> Iterator[bytes]:
    for path in sorted(Path(np.get_include()).rglob("*.h")):
        yield path.read_bytes()


def _tables() -> Iterator[bytes]:
    for path in sorted((_library() / "encodings").glob("cp*.py")):
        yield path.read_bytes()


def _names() -> Iterator[bytes]:
    import unicodedata

    lines = (unicodedata.name(chr(code), "") for code in range(0x20, 0x3000))
    yield "\n".join(line for line in lines if line).encode()


DOMAINS: dict[str, tuple[str, str, Callable[[], Iterator[bytes]]]] = {
    "prose": ("English prose", "the Python manual (pydoc_data.topics)", _prose),
    "python": ("Python code", "the standard library's sources", _python),
    "html": ("HTML", "idlelib/help.html", _html),
    "c": ("C headers", "numpy's headers", _c),
    "tables": ("Tables", "the tables under encodings/", _tables),
    "names": ("Character names", "unicodedata names", _names),
}


def _load(name: str, max_bytes: int) -> np.ndarray | None:
    """Return the domain's bytes, or None if this installation does not have its text."""
    pieces, size = [], 0
    try:
        for piece in DOMAINS[name][2]():
            pieces.append(piece)
            size += len(piece)
            if size >= max_bytes:
                break
    except (ImportError, OSError):
        return None
    data = np.frombuffer(b"\n".join(pieces)[:max_bytes], np.uint8)
    return data if data.size >= MIN_FILE_BYTES else None


def load_corpus(
    domains: Iterable[str] = tuple(DOMAINS), max_bytes_per_domain: int = MAX_DOMAIN_BYTES
) -> Corpus:
    """Load the named domains; the corpus lists those that this installation lacks.

    Parameters
    ----------
    domains
        Keys of `DOMAINS`, each at most once; their order is that of the labels.
    max_bytes_per_domain
        Longer texts are cut at this size.

    Returns
    -------
    Corpus
        The same object for the same arguments.

    Raises
    ------
    ValueError
        If a name is unknown or occurs twice, or this installation has none of the domains.
    """
    names = (domains,) if isinstance(domains, str) else tuple(domains)
    for name in names:
        if name not in DOMAINS:
            raise ValueError(f"domains: got {name!r}, allowed is any of {', '.join(DOMAINS)}")
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"domains: got {names}, allowed are one or more, each once")
    check_int("max_bytes_per_domain", max_bytes_per_domain, MIN_FILE_BYTES)
    return _load_corpus(names, int(max_bytes_per_domain))


@lru_cache(maxsize=8)
def _load_corpus(domains: tuple[str, ...], max_bytes: int) -> Corpus:
    loaded = {name: _load(name, max_bytes) for name in domains}
    present = tuple(
        Domain(name, *DOMAINS[name][:2], data) for name, data in loaded.items() if data is not None
    )
    if not present:
        raise ValueError(
            f"domains: got {', '.join(domains)}, and this Python has none of their texts; "
            "allowed is a text file of your own"
        )
    return Corpus(present, tuple(name for name, data in loaded.items() if data is None))


def from_bytes(raw: bytes, name: str = "your text", max_bytes: int = MAX_FILE_BYTES) -> Corpus:
    """Make a corpus of one domain from any bytes.

    Raises
    ------
    ValueError
        If there are too few or too many bytes.
    """
    check_int("bytes of text", len(raw), MIN_FILE_BYTES, max_bytes, "a text to learn from")
    return Corpus((Domain("text", name, "given by the user", np.frombuffer(raw, np.uint8)),))


def from_file(path: str | Path, max_bytes: int = MAX_FILE_BYTES) -> Corpus:
    """Make a corpus from a user's own text file; the size is checked before reading.

    Raises
    ------
    ValueError
        If it is not a readable regular file of `MIN_FILE_BYTES` to `max_bytes` bytes.
    """
    check_int("max_bytes", max_bytes, MIN_FILE_BYTES)
    path = Path(path)
    named = f"text: got {shown(str(path))}"
    try:
        regular, size = path.is_file(), path.stat().st_size
    except FileNotFoundError as error:
        raise ValueError(f"{named}, which does not exist, allowed is a readable file") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{named}, allowed is a readable file") from error
    if not regular:
        kind = "a directory" if path.is_dir() else "not a regular file"
        raise ValueError(f"{named}, which is {kind}, allowed is a regular file")
    if not MIN_FILE_BYTES <= size <= max_bytes:
        raise ValueError(
            f"{named} of {size:,} bytes, allowed are {MIN_FILE_BYTES:,} to {max_bytes:,}"
        )
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)  # the file may have grown since
    except OSError as error:
        raise ValueError(f"{named}, allowed is a readable file") from error
    return from_bytes(raw, path.name, max_bytes)
