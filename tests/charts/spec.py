"""What a Vega-Lite specification draws, read back: every mark, its data and its channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PARTS = ("layer", "hconcat", "vconcat", "concat")
SILENT = ("tooltip",)  # said on request only; its fields must be there all the same


@dataclass(frozen=True)
class Mark:
    """One mark: what it is, the name of its data, and its channels.

    A channel is 'field', or 'field|title|format' if its axis or legend says more; with a dictionary
    beside it where a scale names a value for each category, or each number. What is fixed is '=5',
    and what depends on a test '?test: this, else that'.
    """

    kind: str
    data: str
    channels: dict[str, Any]

    @classmethod
    def read(cls, mark: Any, data: str, encoding: dict[str, Any]) -> Mark:
        """Read one mark of a specification."""
        kind = mark if isinstance(mark, str) else mark["type"]
        shown = {name: at for name, at in encoding.items() if name not in SILENT}
        return cls(kind, data, {name: _channel(at) for name, at in shown.items()})


def marks(spec: dict[str, Any], data: str = "", above: dict[str, Any] | None = None) -> list[Mark]:
    """All marks of a specification, in the order in which they are drawn."""
    return [
        Mark.read(mark, name, encoding) for mark, name, encoding, _ in _views(spec, data, above)
    ]


def fields(spec: dict[str, Any]) -> set[tuple[str, str]]:
    """Data and field of everything that a specification refers to, what it calculates left out."""
    found = set()
    for _, name, encoding, made in _views(spec):
        for channel in encoding.values():
            for one in channel if isinstance(channel, list) else [channel]:
                if isinstance(one, dict) and "field" in one and one["field"] not in made:
                    found.add((name, one["field"]))
    return found


def _views(
    spec: dict[str, Any], data: str = "", above: dict[str, Any] | None = None
) -> Iterator[tuple[Any, str, dict[str, Any], set[str]]]:
    name = spec.get("data", {}).get("name", data)
    encoding = {**(above or {}), **spec.get("encoding", {})}
    if "mark" in spec:
        made = {step["as"] for step in spec.get("transform", []) if "calculate" in step}
        yield spec["mark"], name, encoding, made
    for part in PARTS:
        for inner in spec.get(part, []):
            yield from _views(inner, name, encoding)


def _channel(channel: dict[str, Any]) -> Any:
    if "condition" in channel:
        test = channel["condition"]
        return f"?{test['test']}: {test['value']}, else {channel['value']}"
    for fixed in ("value", "datum"):
        if fixed in channel and "field" not in channel:
            return f"={channel[fixed]}"
    guide = {**(channel.get("axis") or {}), **(channel.get("legend") or {})}
    said = [guide.get("title") or channel.get("title") or "", guide.get("format") or ""]
    text = "|".join([channel["field"], *said]).rstrip("|")
    scale = channel.get("scale") or {}
    if isinstance(scale.get("domain"), list) and isinstance(scale.get("range"), list):
        pairs = zip(scale["domain"], scale["range"], strict=True)
        return text, {key: tuple(at) if isinstance(at, list) else at for key, at in pairs}
    return text
