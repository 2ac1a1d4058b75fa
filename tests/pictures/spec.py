"""What a Vega-Lite specification draws, read back: every mark, its data and its channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PARTS = ("layer", "hconcat", "vconcat", "concat")
SILENT = ("tooltip",)  # said on request only; its fields must be there all the same
View = tuple[dict[str, Any], str, dict[str, Any]]


@dataclass(frozen=True)
class Mark:
    """One mark: what it is, the name of its data, and its channels.

    A channel is 'field', or 'field|title|format|labels' if its axis or legend says more; with a
    dictionary beside it where a scale names a value for each category, or each number. What is
    fixed is '=5', and what depends on a test '?test: this, else that'. The channel 'where' is the
    test that the data pass, 'dash' the dashes of a line.
    """

    kind: str
    data: str
    channels: dict[str, Any]

    @classmethod
    def read(cls, view: dict[str, Any], data: str, encoding: dict[str, Any]) -> Mark:
        """Read one view of a specification."""
        shown = {name: _channel(at) for name, at in encoding.items() if name not in SILENT}
        for step in view.get("transform", []):
            shown |= {"where": step["filter"]} if "filter" in step else {}
        if view["mark"]["type"] == "line" and "strokeDash" in view["mark"]:
            shown["dash"] = tuple(view["mark"]["strokeDash"])
        return cls(view["mark"]["type"], data, shown)


def marks(spec: dict[str, Any]) -> list[Mark]:
    """All marks of a specification, in the order in which they are drawn."""
    return [Mark.read(*view) for view in _views(spec)]


def calculated(spec: dict[str, Any]) -> dict[str, str]:
    """Fields that a specification calculates from others, and how."""
    steps = [step for view, _, _ in _views(spec) for step in view.get("transform", [])]
    return {step["as"]: step["calculate"] for step in steps if "calculate" in step}


def fields(spec: dict[str, Any]) -> set[tuple[str, str]]:
    """Data and field of everything that a specification refers to, what it calculates left out."""
    found, made = set(), calculated(spec)
    for _, data, encoding in _views(spec):
        for channel in encoding.values():
            for one in channel if isinstance(channel, list) else [channel]:
                if "field" in one and one["field"] not in made:
                    found.add((data, one["field"]))
    return found


def _views(spec: dict[str, Any], data: str = "", above: Any = None) -> Iterator[View]:
    data = spec.get("data", {}).get("name", data)
    encoding = {**(above or {}), **spec.get("encoding", {})}
    if "mark" in spec:
        yield spec, data, encoding
    for part in PARTS:
        for inner in spec.get(part, []):
            yield from _views(inner, data, encoding)


def _channel(channel: dict[str, Any]) -> Any:
    if "condition" in channel:
        test = channel["condition"]
        return f"?{test['test']}: {test['value']}, else {channel['value']}"
    for fixed in ("value", "datum"):
        if fixed in channel:
            return f"={channel[fixed]}"
    guide = {**(channel.get("axis") or {}), **(channel.get("legend") or {})}
    said = [guide.get("title") or channel.get("title"), guide.get("format"), guide.get("labelExpr")]
    text = "|".join([channel["field"], *(one or "" for one in said)]).rstrip("|")
    scale = channel.get("scale") or {}
    if isinstance(scale.get("domain"), list) and isinstance(scale.get("range"), list):
        pairs = zip(scale["domain"], scale["range"], strict=True)
        return text, {key: tuple(at) if isinstance(at, list) else at for key, at in pairs}
    return text
