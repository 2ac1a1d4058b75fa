"""Lines of the log hold nothing of a visitor."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

from moe.app.server.logs import JsonLines

SECRET = "198.51.100.7 said xyzzy"


def line(record: logging.LogRecord) -> dict[str, object]:
    text = JsonLines(fmt="ignored", use_colors=True).format(record)
    assert "\n" not in text and SECRET not in text
    return json.loads(text)


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    about = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("streamlit.web", logging.WARNING, "a/b.py", 7, message, args, about)


def test_a_message_is_logged_without_what_was_filled_in() -> None:
    said = line(record("Rejecting %s", SECRET))
    assert (said["event"], said["level"], said["from"]) == ("Rejecting %s", "warning", "streamlit")


def test_a_message_that_was_put_together_is_only_placed() -> None:
    assert line(record(f"Rejecting {SECRET}"))["event"] == "b:None:7"


def test_an_error_is_logged_by_its_kind_and_place() -> None:
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        said = line(record("Uncaught", error=error))
    assert said["error"] == "ValueError"
    assert str(said["at"][0]).startswith("test_logs.py:")  # type: ignore[index]


def test_streamlit_and_uvicorn_write_lines_of_json() -> None:
    code = (
        "from moe.app.server import logs\nlogs.set_up('json')\n"
        "logs.event('started', visitors=3)\n"
        "from streamlit.logger import get_logger as get\nget('streamlit.new').warning('a %s', 1)\n"
        "import logging, uvicorn\nuvicorn.Config(None, use_colors=False)\n"
        "logging.getLogger('uvicorn.error').warning('b %s', 'x')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = [json.loads(text) for text in (ran.stdout + ran.stderr).splitlines()]
    assert [one["event"] for one in said] == ["started", "a %s", "b %s"]
    assert said[0]["visitors"] == 3


def test_what_the_operator_should_know_is_a_line_of_json_or_a_sentence() -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom moe.app.server import start\n"
        "from moe.app.server.options import ServerOptions\n"
        "class Site:\n    def run(self, config): pass\n"
        "start.site = lambda *_: Site()\n"
        "start.warming.begin = lambda tell: tell('Kernels wait.')\n"
        "options = ServerOptions(log=sys.argv[1])\n"
        "start.serve(Path('app.py'), 8501, False, '127.0.0.1', options, print)\n"
    )
    told = {
        kind: subprocess.run(
            [sys.executable, "-c", code, kind], capture_output=True, text=True, check=True
        ).stdout
        for kind in ("json", "quiet")
    }
    assert [json.loads(one)["event"] for one in told["json"].splitlines()] == ["Kernels wait."]
    assert told["quiet"] == "Kernels wait.\n"
