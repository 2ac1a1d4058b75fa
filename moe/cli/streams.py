"""Standard streams of the command line, which end without a traceback if writing fails.

If the reader stops early (`moe train | head -3`), that is no error: the command ends in silence,
with the exit code that it has already or 0. If the disk is full, it writes one line to stderr and
ends with exit code 2. A character that the terminal lacks is replaced by ones that it has.
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
    """Ends the command with exit code 0 because the reader of its output is gone."""

    def __init__(self) -> None:
        super().__init__(0)


class _Raw(io.FileIO):
    """The file under a stream; after an error it discards all further output."""

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
        # The interpreter flushes its streams at exit, which must not fail a second time.
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
    """Replace characters that the stream's encoding lacks: an error handler of `codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    words = []
    for sign in error.object[error.start : error.end]:
        plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode("ascii")
        words.append(SPELLED.get(sign) or plain or "?")
    return "".join(words), error.end


codecs.register_error("moe-spell", _spell)


def guarded(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a stream to the same destination that handles errors as this module describes."""
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
    """Replace the standard streams of this process, if it has any, by guarded ones."""
    for name in ("stderr", "stdout"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue
        if os.name == "posix":
            setattr(sys, name, guarded(stream))
        else:
            stream.reconfigure(errors="moe-spell")


def finish() -> None:
    """Write buffered output; raise SystemExit if that fails, unless the reader is gone."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(ReaderGone):
            stream.flush()
