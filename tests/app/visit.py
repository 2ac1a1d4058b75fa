"""Pages opened without a browser, and what they show; documents and code as they stand."""

from __future__ import annotations

import ast
import json
from typing import Any

import numpy as np
from streamlit.testing.v1 import AppTest

import moe

SPOKEN = '<p class="moe-spoken"'


def open_page(name: str, **query: str) -> AppTest:
    script = f"from moe.app.{name} import page\npage.show()\n"
    page = AppTest.from_string(script, default_timeout=120)
    page.session_state[f"{name.replace('_', '-')}_code"] = True  # the box's code is in sight
    for key, value in query.items():
        page.query_params[key] = value
    return page.run()


def words(page: AppTest) -> str:
    return "\n".join(element.value for element in page.markdown)


def specs(page: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in page.get("vega_lite_chart")]


def spoken(page: AppTest) -> list[str]:
    """What screen readers are told above each chart."""
    bodies = [html.proto.body for html in page.get("html")]
    return [body.partition(SPOKEN)[2].partition(">")[2] for body in bodies if SPOKEN in body]


def read(raw: bytes, kind: str) -> dict[str, Any]:
    """The document without its head, which is looked at here."""
    document: dict[str, Any] = json.loads(raw)
    assert document.pop("kind") == kind
    assert document.pop("moescope") == moe.__version__
    assert document.pop("versions")["numpy"] == np.__version__
    return document


def plain(value: Any) -> Any:
    """As JSON keeps it."""
    return json.loads(json.dumps(value))


def made_by(code: str, names: dict[str, Any]) -> list[Any]:
    """What the calls of these constructors make in a piece of code, as it stands there."""
    return [
        eval(ast.unparse(node), dict(names))
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names
        if ast.unparse(node.func) != "Choice"
    ]
