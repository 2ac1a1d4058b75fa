"""Real text without a download: labelled domains made of what every Python installation holds."""

from __future__ import annotations

import hashlib
import importlib.util
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from ..errors import check_int

MAX_DOMAIN_BYTES = 400_000
MAX_FILE_BYTES = 8_000_000
MIN_FILE_BYTES = 2_000  # enough for both kinds of stretches at the longest context
SOURCES = (
    "argparse", "ast", "configparser", "datetime", "decimal", "difflib", "doctest", "enum",
    "fractions", "functools", "heapq", "inspect", "logging", "optparse", "pathlib", "pickle",
    "random", "shutil", "socket", "statistics", "string", "subprocess", "tarfile", "tempfile",
    "textwrap", "threading", "tokenize", "traceback", "typing", "unittest", "uuid", "zipfile",
)  # fmt: skip


@dataclass(frozen=True)
class Domain:
    """Text of one kind.

    Attributes
    ----------
    name, title, source
        Short name, readable name, and where the text comes from.
    data
        Its bytes, (n,) uint8.
    """

    name: str
    title: str
    source: str
    data: np.ndarray


@dataclass(frozen=True)
class Corpus:
    """Text with labelled domains.

    Attributes
    ----------
    domains
        In a fixed order.
    missing
        Names of domains that this installation lacks.
    """

    domains: tuple[Domain, ...]
    missing: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the domains, whose positions are the labels."""
        return tuple(domain.name for domain in self.domains)

    @property
    def n_bytes(self) -> int:
        """Bytes in all domains."""
        return sum(domain.data.size for domain in self.domains)

    @cached_property
    def sha256(self) -> str:
        """Hash of names and bytes: texts differ between Python versions, so runs record it."""
        digest = hashlib.sha256()
        for domain in self.domains:
            digest.update(f"{domain.name}:{domain.data.size}\n".encode())
            digest.update(domain.data.tobytes())
        return digest.hexdigest()

    def describe(self) -> str:
        """One line for people."""
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
    for name in SOURCES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
            yield Path(spec.origin).read_bytes()


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


def _load(name: str) -> np.ndarray | None:
    """Return the domain's bytes, or None if this installation lacks it."""
    pieces, size = [], 0
    try:
        for piece in DOMAINS[name][2]():
            pieces.append(piece)
            size += len(piece)
            if size >= MAX_DOMAIN_BYTES:
                break
    except (ImportError, OSError):
        return None
    data = np.frombuffer(b"\n".join(pieces)[:MAX_DOMAIN_BYTES], np.uint8)
    return data if data.size >= MIN_FILE_BYTES else None


@lru_cache(maxsize=8)
def load_corpus(domains: tuple[str, ...] = tuple(DOMAINS)) -> Corpus:
    """Load labelled domains, each at most `MAX_DOMAIN_BYTES`; what is missing is named.

    Raises
    ------
    ValueError
        If a name is unknown, or this installation has none of them.
    """
    for name in domains:
        if name not in DOMAINS:
            raise ValueError(f"domains: got {name!r}, allowed is any of {', '.join(DOMAINS)}")
    loaded = {name: _load(name) for name in domains}
    found = tuple(
        Domain(name, *DOMAINS[name][:2], data) for name, data in loaded.items() if data is not None
    )
    if not found:
        raise ValueError(
            f"domains: got {', '.join(domains)}, and this Python has none of their texts; "
            "allowed is a text file of your own"
        )
    return Corpus(found, tuple(name for name, data in loaded.items() if data is None))


def from_bytes(raw: bytes, name: str = "your text") -> Corpus:
    """Make a corpus of one domain from any bytes.

    Raises
    ------
    ValueError
        If there are too few or too many.
    """
    check_int("bytes of text", len(raw), MIN_FILE_BYTES, MAX_FILE_BYTES, "a text to learn from")
    return Corpus((Domain("text", name, "given by the user", np.frombuffer(raw, np.uint8)),))


def from_file(path: str | Path) -> Corpus:
    """Make a corpus from a user's own text file; the size is checked before reading.

    Raises
    ------
    ValueError
        If it is not a readable regular file of `MIN_FILE_BYTES` to `MAX_FILE_BYTES` bytes.
    """
    path = Path(path)
    try:
        regular, size = path.is_file(), path.stat().st_size
    except (OSError, ValueError) as error:
        raise ValueError(f"text: got {str(path)!r}, allowed is a readable file") from error
    if not regular:
        raise ValueError(f"text: got {str(path)!r}, allowed is a regular file")
    if not MIN_FILE_BYTES <= size <= MAX_FILE_BYTES:
        raise ValueError(
            f"text: got {str(path)!r} of {size:,} bytes, "
            f"allowed are {MIN_FILE_BYTES:,} to {MAX_FILE_BYTES:,}"
        )
    try:
        return from_bytes(path.read_bytes(), path.name)
    except OSError as error:
        raise ValueError(f"text: got {str(path)!r}, allowed is a readable file") from error
