"""What is shown at fixed seeds, as plain values: figures, pages, commands, and code of pages."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from google.protobuf.json_format import MessageToDict
from streamlit.testing.v1 import AppTest

from moe.cli.main import main
from moe.traces.samples import CSV, SAMPLES
from tests.pictures.table import TABLE, Shown

FOLDER = Path(__file__).resolve().parent
PAGES: dict[str, dict[str, str]] = {
    "start": {"balance": "20"}, "routers": {"guess": "skip"},
    "balance": {"steps": "50", "guess": "skip"}, "cure": {"guess": "skip", "others": "true"},
    "savings": {"guess": "skip"}, "five_million": {"guess": "skip"},
    "real_models": {"every": "true", "many": "true", "stored": "true"},
    "moving_data": {"tokens": "128"},
    "think": {"guess": "skip"}, "language_model": {"guess": "skip"}, "distil": {"guess": "skip"},
    "your_model": {}, "expert_cache": {}, "scaling": {},
    "learn": {"lesson": "letters", "student": "ada"},
}  # fmt: skip
# What is closed at first, and holds something only once it is opened.
CLOSED = {
    "moving_data": ("fewer_copies", "every_link", "slower_links", "spare_copies", "yesterday")
}
# Their code trains for long, or measures this computer; that of lessons runs in their own tests.
CODE_LEFT_OUT = ("balance", "savings", "learn", "think", "language_model", "distil")
ROOT = FOLDER.parent.parent
TRACE, RATINGS = (path.relative_to(ROOT) for path in (SAMPLES[2].path, CSV))
COMMANDS = (
    "routers", "balancers", "models", "hardware", "check-numbers", "cost deepseek-v3",
    "params deepseek-v3", "params granite-3.0-1b-a400m", "params tests/parity/models/mixtral",
    "cost llama-3.1-405b --gpu h100", "decode --gpu m3-ultra", "decode mixtral-8x7b --gpu h100",
    "train --steps 12 --batch 64", "train --steps 8 --batch 64 --balance bias --freeze gate",
    f"analyze {TRACE}", f"analyze {RATINGS} --router top_p", f"place {TRACE} --gpus 4 --search",
    f"cache {TRACE} --slots 2,4",
    "cluster simulate --tokens 2048 --batch 64", "cluster calibrate", "check-gate",
    "routers --probe", "scaling", "lesson", "lesson letters --student ada",
    "lesson letters --answer letters.third=0.5 --answer letters.third=0.25",
)  # fmt: skip
# What differs from one start of the server to the next, and scripts, which are files themselves.
PASSING = {
    "id", "formId", "elementId", "url", "datasets", "data", "spec", "fileUploadUrlMapping", "json",
    "deferredFileId", "styler", "jsContent", "cssContent",
}  # fmt: skip


def plain(value: Any) -> Any:
    """Numbers to the digits that every processor computes alike."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def figure(make: Callable[[], Shown]) -> Any:
    """A figure without its rows, which `tests/pictures` holds against the record."""
    shown = make().figure
    spec = json.loads(shown.drawing.text)
    rows = {name: [len(rows), sorted({k for row in rows for k in row})]
            for name, rows in shown.data.items()}  # fmt: skip
    return {"title": shown.title, "name": shown.name, "alt": shown.alt, "spec": spec, "rows": rows}


def opened(name: str) -> AppTest:
    """A page as its visitor first sees it."""
    page = AppTest.from_string(
        f"from moe.app.{name} import page\npage.show()\n", default_timeout=120
    )
    for key, value in PAGES[name].items():
        page.query_params[key] = value
    for key in (f"{name.replace('_', '-')}_code", *CLOSED.get(name, ())):
        page.session_state[key] = True
    page.run()
    assert not page.exception, page.exception
    return page


def page(name: str) -> Any:
    """Everything on a page but the rows of its charts."""
    return [
        _without_passing(MessageToDict(one.proto)) | _table(one)
        for one in _elements(opened(name).main)
    ]


def _table(element: Any) -> dict[str, Any]:
    """Rows of a table, which the page sends as bytes."""
    if element.type not in ("table", "arrow_table", "dataframe", "arrow_data_frame"):
        return {}
    rows = element.value
    return {"columns": list(rows.columns), "rows": json.loads(rows.to_json(orient="values"))}


def _elements(block: Any) -> Iterator[Any]:
    for child in block.children.values():
        if hasattr(child, "children"):
            yield from _elements(child)
        elif getattr(child, "proto", None) is not None:
            yield child


def _without_passing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_passing(one) for key, one in value.items() if key not in PASSING}
    if isinstance(value, str):
        return re.sub(r"(?<= in )[\d.]+ s\b", "some time", value)  # what a training took
    return [_without_passing(one) for one in value] if isinstance(value, list) else value


def command(words: str, *more: str) -> Any:
    """What a command says, in a terminal of a hundred columns, and its exit code."""
    said, told = io.StringIO(), io.StringIO()
    wide = patch.dict(os.environ, {"COLUMNS": "100", "TERM": "dumb"})
    code = 0
    argv = ["moe", *shlex.split(words), *more]
    here = chdir(ROOT)  # where paths of files are short, and the same, wherever the tree lies
    with here, wide, patch.object(sys, "argv", argv), redirect_stdout(said), redirect_stderr(told):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    text = said.getvalue()
    if not more:
        return {"code": code, "text": text.splitlines()}
    lines = [json.loads(line) for line in text.splitlines()] if "\n{" in text else json.loads(text)
    return {"code": code, "json": lines}


def code_of(name: str) -> Any:
    """What the code that a page offers prints; a command for a terminal may stand above it."""
    said = io.StringIO()
    (code,) = (one.value for one in opened(name).code if re.match("from |import ", one.value))
    with redirect_stdout(said):
        exec(code, {})
    return said.getvalue().splitlines()


KINDS: dict[str, dict[str, Callable[[], Any]]] = {
    "figures": {
        f"{name}: {make.__name__}": partial(figure, make)
        for name, makers in TABLE.items()
        for make in makers
    },
    "pages": {name: partial(page, name) for name in PAGES},
    "commands": {
        words + ending: partial(command, words, *more)
        for words in COMMANDS
        for ending, more in (("", ()), (" --json", ("--json",)))
    },
    "code": {name: partial(code_of, name) for name in PAGES if name not in CODE_LEFT_OUT},
}  # fmt: skip


def kept(kind: str) -> dict[str, Any]:
    """What was written down."""
    return dict(json.loads((FOLDER / f"{kind}.json").read_text("utf-8")))


def write(kind: str) -> Path:
    """Write it down as it is now."""
    file = FOLDER / f"{kind}.json"
    now = {name: plain(make()) for name, make in KINDS[kind].items()}
    text = json.dumps(now, ensure_ascii=False, indent=0, sort_keys=True)
    file.write_text(f"{text}\n", "utf-8")
    return file
