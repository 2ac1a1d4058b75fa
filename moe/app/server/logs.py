"""A line of JSON per event, without anything of a visitor.

Other libraries' messages are logged as they stand in the source, without what was filled in, since
that may be an address or a text; an error by its kind and place, without its words.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from types import TracebackType
from typing import Any

from streamlit import logger as streamlit_logger
from uvicorn.config import LOGGING_CONFIG

LOG = logging.getLogger("moe.server")


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON; options of other formatters are none of it."""

    def __init__(self, **_: object) -> None:
        super().__init__()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "from": record.name.partition(".")[0],
            "event": record.msg if record.name == LOG.name or record.args else _first_words(record),
        }
        line |= getattr(record, "figures", {})
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["at"] = _places(record.exc_info[2])
        return json.dumps(line, ensure_ascii=False)


def event(name: str, **figures: float | str) -> None:
    """Log an event of the server with its figures."""
    LOG.info(name, extra={"figures": figures})


def _first_words(record: logging.LogRecord) -> str:
    """The place of a message that was put together before, and so may hold something."""
    return f"{record.module}:{record.funcName}:{record.lineno}"


def _places(trace: TracebackType | None, last: int = 5) -> list[str]:
    frames = traceback.extract_tb(trace)[-last:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames]


def set_up(kind: str) -> None:
    """Begin to log: 'json' for lines of JSON on standard output, 'quiet' for none of ours."""
    LOG.propagate = False
    LOG.setLevel(logging.INFO)
    LOG.handlers = [logging.NullHandler()]
    if kind != "json":
        return
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    LOG.handlers = [handler]

    def ours(logger: logging.Logger) -> None:
        logger.handlers = [handler]

    # Streamlit gives each of its loggers a handler of its own when it is made; uvicorn sets its
    # loggers up from this table when it starts. Neither has an option for it.
    streamlit_logger.setup_formatter = ours
    streamlit_logger.update_formatter()
    for formatter in LOGGING_CONFIG["formatters"]:
        LOGGING_CONFIG["formatters"][formatter] = {"()": JsonLines}
