"""What comes from outside: text that stays text, addresses without an end, caches of strangers."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.runtime.scriptrunner import ScriptRunner, StopException
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from moe.app.cure import page as cure
from moe.app.moving_data import page as moving
from moe.app.savings import page as savings
from moe.app.shared import outside, parts, run_slots
from moe.app.shared.kept import KEPT
from moe.app.shared.outside import plain
from moe.app.your_model import opening
from moe.app.your_model import page as your_model
from moe.studies.savings import SavingsSettings
from moe.traces import make_trace, samples, save_trace
from tests.app.your_model.test_page import open_page, upload
from tests.app.your_model.test_story import PARITY, zipped

ROOT = Path(__file__).resolve().parents[3]
HOSTILE = (
    "![p](http://evil.example/p.png)<img src=//evil.example/q>**b** _i_ `c` $x$ :smile: "
    ":material/home: :red[r] www.evil.example a@evil.example -> # {}|~~s~~ &lt; \\ \u2028x"
)
# What none of it may be by the time that the browser reads it as Markdown.
LIVE = (
    r"(?<!\\)(?:!\[|\]\(|<img|\*\*|`c|\$x|&lt|~~)", r"http:/", r":smile", r":material", r":red",
    r"www\.", r"a@e", r"->", r"[\u2028\u202e\n\0]",
)  # fmt: skip
# A component's data is drawn by its script, and no script takes a text for HTML.
AS_TEXT = {
    "html", "code", "text_input", "selectbox", "arrow_data_frame", "vega_lite_chart",
    "bidi_component",
}  # fmt: skip
TAKES_HTML = re.compile(
    r"(inner|outer)HTML|insertAdjacentHTML|setHTML|document\.write|DOMParser|srcdoc"
    r"|createContextualFragment|\beval\(|new Function"
)


class Tags(HTMLParser):
    """Tags of a page."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.feed(body)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.add(tag)


def strings(message: object) -> Iterator[str]:
    """All texts of a message to the browser."""
    for field, value in message.ListFields():  # type: ignore[attr-defined]
        for one in value if field.is_repeated else [value]:
            if field.message_type and not field.message_type.GetOptions().map_entry:
                yield from strings(one)
            elif field.type == field.TYPE_STRING and isinstance(one, str):
                yield one


def check_texts(page: AppTest) -> int:
    """Nothing from outside is Markdown or HTML; returns how many texts hold some of it."""
    assert not page.exception
    found = 0
    for node in page.main:
        proto = getattr(node, "proto", None)
        kind = getattr(node, "type", "")
        if proto is None or not hasattr(proto, "ListFields"):
            continue
        texts = list(strings(proto))
        if kind == "table":
            frame = node.value
            texts += [*map(str, frame.columns), *map(str, frame.to_numpy().ravel())]
        for text in texts:
            if "evil" not in text:
                continue
            found += 1
            if kind == "html":
                assert not Tags(text).tags & {"img", "script", "a", "iframe"}, text
            elif kind not in AS_TEXT:
                assert not [live for live in LIVE if re.search(live, text)], (kind, text)
    return found


def hostile_trace(tmp: Path) -> bytes:
    n = 40
    trace = make_trace(
        np.arange(n).reshape(1, n, 1) % 2, np.ones((1, n, 1), np.float32), 2, np.arange(n) % 3,
        model=HOSTILE, tokens=[HOSTILE] * n, domain_N=np.arange(n) % 2, sequence_N=np.zeros(n, int),
        domains=[HOSTILE, f"{HOSTILE} 2"],
    )  # fmt: skip
    save_trace(trace, tmp / "t.npz")
    return (tmp / "t.npz").read_bytes()


def test_text_without_signs_stays_as_it_is() -> None:
    for text in (
        "a model: 1,000 tokens, 2 of 8",
        "don't (really) say “x”; e_f 3.5% - + =",
        "é日本",
    ):
        assert plain(text) == text
    assert plain("a\u202eb\n\0c") == "a b c"
    assert plain("1. a") == "1\\. a"
    assert plain("**b**") == "\\*\\*b\\*\\*" and plain("- a") == "\\- a"


def test_names_in_a_file_are_shown_as_text_in_every_section(tmp_path: Path) -> None:
    page = upload(open_page(), "t.npz", hostile_trace(tmp_path))
    found = {}
    for section in your_model.SECTIONS:
        page.button_group(key="closer").set_value(section).run()
        found[section] = check_texts(page)
    assert min(found.values()) >= 3  # the model's name, the tokens and the menu of domains
    assert found["Topics"] > found["Layers"] and found["Neighbours"] > found["Layers"]
    assert found["Words"] > found["Layers"]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.csv", f"{HOSTILE[:31]},logit_0\n1,2\n".encode()),
        (f"a{HOSTILE[:31]}.exe", b""),
        ("x" * 200_000 + "\0\u202eevil<b>.exe", b""),
        ("evil![p](x)<img src=y>.csv", samples.CSV.read_bytes()),
        ("m.zip", zipped(PARITY / "mixtral", extra={HOSTILE[:31]: b""})),
    ],
)
def test_names_in_messages_are_shown_as_text(name: str, raw: bytes) -> None:
    assert check_texts(upload(open_page(), name, raw))


@pytest.mark.parametrize("name", ["start", "routers"])
def test_an_own_sentence_is_shown_as_text(name: str) -> None:
    script = f"from moe.app.{name} import page\npage.show()\n"
    page = AppTest.from_string(script, default_timeout=120)
    page.query_params["text"] = HOSTILE
    page.query_params["character"] = str(HOSTILE.index("*") + 3)
    assert check_texts(page.run())
    if name == "start":
        drawn = [json.loads(one.proto.json) for one in page.get("bidi_component")]
        (flow,) = (one for one in drawn if "tokens" in one)
        at = flow["at"]
        assert "".join(flow["tokens"][at - 4 : at + 1]).replace("␣", " ") == "/q>**b"[1:]


def test_no_script_of_the_app_takes_a_text_for_html() -> None:
    scripts = list((ROOT / "moe/app").rglob("*.js"))
    assert len(scripts) > 8
    own = "innerHTML = `<style>${files.css}</style>${files.html}`"  # of a component's own files
    for script in scripts:
        assert not TAKES_HTML.search(script.read_text("utf-8").replace(own, "")), script
    for planted in ("a.innerHTML = b", "new DOMParser()", "eval(text)"):
        assert TAKES_HTML.search(planted)


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("cure", {"seed": "inf"}),
        ("routers", {"seed": "-inf"}),
        ("balance", {"seed": "1e999", "steps": "50", "experts": "4"}),
        ("real-models", {"machines": ["1", "-Infinity"]}),
        ("five-million", {"chips": "inf", "price": "inf", "tokens_DeepSeek-V3": "-inf"}),
        ("your-model", {"page": "inf", "k_own": "inf"}),
        ("", {"balance": "inf", "character": "-inf", "text": "inf"}),
    ],
)
def test_a_number_without_an_end_is_taken_out_of_the_address(page: str, query: dict) -> None:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    app._page_hash = calc_hash(page) if page else ""
    app.query_params |= query
    app.run()
    assert not app.exception and not app.error and app.title
    assert not set(app.query_params) & (set(query) - {"steps", "experts", "text"})
    if "text" in query:
        assert app.text_input(key="text").value == "inf"


def test_every_text_box_in_the_address_is_known() -> None:
    found, boxes = set(), ("text_input", "text_area", "chat_input")
    for path in ROOT.glob("moe/app/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in boxes:
                named = {one.arg: one.value for one in node.keywords}
                if None in named or "bind" in named:
                    found.add(ast.literal_eval(named["key"]))
    assert found == set(outside.TEXT_BOXES)


def test_messages_about_what_a_visitor_gave_go_one_way() -> None:
    for path in ROOT.glob("moe/app/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "error":
                own = all(isinstance(one, ast.Constant) for one in node.args)
                assert own or path.stem == "outside", f"{path.name}:{node.lineno}"


def test_a_visitor_who_leaves_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, real = [], ScriptRunner._maybe_handle_execution_control_request

    def left(runner: ScriptRunner) -> None:
        if ended == ["left"]:
            ended.append("stopped")
            raise StopException
        real(runner)

    def ask(*_: object, waiting, **__: object) -> bytes:
        ended.append("left")
        waiting()
        raise AssertionError("it went on")

    monkeypatch.setattr(opening, "ask", ask)
    monkeypatch.setattr(ScriptRunner, "_maybe_handle_execution_control_request", left)
    page = AppTest.from_string(
        "from moe.app.your_model import opening\nfrom moe.app.shared.outside import opened\n"
        "opened('own', 1, lambda tick: opening.open_trace('a.npz', b'', 2, tick))\n"
    ).run()
    assert ended == ["left", "stopped"] and not page.exception
    assert not opening.TURNS._seated


def test_what_visitors_share_survives_an_order_to_clear_all_caches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Streamlit obeys a message from any browser that clears its caches."""
    made: list[str] = []

    def once(name: str, result: object):
        return lambda *_, **__: made.append(name) or result

    settings = run_slots.TrainSettings(steps=2, batch=64, d_model=16, d_expert=8, seed=77)
    steps = run_slots.run_steps
    monkeypatch.setattr(run_slots, "run_steps", lambda *a: made.append("train") or steps(*a))
    monkeypatch.setattr(savings.savings, "measure", once("measure", [1]))
    monkeypatch.setattr(savings, "measure_machine", once("machine", [2]))
    monkeypatch.setattr(moving.story, "learnt", once("learn", np.ones(8)))
    monkeypatch.setattr(moving.story, "by_limit", once("move", [3]))
    monkeypatch.setattr(cure.control, "respond", once("steer", [4]))
    monkeypatch.setattr(your_model.upload, "TITLES", {"mine": samples.SAMPLES[0]})
    wanted = moving.MovingSettings(nodes=4, skew=0.7)
    method = cure.control.methods(0.001)[0]
    for name in ("machine", ("savings", SavingsSettings(k=3)), ("limits", wanted)):
        KEPT._results.pop(name, None)
    for _ in range(2):
        *_, last = run_slots.run_slot(settings).progress()
        assert last.run
        savings.machine()
        savings.measured(SavingsSettings(k=3))
        moving.computed(wanted)
        cure.response(method, cure.ControlSettings(seed=77))
        assert your_model.sample("mine") is your_model.sample("mine")
        st.cache_data.clear()
        st.cache_resource.clear()
    assert sorted(made) == ["machine", "measure", "move", "steer", "train"]
    for name in list(KEPT._results):
        if name[0] in ("cure", "savings", "limits", "learnt", "machine") or name == "machine":
            KEPT._results.pop(name)


def test_no_page_keeps_anything_in_streamlits_caches() -> None:
    for path in ROOT.glob("moe/**/*.py"):
        assert "st.cache_" not in path.read_text("utf-8"), path
    assert parts.run_slot is run_slots.run_slot
