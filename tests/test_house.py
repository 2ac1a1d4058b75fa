"""The house rules, read from the tree: imports go down, pages do not compute, names are clear."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What knows bytes and names, and no layer.
LOW = (
    "archives", "config", "nemotron_family", "deepseek_families", "dtypes", "families", "family",
    "files", "header", "layouts", "lineages", "nearest", "npz", "other_families", "refused",
    "strict_json",
)  # fmt: skip
PAGES = sorted(path.parent.name for path in ROOT.glob("moe/app/*/page.py"))
# From the ground up: rooms, and what lives there. A file imports from its own floor and from those
# below it, in no circle; `docs/architecture.md` shows this list.
HOUSE: list[tuple[tuple[str, ...], str]] = [
    (
        ("errors", "registry", "named_options", "numbers", "settings", "version", "kernels"),
        "checks of arguments; registries from lists of files; names with options; numbers as "
        "people read them; what every set of options shares; kernels beside their numpy oracles",
    ),
    (
        ("routing", *(f"checkpoints.{name}" for name in LOW)),
        "`Routing`, what every router returns; files and the orders of weights: bytes and names, "
        "and no layer",
    ),
    (
        ("routers", "balance", "capacity", "scores", "contingency", "experts"),
        "who goes where; what keeps it even; who gets in; how often; what an expert computes",
    ),
    (
        (
            "arrays",
            "router_check",
            "context",
            "choosing",
            "routed",
            "slots",
            "shared",
            "latent_experts",
            "pool",
            "specials",
            "dense",
            "fresh",
            "from_arrays",
            "layer_file",
            "layer_file",
            "saved",
            "identity",
            "layer",
            "metrics",
            "expert_axis",
            "opportunistic",
            "pruning",
            "upcycling",
        ),
        "`MoELayer` and its parts, its yardstick `DenseFFN`, definitions of figures",
    ),
    (
        ("checkpoints", "data", "optim", "training"),
        "published layouts in and out; real text; training as records",
    ),
    (
        ("traces", "traffic", "speed", "gates", "porting", "lm"),
        "routing of real models; which experts their tokens read; how fast this machine is; checks "
        "of somebody else's gate; golden vectors for ports; a small language model around the "
        "layer: training, sampling, its files",
    ),
    (
        ("cost", "cluster", "expert_cache", "scaling"),
        "counted cost; experts on many devices; experts that do not all fit in fast memory; what a "
        "number of experts is worth, by the law of published runs",
    ),
    (("studies",), "experiments: frozen settings in, records and words out"),
    (("pictures",), "what charts are made with: figures with their words, marks, colours"),
    (("sweeps",), "many runs of an experiment, kept and reported"),
    (
        ("lessons",),
        "texts with code, questions and figures; answers judged; the steps in which a reader "
        "builds a layer",
    ),
    (("app.shared",), "what pages share"),
    (
        tuple(f"app.{name}" for name in PAGES),
        "a page each: `story.py` numbers to words, `chart.py`, `share.py` what is taken along, "
        "`page.py`",
    ),
    (("app",), "the frame around the pages, the server, and the static edition"),
    (("cli", "__main__"), "the command line"),
]
FLOORS = {f"moe.{room}": floor for floor, (rooms, _) in enumerate(HOUSE) for room in rooms}
FLOORS |= dict.fromkeys(("app", "moe"), len(HOUSE))  # the façade names all, and nothing imports it
ARCHITECTURE = ROOT / "docs" / "architecture.md"
MARKS = "<!-- floors -->", "<!-- end of floors -->"
KERNELS_MAY_IMPORT = ("moe.kernels", "moe.errors", "moe.named_options")
MAX_LINES = 450
MOST_OF_ALL = 0.15  # of the lines, in the files of one folder
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


def is_page(place: str) -> bool:
    """Whether a place is the folder of a page."""
    return place.removeprefix("moe.app.") in PAGES


def upward_imports(source: str, module: str, is_package: bool = False) -> list[str]:
    """Imports that reach a higher floor, or kernels that know more than arrays."""
    floor, found = FLOORS[place_of(module)], []
    for line, target in imports_of(source, module, is_package):
        if not in_house(target):
            continue
        place = place_of(target)
        if (
            FLOORS[place] == floor != FLOORS["moe.app"]
            and place != place_of(module)
            and is_page(place)
        ):
            found.append(f"{module}:{line} a page imports another, {target}")
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
VIEWS = {
    "page", "weights_page", "frame", "start", "player", "parts", "outside", "ask", "share_box",
    "typing", "squares",
}  # fmt: skip


def is_touched(module: str) -> bool:
    """Whether a file is what people touch: a command, or what puts a page on the screen."""
    place = place_of(module)
    return place in ("moe.cli", "app") or (
        place.startswith("moe.app") and module.rpartition(".")[2] in VIEWS
    )


def test_every_module_has_its_floor():
    listed = {place_of(module_name(path)) for path in SOURCES}
    unlisted = [
        module_name(path)
        for path in SOURCES
        if place_of(module_name(path)) == "moe" and module_name(path) != "moe"
    ]
    assert not unlisted, f"name the floor of {unlisted} in FLOORS"
    assert {"moe.kernels", "moe.layer", "moe.app.start", "moe.cli", "app"} <= listed


def test_every_floor_has_its_files():
    names = {module_name(path) for path in SOURCES}
    assert not {room for room in FLOORS if room not in names}


def floors_table() -> str:
    """The floors as the page on architecture shows them, the ground first."""
    lines = ["| floor | in `moe/` | what lives there |", "|---|---|---|"]
    for floor, (rooms, words) in enumerate(HOUSE):
        paths = [Path("moe", *room.split(".")) for room in rooms]
        names = [
            f"{room}/" if path.is_dir() else f"{room}.py"
            for room, path in zip(
                (room.replace(".", "/") for room in rooms), (ROOT / path for path in paths)
            )
        ]
        lines.append(f"| {floor} | {', '.join(f'`{name}`' for name in names)} | {words} |")
    return "\n".join(lines)


def test_the_page_on_architecture_shows_these_floors():
    """To accept a change: `python -m tests.test_house`, which prints the house in figures, too."""
    assert f"{MARKS[0]}\n{floors_table()}\n{MARKS[1]}" in ARCHITECTURE.read_text("utf-8")


def test_imports_go_down_the_floors_only():
    found = []
    for path, source in SOURCES.items():
        found += upward_imports(source, module_name(path), path.name == "__init__.py")
    assert not found, "\n".join(found)


def circle(edges: dict[str, set[str]]) -> tuple[str, ...]:
    """Files that import each other in a circle, the first that is met; none if there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return tuple(error.args[1])
    return ()


def imported_files(sources: dict[str, tuple[str, bool]]) -> dict[str, set[str]]:
    """Files that each file imports, late imports and those for types too.

    Parameters
    ----------
    sources
        Of each dotted name its text, and whether it is a package.
    """

    def file_of(target: str) -> str:
        while target and target not in sources:
            target = target.rpartition(".")[0]
        return target

    return {
        name: {file_of(target) for _, target in imports_of(text, name, is_package)} - {name, ""}
        for name, (text, is_package) in sources.items()
    }


def all_imports() -> dict[str, set[str]]:
    """Files that each file of the library, the benchmarks and the documentation imports."""
    folders = ("moe", "benchmarks", "docs")
    paths = [path for folder in folders for path in ROOT.glob(f"{folder}/**/*.py")]
    return imported_files(
        {module_name(path): (path.read_text("utf-8"), path.name == "__init__.py") for path in paths}
    )


def test_no_circle_of_files():
    assert not circle(all_imports())


def test_a_circle_is_found():
    late = "def f():\n    from .a import b"
    typed = "if TYPE_CHECKING:\n    from . import a"
    for back in (late, typed):
        assert circle(imported_files({"m.a": ("from .b import c", False), "m.b": (back, False)}))
    assert not circle(imported_files({"m.a": ("from .b import c", False), "m.b": ("", False)}))


def test_tests_have_the_same_folders():
    folders = {path.parent for path in ROOT.glob("tests/**/test_*.py")} - {ROOT / "tests"}
    names = {path.relative_to(ROOT / "tests").as_posix() for path in folders}
    strange = {name for name in names if not (ROOT / "moe" / name).is_dir()}
    assert strange == {"docs", "e2e", "golden"}


def lines_of_folders() -> Counter[str]:
    """Lines of the files that stand in each folder itself."""
    lines: Counter[str] = Counter()
    for path, source in SOURCES.items():
        lines[path.parent.relative_to(ROOT).as_posix()] += source.count("\n")
    return lines


def test_no_folder_holds_much_of_the_house():
    lines = lines_of_folders()
    most, count = lines.most_common(1)[0]
    assert count <= MOST_OF_ALL * lines.total(), f"{most}: {count} of {lines.total()}"


def picture() -> str:
    """Return the house in figures: its folders, its files, its imports."""
    lines, imports = lines_of_folders(), all_imports()
    rows = [
        f"{count:6,} {count / lines.total():4.0%}  {name}" for name, count in lines.most_common()
    ]
    arrows = sum(map(len, imports.values()))
    longest = max(source.count("\n") for source in SOURCES.values())
    return "\n".join(
        [*rows, f"{lines.total():6,} lines in {len(SOURCES)} files, the longest has {longest}",
         f"{arrows:6,} imports of files, circles: {' -> '.join(circle(imports)) or 'none'}"]
    )  # fmt: skip


def test_pages_and_command_line_hold_no_arithmetic():
    found = []
    for path, source in SOURCES.items():
        if is_touched(module_name(path)):
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
        ("moe.layer", "import moe.studies.control as b"),
        ("moe.layer", "from moe import app"),
        ("moe.layer", "from moe import MoELayer"),
        ("moe.layer", "import moe"),
        ("moe.layer", "def late():\n    from moe.studies import savings"),
        ("moe.layer", "if TYPE_CHECKING:\n    from .app import frame"),
        ("moe.layer", "importlib.import_module('moe.cli')"),
        ("moe.studies.control", "import app"),
        ("moe.app.cure.page", "from ..balance import chart"),
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
        ("moe.app.start.page", "from ...layer import MoELayer\nfrom . import chart", False),
        ("app", "from moe.app.frame import main", False),
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
    assert arithmetic(source, "moe.app.start.page")


@pytest.mark.parametrize(
    "source",
    ["a: int | None = -1", "f'{a:.2f}'", "folder / 'name' / f'{a}.json'", "a < b", "a | b"],
)
def test_what_is_not_arithmetic_passes(source):
    assert not arithmetic(source, "moe.app.start.page")


def test_a_print_is_found_and_a_method_of_that_name_is_not():
    assert prints("if a:\n    print(a)", "moe.layer")
    assert not prints("console.print(a)", "moe.layer")


if __name__ == "__main__":
    print(picture())
    before, _, rest = ARCHITECTURE.read_text("utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    ARCHITECTURE.write_text(f"{before}{MARKS[0]}\n{floors_table()}\n{MARKS[1]}{after}", "utf-8")
