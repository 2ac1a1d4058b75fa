"""Standard streams of the command line: what they cannot take ends in one line, or in silence.

A reader that has seen enough (`moe train | head -3`) is no error, and the exit code stays what it
was or is 0. A full disk is one line on stderr and exit code 2. A character that the terminal does
not know is spelled in those that it does.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata
from contextlib import suppress
from typing import Any, NoReturn

FULL = 2
SPELLED = {
    "…": "...", "–": "-", "—": "-", "−": "-", "━": "-", "“": '"', "”": '"', "„": '"', "‘": "'",
    "’": "'", "×": "x", "·": "*", "█": "#", "→": "->", "≥": ">=", "≤": "<=", "≈": "~",
}  # fmt: skip


class ReaderGone(SystemExit):
    """Nobody reads the output any more."""

    def __init__(self) -> None:
        super().__init__(0)


class _Raw(io.FileIO):
    """The end of a stream; after an error it swallows the rest."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError as error:
            self._swallow()
            raise ReaderGone from error
        except OSError as error:
            self._swallow()
            self._complain(error)

    def _swallow(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)

    def _complain(self, error: OSError) -> NoReturn:
        if sys.stderr and self.fileno() != sys.stderr.fileno():
            sys.stderr.write(
                f"moe: output: got {error.strerror!r}, allowed is a place that takes it\n"
            )
        raise SystemExit(FULL) from error


def _spell(error: UnicodeError) -> tuple[str, int]:
    """Write what a character means where the terminal has no sign for it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    words = []
    for sign in error.object[error.start : error.end]:
        plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode("ascii")
        words.append(SPELLED.get(sign) or plain or "?")
    return "".join(words), error.end


codecs.register_error("moe-spell", _spell)


def guarded(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a stream to the same place that ends as this file says."""
    stream.flush()
    raw = _Raw(stream.fileno(), "wb", closefd=False)
    unbuffered = isinstance(stream.buffer, io.RawIOBase)
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="moe-spell",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def guard() -> None:
    """Guard this process's own streams, where it has any."""
    for name in ("stderr", "stdout"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue
        if os.name == "posix":
            setattr(sys, name, guarded(stream))
        else:
            stream.reconfigure(errors="moe-spell")


def finish() -> None:
    """Write what is left; raises SystemExit if it cannot be, but not for want of a reader."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(ReaderGone):
            stream.flush()
