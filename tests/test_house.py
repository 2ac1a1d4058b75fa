"""The house rules: imports go down, views do not compute, names say what they are."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS = {
    "moe.kernels": 0,
    "moe.errors": 0,
    "moe.version": 0,
    "moe.registry": 0,
    "moe.routing": 1,
    "moe.routers": 2,
    "moe.balance": 2,
    "moe.capacity": 2,
    "moe.experts": 2,
    "moe.scores": 2,
    "moe.specials": 3,
    "moe.counting": 2,
    # What knows bytes and names, and no layer.
    **dict.fromkeys(
        [
            f"moe.checkpoints.{name}"
            for name in (
                "config",
                "dtypes",
                "families",
                "family",
                "files",
                "header",
                "layouts",
                "strict_json",
            )  # fmt: skip
        ],
        1,
    ),
    "moe.router_check": 3,
    "moe.choosing": 3,
    "moe.routed": 3,
    "moe.fresh": 3,
    "moe.from_arrays": 3,
    "moe.identity": 3,
    "moe.saved": 3,
    "moe.arrays": 3,
    "moe.context": 3,
    "moe.shared": 3,
    "moe.dense": 3,
    "moe.layer": 3,
    "moe.metrics": 3,
    "moe.upcycling": 3,
    "moe.checkpoints": 4,
    "moe.data": 4,
    "moe.training": 4,
    "moe.optim": 4,
    "moe.gates": 4,
    "moe.speed": 4,
    "moe.studies": 5,
    "moe.sweeps": 6,
    "moe.cost": 4,
    "moe.cluster": 4,
    "moe.traces": 4,
    "moe.lab": 5,
    "moe.charts": 6,
    "moe.views": 7,
    "moe.cli": 7,
    "moe.__main__": 7,
    "app": 7,
    "moe": 7,  # the façade: it names everything, so nothing below the top may import it
}
KERNELS_MAY_IMPORT = ("moe.kernels", "moe.errors")
MAX_LINES = 450
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
ARITHMETIC_MODULES = {"numpy", "math", "statistics", "operator"}
ARITHMETIC_CALLS = {"sum", "pow", "divmod"}
HEAVY = ("streamlit", "altair", "pandas", "numba", "scipy")


# The checker -----------------------------------------------------------------------------------


def module_name(path: Path) -> str:
    """Dotted name of a source file, `moe/routers/__init__.py` being `moe.routers`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def place_of(name: str) -> str:
    """Longest entry of FLOORS that holds the dotted name."""
    while name not in FLOORS:
        name = name.rpartition(".")[0]
        if not name:
            return ""
    return name


def absolute_base(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    """Dotted name that `from <base> import ...` reads, with leading dots resolved."""
    if node.level == 0:
        return node.module or ""
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def imports_of(source: str, module: str, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported, at any depth of the source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = absolute_base(node, module, is_package)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and called(node).endswith("import_module") and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


def called(node: ast.Call) -> str:
    """Last name of what is called: `print(...)` is print, `a.b(...)` is b."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def in_house(name: str) -> bool:
    return name.split(".")[0] in {"moe", "app"}


def upward_imports(source: str, module: str, is_package: bool = False) -> list[str]:
    """Imports that reach a higher floor, or kernels that know more than arrays."""
    floor, found = FLOORS[place_of(module)], []
    for line, target in imports_of(source, module, is_package):
        if not in_house(target):
            continue
        place = place_of(target)
        if FLOORS[place] > floor:
            found.append(f"{module}:{line} (floor {floor}) imports {target} ({FLOORS[place]})")
        elif place_of(module) == "moe.kernels" and place not in KERNELS_MAY_IMPORT:
            found.append(f"{module}:{line} kernels import {target}")
    return found


def is_path_join(node: ast.BinOp) -> bool:
    """`folder / "name"`: a division by text can only be a path."""
    right = node.right
    return isinstance(node.op, ast.Div) and (
        isinstance(right, ast.JoinedStr)
        or (isinstance(right, ast.Constant) and isinstance(right.value, str))
    )


def arithmetic(source: str, module: str) -> list[str]:
    """Sums, products and the like, and the modules that make them; `a | b` is a union."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.BinOp | ast.AugAssign):
            joins = isinstance(node, ast.BinOp) and is_path_join(node)
            if not isinstance(node.op, ast.BitOr) and not joins:
                found.append(f"{module}:{node.lineno} {ast.unparse(node)}")
        elif isinstance(node, ast.Call) and called(node) in ARITHMETIC_CALLS:
            found.append(f"{module}:{node.lineno} {ast.unparse(node)}")
    for line, target in imports_of(source, module):
        if target.split(".")[0] in ARITHMETIC_MODULES:
            found.append(f"{module}:{line} imports {target}")
    return found


def prints(source: str, module: str) -> list[str]:
    """Calls of the built-in print."""
    return [
        f"{module}:{node.lineno}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and called(node) == "print"
    ]


# The house -------------------------------------------------------------------------------------

SOURCES = {
    path: path.read_text("utf-8") for path in [*ROOT.glob("moe/**/*.py"), *ROOT.glob("app.py")]
}
PEOPLE_TOUCH = ("moe.views", "moe.cli", "app")


def test_every_module_has_its_floor():
    listed = {place_of(module_name(path)) for path in SOURCES}
    unlisted = [
        module_name(path)
        for path in SOURCES
        if place_of(module_name(path)) == "moe" and module_name(path) != "moe"
    ]
    assert not unlisted, f"name the floor of {unlisted} in FLOORS"
    assert {"moe.kernels", "moe.layer", "moe.views", "moe.cli", "app"} <= listed


def test_imports_go_down_the_floors_only():
    found = []
    for path, source in SOURCES.items():
        found += upward_imports(source, module_name(path), path.name == "__init__.py")
    assert not found, "\n".join(found)


def test_views_and_command_line_hold_no_arithmetic():
    found = []
    for path, source in SOURCES.items():
        if place_of(module_name(path)) in PEOPLE_TOUCH:
            found += arithmetic(source, module_name(path))
    assert not found, "\n".join(found)


def test_only_the_command_line_prints():
    found = []
    for path, source in SOURCES.items():
        if place_of(module_name(path)) != "moe.cli":
            found += prints(source, module_name(path))
    assert not found, "\n".join(found)


def test_no_source_file_outgrows_a_sitting():
    long = {
        module_name(path): source.count("\n")
        for path, source in SOURCES.items()
        if source.count("\n") > MAX_LINES
    }
    assert not long, f"more than {MAX_LINES} lines: {long}"


def test_no_file_has_a_vague_name():
    folders = ("moe", "tests", "benchmarks", "docs")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    vague = [path for path in paths if path.stem.strip("_").lower() in VAGUE_NAMES]
    assert not vague


def test_nothing_is_called_pages():
    # Streamlit serves a folder of that name beside the app as pages of its own, without the app.
    paths = [*ROOT.iterdir(), *(ROOT / "moe").rglob("*")]
    assert not [path for path in paths if path.stem.lower() == "pages"]


def test_importing_moe_is_light():
    code = "import sys, moe; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not set(HEAVY) & set(run.stdout.split())


# The checker can fail --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("moe.routing", "from .layer import MoELayer"),
        ("moe.routing", "from . import layer"),
        ("moe.routers.topk", "from ..layer import MoELayer"),
        ("moe.routers.topk", "from .. import layer"),
        ("moe.layer", "import moe.training"),
        ("moe.layer", "import moe.lab.balance as b"),
        ("moe.layer", "from moe import charts"),
        ("moe.layer", "from moe import MoELayer"),
        ("moe.layer", "import moe"),
        ("moe.layer", "def late():\n    from moe.lab import run"),
        ("moe.layer", "if TYPE_CHECKING:\n    from .views import start"),
        ("moe.layer", "importlib.import_module('moe.cli')"),
        ("moe.lab.balance", "import app"),
        ("moe.kernels.topk", "from ..routing import Routing"),
    ],
)
def test_an_upward_import_is_found(module, source):
    assert upward_imports(source, module)


@pytest.mark.parametrize(
    ("module", "source", "is_package"),
    [
        ("moe.kernels.topk", "from ..errors import check_int\nfrom . import backend", False),
        ("moe.kernels", "from .topk import topk", True),
        ("moe.routers", "from .base import Router\nfrom .. import kernels", True),
        ("moe.layer", "import numpy as np\nfrom . import kernels, routers", False),
        (
            "moe.views.start",
            "import moe\nfrom moe import MoELayer\nfrom ..charts import bars",
            False,
        ),
        ("app", "from moe.views import start", False),
    ],
)
def test_a_downward_import_passes(module, source, is_package):
    assert not upward_imports(source, module, is_package)


@pytest.mark.parametrize(
    "source",
    ["a + b", "a -= 1", "2 * a", "a / b", "'%d' % a", "a @ b", "a << 1", "sum(a)",
     "import numpy as np", "def f():\n    from math import sqrt"],
)  # fmt: skip
def test_arithmetic_in_a_view_is_found(source):
    assert arithmetic(source, "moe.views.start")


@pytest.mark.parametrize(
    "source",
    ["a: int | None = -1", "f'{a:.2f}'", "folder / 'name' / f'{a}.json'", "a < b", "a | b"],
)
def test_what_is_not_arithmetic_passes(source):
    assert not arithmetic(source, "moe.views.start")


def test_a_print_is_found_and_a_method_of_that_name_is_not():
    assert prints("if a:\n    print(a)", "moe.layer")
    assert not prints("console.print(a)", "moe.layer")
