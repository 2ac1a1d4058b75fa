"""JSON of strangers: size, depth and number of values are checked before Python builds objects."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from ..errors import CheckpointError

MAX_DEPTH = 32
MAX_MARKS = 600_000  # commas, colons and brackets: what decides how many objects Python builds
ASCII_BEYOND = 2**20  # one wide character makes Python hold four bytes for each of a text

_STRING = re.compile(r'"[^"]*(?:"|\Z)')  # no escapes are left when it is used
_NO_BRACKETS = re.compile(r"[^\[\]{}]+")


def parse_object(raw: bytes | memoryview, what: str) -> dict[str, Any]:
    """Read a JSON object: `parse_json` of what has to be one.

    Raises
    ------
    CheckpointError
        If it is something else, or as `parse_json`.
    """
    value = parse_json(raw, what)
    if not isinstance(value, dict):
        raise CheckpointError(f"{what}: got a {type(value).__name__}, allowed is a JSON object")
    return value


def parse_json(raw: bytes | memoryview, what: str) -> Any:
    """Read any JSON value; the caller has limited its size.

    Parameters
    ----------
    raw
        UTF-8 bytes.
    what
        The file's name, for messages.

    Raises
    ------
    CheckpointError
        If it is no JSON, a key comes twice, a whole number needs more than 64 bits, or it is
        nested deeper than 32 or holds more than some 150,000 values of objects, or 600,000 of
        lists.
    """
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{what}: got bytes that are no UTF-8 text") from error
    wide = "\\u" in text or not text.isascii()
    if wide and len(raw) > ASCII_BEYOND:
        raise CheckpointError(f"{what}: got a text of more than 1 MB that is not plain ASCII")
    _check_structure(text, what)
    try:
        value = json.loads(text, object_pairs_hook=_no_twins, parse_int=_int64)
        if wide:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except CheckpointError as error:
        raise CheckpointError(f"{what}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{what}: got text that is no JSON ({error})") from error
    return value


def quoted(name: object) -> str:
    """A name for a message: one line, escaped and cut."""
    text = ascii(name)
    return text if len(text) <= 80 else f"{text[:60]}...{text[-1]}"


def _check_structure(text: str, what: str) -> None:
    """Count and peel brackets with passes that run in C: linear, whatever the text."""
    bare = text.replace("\\\\", "").replace('\\"', "")
    if bare.count('"') <= 2 * MAX_MARKS:
        bare = _STRING.sub("", bare)
    if '"' in bare or sum(bare.count(mark) for mark in ",:[]{}") > MAX_MARKS:
        raise CheckpointError(f"{what}: got too many values, allowed are some {MAX_MARKS // 4}")
    brackets = _NO_BRACKETS.sub("", bare)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return
        brackets = brackets.replace("[]", "").replace("{}", "")
    if brackets:
        raise CheckpointError(
            f"{what}: got brackets that do not match or are nested deeper than {MAX_DEPTH}"
        )


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twin = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise CheckpointError(f"got the key {quoted(twin)} twice, allowed is once")
    return found


def _int64(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise CheckpointError(f"got the whole number {quoted(digits)}, allowed are 64 bits")
    return int(digits)
