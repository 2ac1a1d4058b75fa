"""What an operator may set: limits of the server, each with its environment variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from ...settings import Settings, option

PREFIX = "MOE_APP_"
LOGS = ("quiet", "json")


@dataclass(frozen=True)
class ServerOptions(Settings):
    """Limits and answers of the server; all have a value that suits one small machine."""

    max_visitors: int = option(
        150,
        "Browser tabs that are served at once. Who comes later sees a page that says so.",
        low=1,
    )
    per_address: int = option(
        60,
        "Tabs from one network address at once. A school may have a single address for all its "
        "pupils.",
        low=1,
    )
    uploads_per_minute: int = option(
        30, "Files that are taken from one network address in a minute.", low=1
    )
    run_seconds: int = option(
        300, "Seconds that one training may compute; waiting does not count.", low=1
    )
    max_memory: int = option(
        1000,
        "Megabytes of memory of this process above which no new visitor is let in. Read on Linux "
        "only.",
        low=200,
    )
    cache: int = option(
        128, "Megabytes of finished runs and measurements that are kept for all visitors.", low=1
    )
    frame_ancestors: str = option(
        "*",
        "Sites that may show these pages in a frame, as in a content security policy. By default "
        "all, since the Share box gives out code to embed a page, and there is no account that a "
        "hidden frame could misuse; 'none' for no site.",
    )
    metrics_token: str = option(
        "",
        "Word that lets another machine read /metrics, as 'Authorization: Bearer WORD'. Without "
        "it only this machine may.",
    )
    log: str = option(
        "quiet",
        "'quiet' for what Streamlit says by itself; 'json' for a line of JSON per event, which "
        "holds no address, name or text of a visitor.",
        among=LOGS,
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> ServerOptions:
        """Read all options from variables such as `MOE_APP_MAX_VISITORS`.

        Raises
        ------
        ValueError
            If a value is not allowed, or a variable of this prefix is none of them.
        """
        given = os.environ if environment is None else environment
        types = {variable(one.name): (one.name, one.default) for one in fields(cls)}
        values: dict[str, object] = {}
        for name, text in given.items():
            if not name.startswith(PREFIX):
                continue
            if name not in types:
                raise ValueError(f"{name}: no such variable, allowed are {', '.join(types)}")
            field, default = types[name]
            values[field] = _number(name, text) if isinstance(default, int) else text
        return cls(**values)  # type: ignore[arg-type]


def variable(name: str) -> str:
    """Name of an option's environment variable."""
    return f"{PREFIX}{name.upper()}"


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name}: got {text[:40]!r}, allowed is a whole number")
    return int(text)


OPTIONS = ServerOptions()  # those of a page that runs without this server, as in `streamlit run`


def options() -> ServerOptions:
    """Return the options in force."""
    return OPTIONS


def use(chosen: ServerOptions) -> None:
    """Put options in force for this process."""
    global OPTIONS
    OPTIONS = chosen
