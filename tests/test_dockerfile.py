"""The Dockerfile, read: its files exist and reach the builder, its commands are the program's."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import typer

from moe.cli.main import command_line

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = typer.main.get_command(command_line()).commands  # type: ignore[attr-defined]


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile: (word, the rest), continued lines joined."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in lines if line and line[0] != "#")
    ]


def words(instruction: str) -> list[str]:
    return [rest for word, rest in instructions() if word == instruction]


def ignored(name: str) -> bool:
    """Whether .dockerignore keeps a file from the builder: the last pattern that fits decides."""
    parts, state = Path(name).parts, False
    paths = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.strip().lstrip("!").removeprefix("**/")
        if line.startswith("#") or not pattern:
            continue
        deep = "**/" in line
        if any(fnmatch(path.split("/")[-1] if deep else path, pattern) for path in paths):
            state = not line.startswith("!")
    return state


def check_command(words: list[str]) -> None:
    """A call of `moe` names a command and options that exist."""
    program, command, *options = words
    assert program == "moe"
    known = {
        name
        for parameter in COMMANDS[command].params
        for name in [*parameter.opts, *parameter.secondary_opts]
    }
    assert {option for option in options if option.startswith("--")} <= known


def test_what_it_copies_exists_and_reaches_the_builder() -> None:
    copied = [source for rest in words("COPY") for source in rest.split()[:-1]]
    for source in copied:
        assert (ROOT / source).exists(), source
        files = [p for p in (ROOT / source).rglob("*") if p.is_file()] or [ROOT / source]
        for file in files:
            name = str(file.relative_to(ROOT))
            assert ignored(name) == ("__pycache__" in name), name
    assert ignored("tests/test_dockerfile.py") and ignored(".git/config") and ignored(".venv/x")


def test_it_copies_all_that_the_wheel_is_built_from() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    needed |= {*wheel["packages"], *wheel["force-include"]}
    placed = {}
    for rest in words("COPY"):
        *sources, target = rest.split()
        for source in sources:
            placed[source] = str(Path(target) / source) if target.endswith("/") else target
    assert needed == set(placed)
    assert all(Path(target) == Path(source) for source, target in placed.items())


def test_its_python_is_one_that_the_project_allows() -> None:
    (image,) = words("FROM")
    minor = int(re.fullmatch(r"python:3\.(\d+)-slim", image)[1])  # type: ignore[index]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"Programming Language :: Python :: 3.{minor}" in project["classifiers"]


def test_kernels_are_compiled_by_the_user_who_runs_them() -> None:
    order = instructions()
    (user,) = words("USER")
    assert user not in ("root", "0")
    at = {
        "made": next(
            i for i, (_, rest) in enumerate(order) if f"useradd --create-home {user}" in rest
        ),
        "installed": next(i for i, (_, rest) in enumerate(order) if rest.startswith("pip install")),
        "user": order.index(("USER", user)),
        "warm": order.index(("RUN", "moe warm")),
    }
    assert at["installed"] < at["made"] < at["user"] < at["warm"]
    check_command(["moe", "warm"])


def test_it_serves_on_the_port_that_it_exposes_and_checks() -> None:
    (port,), (command,), (health,) = words("EXPOSE"), words("CMD"), words("HEALTHCHECK")
    call = json.loads(command)
    check_command(call)
    assert call[call.index("--port") + 1] == port
    assert call[call.index("--address") + 1] == "0.0.0.0"
    assert "--no-browser" in call
    python, flag, code = json.loads(health.partition("CMD ")[2])
    assert (python, flag) == ("python", "-c")
    (url,) = re.findall(r"http://[^']+", code)
    assert url == f"http://localhost:{port}/_stcore/health"
    ast.parse(code)


def test_another_machine_reaches_the_app_only_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from moe.app.server import start
    from moe.app.server.options import ServerOptions

    seen: list[dict[str, object]] = []

    class Site:
        def run(self, config: dict[str, object]) -> None:
            seen.append(config)

    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(start.warming, "begin", lambda say: None)
    monkeypatch.setattr(start, "site", lambda *_: Site())
    for address in (COMMANDS["app"].params[1].default, "0.0.0.0"):
        start.serve(Path("app.py"), 8501, False, address, ServerOptions(), print)
        assert seen[-1]["server.address"] == address
    assert seen[0]["server.address"] == "127.0.0.1" and seen[0]["server.headless"]
    assert sys.argv == ["app.py"]
