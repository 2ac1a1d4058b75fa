"""The Dockerfile, read: its files exist and reach the builder, its commands are the program's."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import typer

import moe
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


def settings() -> dict[str, str]:
    """Variables of the environment that it sets, with its arguments filled in."""
    values = dict(rest.split("=", 1) for rest in words("ARG"))
    found: dict[str, str] = {}
    for rest in words("ENV"):
        for name, value in re.findall(r"(\w+)=(\S+)", rest):
            found[name] = re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], value)
    return found


def test_its_python_is_one_that_the_project_allows() -> None:
    assert words("FROM") == ["${BASE}"]
    (image,) = [rest.removeprefix("BASE=") for rest in words("ARG") if rest.startswith("BASE=")]
    minor = int(re.fullmatch(r"python:3\.(\d+)-slim", image)[1])  # type: ignore[index]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"Programming Language :: Python :: 3.{minor}" in project["classifiers"]


def test_dependencies_have_a_layer_that_stays_while_only_the_program_changes() -> None:
    order = instructions()
    dependencies, program = (
        i for i, (word, rest) in enumerate(order) if word == "RUN" and "pip install" in rest
    )
    before = [rest for word, rest in order[:dependencies] if word == "COPY"]
    assert before == ["pyproject.toml ./"] and order.index(("COPY", "moe moe")) > dependencies
    assert "--no-deps" in order[program][1]
    (code,) = re.findall(r'python -c "(.*?)"', order[dependencies][1])
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert ran.stdout.splitlines() == project["dependencies"]


def test_kernels_are_compiled_for_a_named_processor_before_root_gives_up_its_rights() -> None:
    order = instructions()
    (user,) = words("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert order.index(("RUN", "moe warm")) < order.index(("USER", user))
    assert not [word for word, _ in order[order.index(("USER", user)) :] if word in ("RUN", "COPY")]
    check_command(["moe", "warm"])
    set_there = settings()
    assert set_there["NUMBA_CPU_NAME"] == "haswell" and set_there["MOE_VECTOR_BYTES"] == "32"
    assert set_there["NUMBA_CACHE_DIR"].startswith("/opt/moescope")
    assert set_there["HOME"] == "/tmp"  # the one folder of a read-only container


def test_what_it_compiles_is_found_by_a_process_that_may_not_write(tmp_path: Path) -> None:
    """The variables hold at both times, so that the names of the files agree."""
    code = (
        "from moe import kernels, MoELayer\nimport numpy as np\n"
        "kernels.topk(np.ones((4, 8), np.float32), 2)\nprint(len(kernels.compiled()))"
    )
    cache = tmp_path / "kernels"
    given = settings() | {"NUMBA_CACHE_DIR": str(cache), "XDG_CACHE_HOME": str(tmp_path / "x")}
    compiled = []
    for _ in range(2):
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | given, cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        compiled.append(int(ran.stdout))
        for folder in cache.glob("*"):
            folder.chmod(0o555)
    assert compiled[1] == 0


def test_its_settings_are_known() -> None:
    from moe.app.server.options import ServerOptions

    own = {name: value for name, value in settings().items() if name.startswith("MOE_APP_")}
    assert ServerOptions.from_environment(own).log == "json"


def test_its_labels_say_the_version() -> None:
    (labels,) = words("LABEL")
    said = dict(re.findall(r'([\w.]+)="([^"]*)"', labels))
    assert said["org.opencontainers.image.version"] == moe.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert said["org.opencontainers.image.licenses"] == project["license"]


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
    assert url == f"http://localhost:{port}/healthz"
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
