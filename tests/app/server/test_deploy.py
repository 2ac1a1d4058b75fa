"""The page on deployment: its options are the program's, its files say what it serves.

`python -m tests.app.server.test_deploy` writes the table of options.
"""

from __future__ import annotations

import configparser
import re
from dataclasses import fields
from pathlib import Path

import pytest

from moe.app.server import metrics
from moe.app.server.options import ServerOptions, variable
from tests.test_dockerfile import ROOT, check_command, words

DEPLOY = ROOT / "docs" / "deploy.md"
MARKS = "<!-- options -->\n", "<!-- end of options -->"


def table() -> str:
    lines = ["", "| variable | by default | what it limits |", "|---|---|---|"]
    for one in fields(ServerOptions):
        default = f"`{one.default}`" if one.default != "" else "none"
        lines.append(f"| `{variable(one.name)}` | {default} | {one.metadata['help']} |")
    return "\n".join([*lines, "", ""])


def page() -> str:
    return DEPLOY.read_text("utf-8")


def test_the_table_of_options_is_that_of_the_program() -> None:
    assert page().partition(MARKS[0])[2].partition(MARKS[1])[0] == table()


def test_every_variable_that_is_named_exists() -> None:
    known = {variable(one.name) for one in fields(ServerOptions)}
    named = set(re.findall(r"MOE_APP_[A-Z_]*[A-Z]", page() + (ROOT / "Dockerfile").read_text()))
    assert named == known
    streamlit = {"STREAMLIT_SERVER_ALLOWED_HOSTS"}
    assert set(re.findall(r"STREAMLIT_[A-Z_]+", page())) == streamlit


def test_the_service_starts_the_program_and_can_keep_kernels() -> None:
    (text,) = re.findall(r"```ini\n(.*?)```", page(), re.DOTALL)
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    program, *command = unit["Service"]["ExecStart"].split()
    assert Path(program).name == "moe"
    check_command(["moe", *command])
    assert "--address" not in command  # only the proxy reaches it
    assert unit["Service"]["ProtectSystem"] == "strict"
    assert f"/var/cache/{unit['Service']['CacheDirectory']}" in text


@pytest.mark.parametrize("number", [0, 1])
def test_proxies_block_the_figures_and_reach_the_server(number: int) -> None:
    caddy = re.findall(r"```text\n(.*?)```", page(), re.DOTALL)[number]
    assert f"path {' '.join(metrics.GUARDED)}" in caddy and "respond @private 403" in caddy
    assert caddy.count("{") == caddy.count("}")
    assert re.findall(r"127\.0\.0\.1:(\d+)", caddy)[0] == words("EXPOSE")[0]


def test_the_container_gets_arguments_that_the_dockerfile_knows() -> None:
    known = {rest.partition("=")[0] for rest in words("ARG")}
    assert set(re.findall(r"--build-arg (\w+)=", page())) <= known
    port = words("EXPOSE")[0]
    assert f"-p {port}:{port}" in page() and f"port: {port}" in page()
    (user,) = words("USER")
    assert f"user {user.partition(':')[0]}" in page()


if __name__ == "__main__":
    before, mark, rest = page().partition(MARKS[0])
    DEPLOY.write_text(f"{before}{mark}{table()}{MARKS[1]}{rest.partition(MARKS[1])[2]}")
