"""Elements of a page that ran without a browser, as HTML.

A page runs once; what it shows is written down element by element. Components and charts become
places that `host.js` fills with the component's own script and with Vega. Sliders that move a
picture under the finger stay; what would need a server is left out.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import pyarrow as pa
from markdown_it import MarkdownIt
from streamlit.testing.v1.element_tree import Block, Node

from ..shared.finger import INPUT

# Containers by the end of their key, and elements, that do nothing without a server.
LEFT_OUT_KEYS = ("-share", "-answered", "_controls", "-door_teach", "-door_models")
LEFT_OUT = {
    "button", "selectbox", "number_input", "text_input", "text_area", "file_uploader", "toggle",
    "download_button", "button_group", "radio", "checkbox", "empty", "popover", "spinner", "link",
}  # fmt: skip
_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")
_LINK = re.compile(r'<a href="/([a-z-]*)(?:\?[^"]*)?">(.*?)</a>')


@dataclass
class Written:
    """A page as HTML, and what its places are filled with.

    Attributes
    ----------
    components
        Files of each component by its name: markup, css and js.
    places
        What each component or chart gets, by the number of its place.
    """

    linked: frozenset[str]
    parts: list[str] = field(default_factory=list)
    components: dict[str, dict[str, str]] = field(default_factory=dict)
    places: list[dict[str, Any]] = field(default_factory=list)
    followed: set[str] = field(default_factory=set)

    def html(self) -> str:
        """The page's body."""
        return "\n".join(self.parts)


def written(root: Node, linked: frozenset[str]) -> Written:
    """Write a page down.

    Parameters
    ----------
    root
        The tree of its elements.
    linked
        Addresses of the pages that are written as well; links to others become text.
    """
    page = Written(linked)
    page.followed = _followed(root)
    page.parts.append(INPUT)
    _block(page, root)
    return page


def _followed(node: Node) -> set[str]:
    """Keys of the sliders that move something in the browser."""
    found: set[str] = set()
    for child in node.children.values():
        if isinstance(child, Block):
            found |= _followed(child)
        elif child.type == "bidi_component" and child.proto.component_name == "moe_finger":
            found |= set(json.loads(child.proto.json)["sliders"])
    return found


def _block(page: Written, block: Node) -> None:
    for at, child in enumerate(block.children.values()):
        if not isinstance(child, Block):
            _element(page, child)
            continue
        identity = getattr(child.proto, "id", "") or ""
        if any(identity.endswith(key) for key in LEFT_OUT_KEYS) or child.type in LEFT_OUT:
            continue
        opening, closing = _around(child, first=not at)
        page.parts.append(opening)
        _block(page, child)
        page.parts.append(closing)


def _around(block: Block, first: bool) -> tuple[str, str]:
    """What stands around the elements of a block, which may be the first of its kind."""
    proto = block.proto
    if block.type == "expander":
        is_open = " open" if proto.expanded else ""
        return (
            f"<details{is_open}><summary>{escape(proto.label)}</summary>",
            "</details>",
        )
    if block.type == "tab":
        is_open = " open" if first else ""
        return f"<details{is_open}><summary>{escape(proto.label)}</summary>", "</details>"
    if block.type == "column":
        return f'<div class="column" style="flex: {proto.weight:g} 1 14rem">', "</div>"
    kind = "row" if _is_row(proto) else "stack"
    return f'<div class="{kind}">', "</div>"


def _is_row(proto: Any) -> bool:
    container = getattr(proto, "flex_container", None)
    return container is not None and container.direction == container.Direction.HORIZONTAL


def _element(page: Written, element: Any) -> None:
    kind = element.type
    if kind in LEFT_OUT:
        return
    write = _WRITERS.get(kind)
    if write is None:
        raise ValueError(f"element: got {kind}, allowed is one of {', '.join(_WRITERS)}")
    write(page, element)


def _title(page: Written, element: Any) -> None:
    tag = element.proto.tag
    page.parts.append(f"<{tag}>{_inline(page, element.proto.body)}</{tag}>")


def _markdown(page: Written, element: Any) -> None:
    text = element.proto.body.replace("\\$", "$")
    page.parts.append(_links(page, _MARKDOWN.render(text)))


def _inline(page: Written, text: str) -> str:
    return _links(page, _MARKDOWN.renderInline(text.replace("\\$", "$")))


def _links(page: Written, html: str) -> str:
    """Point links at the pages that are there; others are left as words."""

    def link(match: re.Match[str]) -> str:
        if match[1] in page.linked:
            return f'<a href="../{match[1]}/">{match[2]}</a>'
        return f"<span>{match[2].removesuffix(' →')}: in the live edition</span>"

    return _LINK.sub(link, html)


def _caption(page: Written, element: Any) -> None:
    page.parts.append(f'<div class="caption">{_inline(page, element.proto.body)}</div>')


def _html(page: Written, element: Any) -> None:
    page.parts.append(element.proto.body)


def _code(page: Written, element: Any) -> None:
    page.parts.append(f"<pre><code>{escape(element.proto.code_text)}</code></pre>")


def _metric(page: Written, element: Any) -> None:
    proto = element.proto
    page.parts.append(
        f'<div class="metric"><span>{_inline(page, proto.label)}</span>'
        f"<b>{_inline(page, proto.body)}</b></div>"
    )


def _table(page: Written, element: Any) -> None:
    rows = _rows(element.proto)
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f'<th scope="col">{_inline(page, str(name))}</th>' for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_inline(page, str(row.get(name, '')))}</td>" for name in names)
        + "</tr>"
        for row in rows
    )  # fmt: skip
    page.parts.append(
        f'<div class="table" tabindex="0" role="region" aria-label="Table"><table><thead><tr>{head}'
        f"</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _rows(proto: Any) -> list[dict[str, Any]]:
    """Rows of a table, without the index that pandas adds."""
    data = proto.arrow_data.data if hasattr(proto, "arrow_data") else proto.data
    table = pa.ipc.open_stream(io.BytesIO(data)).read_all()
    kept = [name for name in table.column_names if not name.startswith("__index")]
    rows: list[dict[str, Any]] = table.select(kept).to_pylist()
    return rows


def _slider(page: Written, element: Any) -> None:
    """A slider that moves something in the browser; any other one would need the server."""
    proto = element.proto
    key = proto.id.rpartition("-")[2]
    if key not in page.followed:
        return
    values = element.value if isinstance(element.value, list | tuple) else [element.value]
    options = list(proto.options)
    at = [options.index(str(value)) for value in values] if options else list(values)
    inputs = "".join(
        f'<input type="range" min="{proto.min:g}" max="{proto.max:g}" step="{proto.step:g}" '
        f'value="{value}" aria-label="{escape(proto.label)}">'
        for value in at
    )
    shown = " to ".join(map(str, values))
    page.parts.append(
        f'<div class="slider st-key-{escape(key)}" '
        f"data-options='{escape(json.dumps(options))}'>"
        f"<span>{escape(proto.label)}</span> <output>{escape(shown)}</output>{inputs}</div>"
    )


def _component(page: Written, element: Any) -> None:
    proto = element.proto
    files = {"html": proto.html_content, "css": proto.css_content, "js": proto.js_content}
    page.components[proto.component_name] = files
    _place(page, {"component": proto.component_name, "data": json.loads(proto.json or "null"),
                  "isolated": proto.isolate_styles})  # fmt: skip


def _chart(page: Written, element: Any) -> None:
    proto = element.proto
    spec: dict[str, Any] = json.loads(proto.spec)
    spec["datasets"] = {
        one.name: pa.ipc.open_stream(io.BytesIO(one.data.data)).read_all().to_pylist()
        for one in proto.datasets
    }
    _place(page, {"chart": spec, "alt": proto.alt})


def _place(page: Written, content: Mapping[str, Any]) -> None:
    number = len(page.places)
    page.places.append(dict(content))
    page.parts.append(f'<div class="place" data-place="{number}"></div>')


_WRITERS = {
    "title": _title, "header": _title, "subheader": _title, "markdown": _markdown,
    "caption": _caption, "html": _html, "code": _code, "metric": _metric, "table": _table,
    "arrow_table": _table, "dataframe": _table, "arrow_data_frame": _table, "slider": _slider,
    "select_slider": _slider, "bidi_component": _component, "vega_lite_chart": _chart,
}  # fmt: skip
