"""JSON from strangers: depth and number of values are checked before Python builds objects."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from ..errors import CheckpointError

MAX_DEPTH = 32
MAX_MARKS = 600_000  # commas, colons and brackets, which bound how many objects Python builds
ASCII_BEYOND = 2**20  # one wide character makes Python store a text in four bytes per character

_STRING = re.compile(r'"[^"]*(?:"|\Z)')  # escapes are removed before it is used
_NO_BRACKETS = re.compile(r"[^\[\]{}]+")


def parse_object(raw: bytes | memoryview, what: str) -> dict[str, Any]:
    """Read JSON whose value has to be an object.

    Raises
    ------
    CheckpointError
        If it is another value, or as `parse_json`.
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
        If it is not JSON, a key occurs twice, a whole number needs more than 64 bits, or it is
        nested deeper than 32 levels or holds more than about 150,000 values in objects, or 600,000
        in lists.
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
            json.dumps(value, ensure_ascii=False).encode()  # raises on half a surrogate pair
    except CheckpointError as error:
        raise CheckpointError(f"{what}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{what}: got text that is no JSON ({error})") from error
    return value


def quoted(name: object) -> str:
    """Text of a name for a message: one line, escaped, and cut if it is long."""
    text = ascii(name)
    return text if len(text) <= 80 else f"{text[:60]}...{text[-1]}"


def _check_structure(text: str, what: str) -> None:
    """Check the number of values and the depth by passes that run in C, in linear time.

    Each pass removes the innermost pairs of brackets, so that the number of passes is the depth.
    """
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
    members = dict(pairs)
    if len(members) != len(pairs):
        twin = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise CheckpointError(f"got the key {quoted(twin)} twice, allowed is once")
    return members


def _int64(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise CheckpointError(f"got the whole number {quoted(digits)}, allowed are 64 bits")
    return int(digits)
